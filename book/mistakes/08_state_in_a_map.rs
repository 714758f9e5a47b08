//! The mistake: totals in a map, offsets in Kafka. A restart keeps the one and forgets the other.

use std::collections::BTreeMap;
use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const SALES: [&str; 8] = [
    "coffee", "tea", "coffee", "coffee", "tea", "coffee", "coffee", "tea",
];

// ANCHOR: mistake
/// One life of a service that counts sales by product, and commits each when it is counted.
async fn count(config: &ClientConfig, sales: usize) -> anyhow::Result<BTreeMap<String, u32>> {
    let consumer: StreamConsumer = config.create()?;
    consumer.subscribe(&["sales"])?;
    let mut totals = BTreeMap::new();
    for _ in 0..sales {
        let record = consumer.recv().await?;
        let product = String::from_utf8_lossy(record.payload().unwrap_or_default());
        *totals.entry(product.into_owned()).or_default() += 1;
        consumer.commit_message(&record, CommitMode::Sync)?;
    }
    Ok(totals)
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let producer: FutureProducer = config.create()?;
    for product in SALES {
        let record = FutureRecord::<str, str>::to("sales").payload(product);
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _)| error)?;
    }
    config
        .set("group.id", "statistics")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    for (life, sales) in [("before", 5), ("after", 3)] {
        let totals = count(&config, sales).await?;
        println!("{life:<6} the restart: {totals:?}");
    }
    println!("sold: 5 coffee, 3 tea");
    Ok(())
}
