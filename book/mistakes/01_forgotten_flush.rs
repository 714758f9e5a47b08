//! The mistake: the program ends while records are still in the producer's queue.

use embedded_broker::{ApiKey, Broker};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

const RECORDS: usize = 1_000;

// ANCHOR: mistake
/// Hands every record to the producer, and returns as if they were sent.
fn send_all(servers: &str) -> anyhow::Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()?;
    for number in 0..RECORDS {
        let payload = format!("order {number}");
        let record = FutureRecord::<str, str>::to("orders").payload(&payload);
        let _report = producer.send_result(record);
    }
    Ok(())
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    // For a moment, the broker cannot be reached. One that is merely slow would still write what it was sent before the
    // end, and where all is well, chance decides.
    broker.faults().on(ApiKey::Produce).drop_connection();
    send_all(&broker.bootstrap_servers())?;
    let found = broker.records("orders", 0)?.len();
    println!(
        "handed over {RECORDS}, in the topic {found}, lost {}",
        RECORDS - found
    );
    Ok(())
}
