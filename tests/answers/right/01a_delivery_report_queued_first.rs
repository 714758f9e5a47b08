//! Right answer to 1a: queues the record first, and awaits the report on its own.

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
    let queued = producer
        .send_result(record)
        .map_err(|(error, _record)| error)?;
    match queued.await? {
        Ok(report) => Ok(report),
        Err((error, record)) => anyhow::bail!("{record:?} was not delivered: {error}"),
    }
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
#[path = "../../checks/01a_delivery_report.rs"]
mod checks;
