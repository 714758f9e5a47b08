//! The mistake: a consumer is asked how far it is behind. It knows only what it fetched.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::statistics::Statistics;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

// ANCHOR: mistake
/// Keeps the lag of the topic's only partition, as the consumer reports it.
#[derive(Default)]
struct OwnLag {
    lag: AtomicI64,
    reports: AtomicU64,
}

impl ClientContext for OwnLag {
    fn stats(&self, statistics: Statistics) {
        let topic = statistics.topics.get("orders");
        if let Some(partition) = topic.and_then(|topic| topic.partitions.get(&0)) {
            self.lag.store(partition.consumer_lag, Ordering::Relaxed);
        }
        self.reports.fetch_add(1, Ordering::Relaxed);
    }
}
// ANCHOR_END: mistake

impl ConsumerContext for OwnLag {}

async fn send(producer: &FutureProducer, count: usize) -> anyhow::Result<()> {
    for _ in 0..count {
        let record = FutureRecord::<str, str>::to("orders").payload("2 coffees");
        let report = producer.send(record, PATIENCE).await;
        report.map_err(|(error, _record)| error)?;
    }
    Ok(())
}

/// Lets the consumer report on itself three times.
async fn wait_for_reports(consumer: &StreamConsumer<OwnLag>) -> anyhow::Result<()> {
    let reports = || consumer.context().reports.load(Ordering::Relaxed);
    let enough = reports() + 3;
    while reports() < enough {
        // Nothing comes: it is paused. Reports do, while somebody asks.
        let _ = timeout(Duration::from_millis(50), consumer.recv()).await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let producer: FutureProducer = config.create()?;
    send(&producer, 10).await?;
    let consumer: StreamConsumer<OwnLag> = config
        .set("group.id", "billing")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("statistics.interval.ms", "100")
        .create_with_context(OwnLag::default())?;
    consumer.subscribe(&["orders"])?;
    for _ in 0..10 {
        let record = consumer.recv().await?;
        consumer.commit_message(&record, CommitMode::Sync)?;
    }
    // What the work needs is away, so the consumer waits, as it should.
    consumer.pause(&consumer.assignment()?)?;
    send(&producer, 90).await?;
    wait_for_reports(&consumer).await?;
    let own = consumer.context().lag.load(Ordering::Relaxed);
    let lag = broker.snapshot().lag("billing").unwrap_or(0);
    println!("by its own account {own} records behind, by the cluster's {lag}");
    Ok(())
}
