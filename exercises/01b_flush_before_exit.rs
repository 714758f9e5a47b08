//! Exercise 1b: flush before exit.
//!
//! `send` returns before anything is sent: a producer's queue is memory. A program that ends while records are in it loses
//! them, and says nothing. Waiting for each record before the next one loses none, and is a thousand times slower. So a
//! program queues without waiting, and waits once, at its end.
//!
//! Write the two functions below: <https://docs.rs/rdkafka/latest/rdkafka/producer/trait.Producer.html>.
//!
//! Check it with `make exercise-1b`. Read first: book/src/01_produce_and_consume.md

use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};

/// How long the program may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hands every reading to the producer, which sends in the background, and returns at once. Each of the futures is complete
/// when the delivery report of its record is there.
///
/// # Errors
///
/// When the producer does not take a reading.
fn enqueue(
    producer: &FutureProducer,
    topic: &str,
    readings: &[String],
) -> anyhow::Result<Vec<DeliveryFuture>> {
    todo!(
        "queue {:?} and the other readings by {producer:p}, and collect what it returns",
        readings.first().map(|reading| record(topic, reading))
    )
}

/// Ends in order: returns when every record has been delivered, and gives up after `patience`.
///
/// # Errors
///
/// When records are left after `patience`: the text says how many. Also when the broker refused one.
async fn finish(
    producer: FutureProducer,
    reports: Vec<DeliveryFuture>,
    patience: Duration,
) -> anyhow::Result<()> {
    todo!(
        "within {patience:?}, have {} records delivered, and look at {} reports",
        producer.in_flight_count(),
        reports.len()
    )
}

/// A reading needs no key: any partition will do.
fn record<'a>(topic: &'a str, reading: &'a str) -> FutureRecord<'a, str, str> {
    FutureRecord::to(topic).payload(reading)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder().start().await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()
        .context("make a producer")?;
    let readings: Vec<String> = (0..1000)
        .map(|number| format!("{number} degrees"))
        .collect();
    let reports = enqueue(&producer, "readings", &readings)?;
    println!("in the queue: {}", producer.in_flight_count());
    finish(producer, reports, PATIENCE).await?;
    println!("delivered: {}", readings.len());
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/01b_flush_before_exit.rs"]
mod checks;
