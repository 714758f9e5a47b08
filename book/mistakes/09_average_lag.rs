//! The mistake: an alert on the average lag of the partitions. One that stands still hides behind those that do not.

use std::collections::BTreeSet;
use std::time::Duration;

use embedded_broker::{Broker, Snapshot};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset};

const PARTITIONS: i32 = 12;
const RECORDS_EACH: i64 = 50;
const PATIENCE: Duration = Duration::from_secs(10);

// ANCHOR: mistake
fn needs_attention(snapshot: &Snapshot) -> bool {
    let lag = snapshot.lag("billing").unwrap_or(0);
    lag / i64::from(PARTITIONS) > 10
}
// ANCHOR_END: mistake

/// The work. There is one record for which it never succeeds.
fn process(record: &BorrowedMessage<'_>) -> Result<(), &'static str> {
    match (record.partition(), record.offset()) {
        (3, 1) => Err("the customer's bank does not answer"),
        _ => Ok(()),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(PARTITIONS).start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let producer: FutureProducer = config.create()?;
    let mut reports = Vec::new();
    for number in 0..i64::from(PARTITIONS) * RECORDS_EACH {
        let partition = i32::try_from(number % i64::from(PARTITIONS))?;
        let record = FutureRecord::<str, str>::to("payments").payload("4.50");
        let sent = producer.send_result(record.partition(partition));
        reports.push(sent.map_err(|(error, _record)| error)?);
    }
    for report in reports {
        report.await?.map_err(|(error, _record)| error)?;
    }

    let consumer: StreamConsumer = config
        .set("group.id", "billing")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&["payments"])?;
    // Nothing is lost here: the partition of the record that fails waits for it.
    let mut waiting = BTreeSet::new();
    let mut done = 0;
    while done < i64::from(PARTITIONS - 1) * RECORDS_EACH + 1 {
        let record = consumer.recv().await?;
        let (partition, offset) = (record.partition(), record.offset());
        if process(&record).is_err() {
            consumer.seek("payments", partition, Offset::Offset(offset), PATIENCE)?;
            waiting.insert((partition, offset));
            continue;
        }
        consumer.commit_message(&record, CommitMode::Sync)?;
        done += 1;
    }

    let snapshot = broker.snapshot();
    let lag = snapshot.lag("billing").unwrap_or(0);
    println!("waiting for: {waiting:?} (partition, offset)");
    println!(
        "lag: {lag}, {} a partition on the average",
        lag / i64::from(PARTITIONS)
    );
    println!("needs attention: {}", needs_attention(&snapshot));
    Ok(())
}
