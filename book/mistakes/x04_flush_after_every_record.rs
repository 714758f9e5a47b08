//! The mistake: a flush after every record, to be on the safe side.

use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

const RECORDS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);

fn record(payload: &str) -> FutureRecord<'_, str, str> {
    FutureRecord::to("orders").payload(payload)
}

// ANCHOR: mistake
fn flush_each(producer: &FutureProducer) -> anyhow::Result<()> {
    for _ in 0..RECORDS {
        let _report = producer.send_result(record("2 coffees"));
        producer.flush(PATIENCE)?;
    }
    Ok(())
}

/// As safe, if the reports are read: what is flushed is the same.
fn flush_once(producer: &FutureProducer) -> anyhow::Result<()> {
    for _ in 0..RECORDS {
        let _report = producer.send_result(record("2 coffees"));
    }
    producer.flush(PATIENCE)?;
    Ok(())
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    type Way = fn(&FutureProducer) -> anyhow::Result<()>;
    let ways: [(&str, Way); 2] = [
        ("a flush after each", flush_each),
        ("one flush at the end", flush_once),
    ];
    for (name, send) in ways {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap_servers())
            .create()?;
        // Connected, and the topic there: neither is what is measured.
        producer.send(record("first"), PATIENCE).await.ok();
        broker.requests().clear();
        let started = Instant::now();
        send(&producer)?;
        let (took, requests) = (started.elapsed(), broker.requests().count(ApiKey::Produce));
        println!(
            "{name:<21} {RECORDS} records, {requests:>3} requests, {:>6.1} ms",
            took.as_secs_f64() * 1_000.0
        );
    }
    Ok(())
}
