//! The mistake: a bad delivery report is taken for "the record is not there", and the program sends it again.

use std::time::Duration;

use embedded_broker::{ApiKey, Broker};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

// ANCHOR: mistake
/// Sends a payment until its report is good. The producer is idempotent, so nothing can be written twice. Or can it?
async fn pay(producer: &FutureProducer, wait_a_moment: impl Fn()) {
    loop {
        let payment = FutureRecord::to("payments")
            .key("account-1")
            .payload("100 EUR");
        match producer.send(payment, Duration::from_secs(10)).await {
            Ok(_) => return,
            Err((error, _)) => println!("sent again, because of: {error}"),
        }
        wait_a_moment();
    }
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("enable.idempotence", "true")
        // Less patience than the broker needs.
        .set("message.timeout.ms", "2000")
        .set("reconnect.backoff.max.ms", "100")
        .create()?;
    // The payment is written, and no answer of the broker arrives until the program has waited a moment.
    let outage = broker.faults().on(ApiKey::Produce).apply_then_drop();
    pay(&producer, || outage.clear()).await;
    let copies = broker.records("payments", 0)?.len();
    println!("paid once, in the log {copies} times");
    Ok(())
}
