//! The mistake: the offset is committed while the result is still in the producer's queue.

use std::time::Duration;

use anyhow::Context;
use embedded_broker::{ApiKey, Broker};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const SALES: usize = 10;

// ANCHOR: mistake
/// Reads sales, writes a result of each, and is killed when it has done so.
async fn process(config: &ClientConfig) -> anyhow::Result<()> {
    let consumer: StreamConsumer = config.create()?;
    let producer: FutureProducer = config.create()?;
    consumer.subscribe(&["sales"])?;
    for _ in 0..SALES {
        let sale = consumer.recv().await?;
        let result = FutureRecord::<[u8], [u8]>::to("results");
        let result = result.payload(sale.payload().unwrap_or_default());
        let _report = producer.send_result(result);
        consumer.commit_message(&sale, CommitMode::Sync)?;
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
    for number in 0..SALES {
        let payload = format!("sale {number}");
        let record = FutureRecord::<str, str>::to("sales").payload(&payload);
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _)| error)?;
    }
    config
        .set("group.id", "statistics")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    // For a moment, the broker of the results cannot be reached. Commits go to the group's coordinator, which can.
    broker.faults().on(ApiKey::Produce).drop_connection();
    process(&config).await?;

    let snapshot = broker.snapshot();
    let group = snapshot.groups.first().context("the group is there")?;
    let committed = group
        .offsets
        .first()
        .context("an offset is there")?
        .committed;
    let written = broker
        .records("results", 0)
        .map_or(0, |records| records.len());
    println!("committed up to offset {committed}, results written: {written}");
    Ok(())
}
