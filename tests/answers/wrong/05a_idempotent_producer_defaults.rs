//! Wrong answer to 5a: leaves everything as it is.
//! Refused with: "is in the log twice"
//! Refused with: "in another order than they were sent"

use std::time::Duration;

use embedded_broker::{ApiKey, Broker};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// How long a record may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of a producer that delivers each record once and in order, and that tries again when it has to.
fn settings(servers: &str) -> ClientConfig {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .clone()
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
#[path = "../../checks/05a_idempotent_producer.rs"]
mod checks;
