//! The mistake: batches are pipelined and sent again when something goes wrong, without the numbers of idempotence.

use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ErrorCode, Faults};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

const RECORDS: usize = 40;
/// Records a batch, so that there are four of them.
const BATCH: usize = 10;
const PATIENCE: Duration = Duration::from_secs(20);
/// Far more than four batches take to leave.
const ON_THEIR_WAY: Duration = Duration::from_millis(500);

// ANCHOR: mistake
fn producer(servers: &str, idempotent: &str) -> anyhow::Result<FutureProducer> {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        // librdkafka's default is false.
        .set("enable.idempotence", idempotent)
        .set("batch.num.messages", BATCH.to_string())
        .create()?;
    Ok(producer)
}
// ANCHOR_END: mistake

fn record(payload: &str) -> FutureRecord<'_, str, str> {
    FutureRecord::to("readings").payload(payload)
}

/// Sends all records under a fault. What is in the log then, batch by batch.
async fn log_after(idempotent: &str, set: fn(&Faults)) -> anyhow::Result<String> {
    let broker = Broker::builder().partitions(1).start().await?;
    let producer = producer(&broker.bootstrap_servers(), idempotent)?;
    // Connected, and the topic there.
    let first = producer.send(record("first"), PATIENCE).await;
    first.map_err(|(error, _record)| error)?;
    set(&broker.faults());
    for number in 0..RECORDS {
        let payload = number.to_string();
        let sent = producer.send_result(record(&payload));
        sent.map_err(|(error, _record)| error)?;
    }
    producer.flush(PATIENCE)?;
    let records = broker.records("readings", 0)?;
    let numbers: Vec<&str> = records
        .iter()
        .filter_map(|record| record.value_str())
        .collect();
    let batches = numbers[1..].chunks(BATCH);
    let batches = batches.map(|batch| format!("{}-{}", batch[0], batch[batch.len() - 1]));
    Ok(batches.collect::<Vec<_>>().join("  "))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let lost: fn(&Faults) = |faults| {
        faults.on(ApiKey::Produce).once().apply_then_drop();
    };
    let refused: fn(&Faults) = |faults| {
        let first = || faults.on(ApiKey::Produce).once();
        // The others are on their way before it is answered, on a busy machine too.
        first().delay(ON_THEIR_WAY);
        first().error(ErrorCode::NotLeaderOrFollower);
    };
    for (what, fault) in [("an answer is lost", lost), ("a batch is refused", refused)] {
        for idempotent in ["false", "true"] {
            let log = log_after(idempotent, fault).await?;
            println!("{what:<18}  enable.idempotence={idempotent:<5}  {log}");
        }
    }
    Ok(())
}
