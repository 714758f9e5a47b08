//! Exercise 10a: pipeline the sends.
//!
//! Waiting for each delivery report before the next record costs a round trip to the broker for every record. A producer
//! that is handed records without waiting puts those together that go to the same partition, and sends them as one batch.
//! Fast must not mean careless: every report is looked at, no record is lost or doubled when an answer is, and each key's
//! records keep their order. And memory is bounded: when the producer's queue is full, wait for room.
//!
//! Write the two functions below, the settings and the loop:
//! <https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>.
//!
//! Check it with `make exercise-10a`. Read first: book/src/10_tuning.md

use std::time::{Duration, Instant};

use anyhow::Context;
use embedded_broker::{ApiKey, Broker};
use rdkafka::ClientConfig;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};

const TOPIC: &str = "readings";
/// How long a batch may wait for more records.
const LINGER: Duration = Duration::from_millis(20);

/// What a sensor has measured.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    sensor: String,
    value: String,
}

impl Reading {
    /// Its record. The sensor is the key, so that its readings stay in order.
    fn record(&self) -> FutureRecord<'_, str, str> {
        FutureRecord::to(TOPIC)
            .key(self.sensor.as_str())
            .payload(self.value.as_str())
    }
}

/// The settings of a producer that waits [`LINGER`] for a batch to fill, and that neither doubles nor swaps records when it has
/// to send a batch again.
fn settings(servers: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers)
        // Short enough that nobody notices, long enough that a batch fills.
        .set("linger.ms", LINGER.as_millis().to_string())
        // The broker knows a batch that comes again, and takes batches only in their order.
        .set("enable.idempotence", "true");
    settings
}

/// Sends all readings, and returns when the last delivery report is there. Readings of one sensor keep their order.
///
/// # Errors
///
/// When a reading was not delivered.
async fn send_all(producer: &FutureProducer, readings: &[Reading]) -> anyhow::Result<()> {
    let mut reports = std::collections::VecDeque::new();
    for reading in readings {
        let mut record = reading.record();
        // Not the next reading before this one has its place in the queue: they would change places.
        let report = loop {
            match producer.send_result(record) {
                Ok(report) => break report,
                Err((error, refused)) => {
                    // The queue is full, and the oldest batch is about to leave it. With no report to wait for, it is
                    // another error, or nothing would ever make room.
                    delivered(reports.pop_front().ok_or(error)?).await?;
                    record = refused;
                }
            }
        };
        reports.push_back(report);
    }
    for report in reports {
        delivered(report).await?;
    }
    Ok(())
}

/// Waits for a delivery report.
///
/// # Errors
///
/// When it says that the record was not delivered.
async fn delivered(report: DeliveryFuture) -> anyhow::Result<()> {
    let report = report.await.context("the producer was closed")?;
    report.map(|_place| ()).map_err(|(error, _record)| {
        anyhow::Error::new(error).context("a reading was not delivered")
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().start().await?;
    let producer: FutureProducer = settings(&broker.bootstrap_servers()).create()?;
    let readings: Vec<Reading> = (0..1000)
        .map(|number| Reading {
            sensor: format!("sensor-{}", number % 10),
            value: number.to_string(),
        })
        .collect();
    let (slow, fast) = readings.split_at(20);
    let requests = || broker.requests().count(ApiKey::Produce);

    let started = Instant::now();
    for reading in slow {
        let report = producer.send_result(reading.record());
        delivered(report.map_err(|(error, _record)| error)?).await?;
    }
    let one_by_one = requests();
    let waited = started.elapsed();
    println!(
        "{} readings one by one: {one_by_one} requests, {waited:.0?}",
        slow.len()
    );

    let started = Instant::now();
    send_all(&producer, fast).await?;
    let in_batches = requests() - one_by_one;
    let waited = started.elapsed();
    println!(
        "{} readings in batches: {in_batches} requests, {waited:.0?}",
        fast.len()
    );
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/10a_pipeline_sends.rs"]
mod checks;
