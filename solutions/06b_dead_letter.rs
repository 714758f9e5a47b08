//! Exercise 6b: the dead letter.
//!
//! Some records can never be worked on: no retry makes an order out of bytes that are none. Such a poison record must not
//! stop its partition, and it must not be lost either. It goes to a dead-letter topic, with the very bytes that it had,
//! and only when it is there is its offset committed.
//!
//! Write the two functions below:
//! <https://docs.rs/rdkafka/latest/rdkafka/message/struct.OwnedHeaders.html>.
//!
//! Check it with `make exercise-6b`. Read first: book/src/06_retries_and_dead_letters.md

use std::str;
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const ORDERS: &str = "orders";
const DEAD_LETTERS: &str = "orders.dead-letters";

/// The headers of a dead letter say where its record was, in text, and what was wrong with it.
const TOPIC_HEADER: &str = "original-topic";
const PARTITION_HEADER: &str = "original-partition";
const OFFSET_HEADER: &str = "original-offset";
const ERROR_HEADER: &str = "error";

/// How long a record may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The dead letter of `record`: its key, payload and headers as they are, whatever they hold, and behind them those of
/// [`origin`].
fn dead_letter<'a>(record: &'a BorrowedMessage<'_>, error: &str) -> FutureRecord<'a, [u8], [u8]> {
    let mut headers = record
        .headers()
        .map_or_else(OwnedHeaders::new, |original| original.detach());
    for header in origin(record, error).iter() {
        headers = headers.insert(header);
    }
    FutureRecord {
        key: record.key(),
        payload: record.payload(),
        ..FutureRecord::to(DEAD_LETTERS).headers(headers)
    }
}

/// Where `record` was, and what was wrong with it.
fn origin(record: &BorrowedMessage<'_>, error: &str) -> OwnedHeaders {
    let (partition, offset) = (record.partition().to_string(), record.offset().to_string());
    let said = [
        (TOPIC_HEADER, record.topic()),
        (PARTITION_HEADER, &partition),
        (OFFSET_HEADER, &offset),
        (ERROR_HEADER, error),
    ];
    let headers = OwnedHeaders::new_with_capacity(said.len());
    said.into_iter().fold(headers, |headers, (key, value)| {
        let value = Some(value);
        headers.insert(Header { key, value })
    })
}

/// Puts the dead letter of `record` into its topic, and then commits that `record` is dealt with.
///
/// # Errors
///
/// When the dead letter is not there for certain: then nothing is committed, and `record` is read again after a restart.
async fn set_aside(
    consumer: &StreamConsumer,
    producer: &FutureProducer,
    record: &BorrowedMessage<'_>,
    error: &str,
) -> anyhow::Result<()> {
    let report = producer.send(dead_letter(record, error), QUEUE_TIMEOUT);
    report
        .await
        .map_err(|(error, _letter)| error)
        .context("the dead letter was not delivered")?;
    consumer.commit_message(record, CommitMode::Sync)?;
    Ok(())
}

/// Reads `count` records, and adds up how much was ordered.
///
/// # Errors
///
/// When reading, committing or setting aside fails.
async fn run(
    consumer: &StreamConsumer,
    producer: &FutureProducer,
    count: usize,
) -> anyhow::Result<u64> {
    let mut ordered = 0;
    for _ in 0..count {
        let record = consumer.recv().await?;
        match quantity(&record) {
            Ok(quantity) => {
                ordered += quantity;
                consumer.commit_message(&record, CommitMode::Sync)?;
            }
            Err(error) => {
                let error = format!("{error:#}");
                set_aside(consumer, producer, &record, &error).await?;
            }
        }
    }
    Ok(ordered)
}

/// An order's payload is a number, in text.
fn quantity(record: &BorrowedMessage<'_>) -> anyhow::Result<u64> {
    let payload = record.payload().context("there is no payload")?;
    let text = str::from_utf8(payload).context("it is not text")?;
    text.parse()
        .with_context(|| format!("{text:?} is no quantity"))
}

fn consumer_settings(servers: &str, group: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    settings
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder().start().await?;
    let servers = broker.bootstrap_servers();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()?;
    for order in ["2", "many", "3"] {
        let record = FutureRecord::to(ORDERS).key("customer-1").payload(order);
        let report = producer.send(record, QUEUE_TIMEOUT).await;
        report.map_err(|(error, _record)| error)?;
    }

    let consumer: StreamConsumer = consumer_settings(&servers, "stock").create()?;
    consumer.subscribe(&[ORDERS])?;
    let ordered = run(&consumer, &producer, 3).await?;
    println!("{ordered} ordered");

    let reader: StreamConsumer = consumer_settings(&servers, "reader").create()?;
    reader.subscribe(&[DEAD_LETTERS])?;
    let letter = reader.recv().await?;
    let headers = letter.headers().context("the dead letter has headers")?;
    println!("set aside: {:?}", letter.payload_view::<str>());
    for header in headers.iter() {
        let value = header.value.map(String::from_utf8_lossy);
        println!("  {}: {}", header.key, value.unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/06b_dead_letter.rs"]
mod checks;
