//! The mistake: to wait for a better time where one stands, and to poll for nothing meanwhile.

use std::thread;
use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::BorrowedMessage;

/// How long the database is away.
const OUTAGE: Duration = Duration::from_secs(3);

/// The database does not answer the first time.
fn work(record: &BorrowedMessage<'_>, tries: &mut u32) -> anyhow::Result<()> {
    *tries += 1;
    anyhow::ensure!(*tries > 1, "the database does not answer");
    println!("order {} is done", record.offset());
    Ok(())
}

// ANCHOR: mistake
/// Tries until the work is done, and then commits. Nothing is skipped, and nothing is committed too early.
fn patiently(consumer: &BaseConsumer, record: &BorrowedMessage<'_>, tries: &mut u32) {
    while let Err(error) = work(record, tries) {
        println!("{error}, waiting");
        thread::sleep(OUTAGE);
    }
    if let Err(error) = consumer.commit_message(record, CommitMode::Sync) {
        println!("order {} is not committed: {error}", record.offset());
    }
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(&broker, "orders", &[("order.placed", "2 coffees")]).await?;
    let consumer: BaseConsumer = book_mistakes::settings(&broker, "kitchen")
        // Five minutes by default. Outages take longer than that, too.
        .set("max.poll.interval.ms", "1000")
        .set("session.timeout.ms", "1000")
        .set("heartbeat.interval.ms", "100")
        .create()?;
    consumer.subscribe(&["orders"])?;
    let mut tries = 0;
    tokio::task::block_in_place(|| {
        // Until the group has the order behind it.
        while broker.snapshot().committed("kitchen", "orders", 0) != Some(1) {
            match consumer.poll(Duration::from_secs(1)) {
                Some(Ok(record)) => patiently(&consumer, &record, &mut tries),
                Some(Err(error)) => println!("the next poll says: {error}"),
                // The group shares out its partitions.
                None => {}
            }
        }
    });
    Ok(())
}
