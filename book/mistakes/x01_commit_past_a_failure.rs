//! The mistake: a record that fails is passed over, and the next success commits past it.

use std::time::Duration;

use anyhow::{Context, ensure};
use embedded_broker::Broker;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const RECORDS: usize = 10;

/// The work on a record. The database was restarted while order 3 was there.
fn process(record: &BorrowedMessage<'_>, done: &mut Vec<String>) -> anyhow::Result<()> {
    let order = String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned();
    ensure!(order != "order 3", "the database does not answer");
    done.push(order);
    Ok(())
}

// ANCHOR: mistake
async fn consume(consumer: &StreamConsumer, done: &mut Vec<String>) -> anyhow::Result<()> {
    for _ in 0..RECORDS {
        let record = consumer.recv().await?;
        if let Err(error) = process(&record, done) {
            println!("skipped offset {}: {error}", record.offset());
            continue;
        }
        consumer.commit_message(&record, CommitMode::Sync)?;
    }
    Ok(())
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let producer: FutureProducer = config.create()?;
    for number in 0..RECORDS {
        let payload = format!("order {number}");
        let record = FutureRecord::<str, str>::to("orders").payload(&payload);
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _)| error)?;
    }
    let consumer: StreamConsumer = config
        .set("group.id", "billing")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&["orders"])?;
    let mut done = Vec::new();
    consume(&consumer, &mut done).await?;

    let snapshot = broker.snapshot();
    let group = snapshot.groups.first().context("the group is there")?;
    let offset = group.offsets.first().context("an offset is there")?;
    println!(
        "done: {} of {RECORDS}; the group goes on at offset {}, so order 3 is never read again",
        done.len(),
        offset.committed
    );
    Ok(())
}
