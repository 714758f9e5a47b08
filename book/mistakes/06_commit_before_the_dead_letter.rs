//! The mistake: the offset of a bad record is committed, and then its dead letter is sent.

use std::time::Duration;

use anyhow::Context;
use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const ORDERS: [(&str, &str); 3] = [
    ("order.placed", "2"),
    ("order.placed", "many"),
    ("order.placed", "3"),
];
const DEAD_LETTERS: &str = "orders.dead-letter";

// ANCHOR: mistake
/// Gets a bad record out of the way, and then keeps it somewhere else.
async fn set_aside(
    consumer: &StreamConsumer,
    producer: &FutureProducer,
    record: &BorrowedMessage<'_>,
) -> anyhow::Result<()> {
    consumer.commit_message(record, CommitMode::Sync)?;
    let payload = record.payload().unwrap_or_default();
    let letter = FutureRecord::<[u8], [u8]>::to(DEAD_LETTERS).payload(payload);
    let report = producer.send(letter, Duration::from_secs(10)).await;
    report.map_err(|(error, _)| error)?;
    Ok(())
}
// ANCHOR_END: mistake

/// Reads until all orders are there, or something fails.
async fn add_up(
    consumer: &StreamConsumer,
    producer: &FutureProducer,
    ordered: &mut u32,
) -> anyhow::Result<()> {
    loop {
        let record = consumer.recv().await?;
        let order = record.payload_view::<str>().context("no payload")??;
        println!("  read {order:?}");
        match order.parse::<u32>() {
            Ok(quantity) => {
                *ordered += quantity;
                consumer.commit_message(&record, CommitMode::Sync)?;
            }
            Err(_) => set_aside(consumer, producer, &record).await?,
        }
        if record.offset() + 1 == ORDERS.len() as i64 {
            return Ok(());
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(&broker, "orders", &ORDERS).await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()?;
    // Nobody has given this service the right to write there.
    broker
        .faults()
        .on(ApiKey::Produce)
        .topic(DEAD_LETTERS)
        .error(ErrorCode::TopicAuthorizationFailed);
    let mut ordered = 0;
    for start in 1..=2 {
        println!("start {start}");
        let consumer = book_mistakes::consumer(&broker, "stock", "orders")?;
        if let Err(error) = add_up(&consumer, &producer, &mut ordered).await {
            println!("  ended: {error}");
        }
    }
    let letters = broker
        .records(DEAD_LETTERS, 0)
        .map_or(0, |found| found.len());
    println!("{ordered} ordered, {letters} dead letters");
    Ok(())
}
