//! The mistake: the producer's queue is full, and the record that finds no room is left out.

use std::time::Duration;

use embedded_broker::{ApiKey, Broker};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

const RECORDS: usize = 1_000;

// ANCHOR: mistake
/// Hands over every record, and awaits every report that it has.
async fn send_all(producer: &FutureProducer) -> anyhow::Result<usize> {
    let mut reports = Vec::new();
    for number in 0..RECORDS {
        let reading = number.to_string();
        let record = FutureRecord::<str, str>::to("readings").payload(&reading);
        if let Ok(report) = producer.send_result(record) {
            reports.push(report);
        }
    }
    let mut delivered = 0;
    for report in reports {
        report.await?.map_err(|(error, _record)| error)?;
        delivered += 1;
    }
    Ok(delivered)
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    // A broker that is busy: the queue fills faster than it empties.
    let faults = broker.faults();
    faults.on(ApiKey::Produce).delay(Duration::from_millis(500));
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        // The default is 100,000, which takes longer to fill.
        .set("queue.buffering.max.messages", "200")
        .create()?;
    let delivered = send_all(&producer).await?;
    let found = broker.records("readings", 0)?.len();
    println!(
        "handed over {RECORDS}, reports {delivered} and all of them good, in the topic {found}"
    );
    Ok(())
}
