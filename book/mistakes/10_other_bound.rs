//! The mistake: a larger `batch.size`, and batches that stay as they are, because another bound comes first.

use std::time::Duration;

use embedded_broker::{ApiKey, Broker};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

const RECORDS: usize = 30_000;
const PATIENCE: Duration = Duration::from_secs(30);

// ANCHOR: mistake
/// Small records: 30,000 of them are about half a megabyte. How many requests carry them?
async fn requests(changed: &[(&str, &str)]) -> anyhow::Result<u64> {
    let broker = Broker::builder().partitions(1).start().await?;
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", broker.bootstrap_servers())
        // Long enough that a batch leaves because it is full, and not because its time is over.
        .set("linger.ms", "2000");
    for (name, value) in changed {
        settings.set(*name, *value);
    }
    let producer: FutureProducer = settings.create()?;
    for _ in 0..RECORDS {
        let record = FutureRecord::<str, str>::to("clicks").payload("click");
        let sent = producer.send_result(record);
        sent.map_err(|(error, _record)| error)?;
    }
    producer.flush(PATIENCE)?;
    Ok(broker.requests().count(ApiKey::Produce))
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    for changed in [
        vec![],
        vec![("batch.size", "5000000")],
        vec![("batch.num.messages", "100000")],
    ] {
        let requests = requests(&changed).await?;
        let settings = changed
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let settings = settings.collect::<Vec<_>>().join(" ");
        println!("{settings:<27} {RECORDS} records in {requests} requests");
    }
    Ok(())
}
