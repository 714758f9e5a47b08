//! Exercise 1a: the delivery report.
//!
//! A producer's `send` puts a record into a queue and sends it in the background. Whether the record arrived, and
//! where, is known only when the broker has answered: that answer is the delivery report.
//!
//! Write the two functions below. Example 1 does the same with the library of this repository; here you use rdkafka
//! itself: <https://docs.rs/rdkafka/latest/rdkafka/producer/struct.FutureProducer.html>.
//!
//! Check it with `make exercise-1a`. Read first: book/src/01_produce_and_consume.md

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// How long a record may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses `order` to `topic`, with `customer` as its key: equal keys go to the same partition, so one customer's
/// orders stay in order.
fn address<'a>(topic: &'a str, customer: &'a str, order: &'a str) -> FutureRecord<'a, str, str> {
    FutureRecord::to(topic).key(customer).payload(order)
}

/// Sends `record` and waits for its delivery report.
///
/// # Errors
///
/// When the report says that the record was not delivered.
async fn deliver(
    producer: &FutureProducer,
    record: FutureRecord<'_, str, str>,
) -> anyhow::Result<Delivery> {
    // The report of a record that was not delivered also hands the record back, for whoever wants to try again.
    let report = producer.send(record, QUEUE_TIMEOUT).await;
    report.map_err(|(error, _record)| {
        anyhow::Error::new(error).context("the record was not delivered")
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder()
        .listen("127.0.0.1:0")
        .start()
        .await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()?;
    let record = address("orders", "customer-1", "2 coffees");
    let report = deliver(&producer, record).await?;
    println!(
        "delivered to partition {} at offset {}",
        report.partition, report.offset
    );
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/01a_delivery_report.rs"]
mod checks;
