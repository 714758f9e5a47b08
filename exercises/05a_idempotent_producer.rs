//! Exercise 5a: the idempotent producer.
//!
//! A broker writes a record, and its answer is lost. The producer cannot know, and sends the record again: now there are
//! two. Or the first of several requests fails and is sent again behind the others: now the order is another one. Not to
//! try again is no way out, because then a record is lost. An idempotent producer numbers its records, and the broker takes
//! each number once, in order.
//!
//! Write the function below. The settings are in
//! <https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>; the library of this repository has its own in
//! src/config/producer_settings.rs.
//!
//! Check it with `make exercise-5a`. Read first: book/src/05_delivery_semantics.md

use std::time::Duration;

use embedded_broker::{ApiKey, Broker};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// How long a record may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of a producer that delivers each record once and in order, and that tries again when it has to.
fn settings(servers: &str) -> ClientConfig {
    todo!("the settings of an idempotent producer at {servers}")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let producer: FutureProducer = settings(&broker.bootstrap_servers()).create()?;
    // The broker writes the first request, and its answer is lost.
    broker.faults().on(ApiKey::Produce).once().apply_then_drop();
    let payment = FutureRecord::to("payments")
        .key("account-1")
        .payload("100 EUR");
    let report = producer.send(payment, QUEUE_TIMEOUT).await;
    report.map_err(|(error, _record)| error)?;
    let written = broker.records("payments", 0)?;
    println!("paid once, in the log {} time(s)", written.len());
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/05a_idempotent_producer.rs"]
mod checks;
