//! The claim: manual commits give exactly once. What they give: a crash between work and commit repeats the work.

use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const RECORDS: usize = 3;

// ANCHOR: mistake
/// Charges customers, and commits each charge by hand. It is killed after the work on one record, before its commit.
async fn charge(
    consumer: &StreamConsumer,
    killed_after: Option<i64>,
    charged: &mut Vec<i64>,
) -> anyhow::Result<()> {
    loop {
        let record = consumer.recv().await?;
        charged.push(record.offset());
        if killed_after == Some(record.offset()) {
            return Ok(());
        }
        consumer.commit_message(&record, CommitMode::Sync)?;
        if record.offset() + 1 == RECORDS as i64 {
            return Ok(());
        }
    }
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let producer: FutureProducer = config.create()?;
    for _ in 0..RECORDS {
        let record = FutureRecord::<str, str>::to("payments").payload("4.50");
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _)| error)?;
    }
    config
        .set("group.id", "billing")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    let mut charged = Vec::new();
    for killed_after in [Some(1), None] {
        let consumer: StreamConsumer = config.create()?;
        consumer.subscribe(&["payments"])?;
        charge(&consumer, killed_after, &mut charged).await?;
    }
    println!("{RECORDS} payments, charged in this order: {charged:?}");
    Ok(())
}
