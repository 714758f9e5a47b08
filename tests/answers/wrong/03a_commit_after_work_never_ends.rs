//! Wrong answer to 3a: goes on for ever, as a service does.
//! Refused with: "goes on with another one"

use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const TOPIC: &str = "orders";
/// How long one poll waits for a record.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Keeps the order in a record. It may fail: then the order was not stored.
type Store<'a> = dyn FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()> + 'a;

/// The settings of a consumer in `group`. A group that has committed nothing begins with the oldest record, and nothing is
/// committed but what is done.
fn settings(servers: &str, group: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        // Otherwise a new group begins at the end, and never sees what is there already.
        .set("auto.offset.reset", "earliest")
        // Otherwise what was polled is committed every few seconds and at the end, whether it is done or not.
        .set("enable.auto.commit", "false");
    settings
}

/// Reads records until the orders of `count` of them are stored, and commits how far it is.
///
/// # Errors
///
/// When a record cannot be read or its order stored. It is the first to be read when the program runs again.
fn run(consumer: &BaseConsumer, _count: usize, store: &mut Store<'_>) -> anyhow::Result<()> {
    use rdkafka::consumer::CommitMode;

    loop {
        let Some(polled) = consumer.poll(POLL_TIMEOUT) else {
            continue;
        };
        let record = polled?;
        store(&record)?;
        consumer.commit_message(&record, CommitMode::Sync)?;
    }
}

/// The order in a record.
fn order<'a>(record: &'a BorrowedMessage<'_>) -> anyhow::Result<&'a str> {
    let text = record.payload_view::<str>();
    text.context("the record has no payload")?
        .context("the order is not UTF-8")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder().start().await?;
    let servers = broker.bootstrap_servers();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()?;
    for order in ["2 coffees", "1 tea", "3 cakes"] {
        let record = FutureRecord::to(TOPIC).key("customer-1").payload(order);
        let report = producer.send(record, Duration::ZERO).await;
        report.map_err(|(error, _record)| error)?;
    }

    // The first run ends in the middle of its work, and the second goes on where it was.
    for (run_number, count) in [(1, 3), (2, 2)] {
        let consumer: BaseConsumer = settings(&servers, "kitchen").create()?;
        consumer.subscribe(&[TOPIC])?;
        let outcome = tokio::task::block_in_place(|| {
            run(&consumer, count, &mut |record| {
                let order = order(record)?;
                anyhow::ensure!(run_number == 2 || order != "1 tea", "the power failed");
                println!("run {run_number} stored {order:?}");
                Ok(())
            })
        });
        match outcome {
            Ok(()) => println!("run {run_number} is done"),
            Err(error) => println!("run {run_number} failed: {error:#}"),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "../../checks/03a_commit_after_work.rs"]
mod checks;
