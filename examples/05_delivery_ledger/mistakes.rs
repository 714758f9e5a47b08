//! Two mistakes, each beside the program without it.

use anyhow::Result;
use kafka_event_streaming::config::IsolationLevel::ReadCommitted;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::event_consumer::EventConsumer;
use kafka_event_streaming::ledger::{Ledger, LedgerReport};
use kafka_event_streaming::numbered_records::{key, ledger, see};
use kafka_event_streaming::order::OrderEvent;
use kafka_event_streaming::trial::Trial;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::{ORDERS, PATIENCE};

/// Prints both.
pub(crate) async fn show(cluster: &Cluster) -> Result<()> {
    let mut reports = Vec::new();
    for is_right in [false, true] {
        reports.push(send_and_end(cluster, is_right).await?);
        reports.push(rebalance(cluster, is_right).await?);
    }
    let rows = [
        "no flush       before the program ends",
        "no commit      before a rebalance",
        "flush          before the program ends",
        "commit         when a partition is revoked",
    ];
    let table = LedgerReport::table("two mistakes, and without them", &rows, &reports);
    println!("\n{table}");
    Ok(())
}

// ANCHOR: send_and_end
/// Sends orders and ends, believing that what was queued was sent (row X5).
async fn send_and_end(cluster: &Cluster, flushes: bool) -> Result<LedgerReport> {
    let trial = Trial::create(cluster, "example-05", 1).await?;
    // rdkafka's own: this library's warns when it is dropped too early.
    let settings = ProducerSettings::high_throughput();
    let producer: BaseProducer = settings.client_config(cluster)?.create()?;
    for number in 0..ORDERS {
        let (key, payload) = (key(number), number.to_string());
        let record = BaseRecord::to(trial.output()).key(&key).payload(&payload);
        // That it is Ok says that there was room in the queue.
        producer.send(record).map_err(|(error, _)| error)?;
    }
    if flushes {
        producer.flush(PATIENCE)?;
    }
    drop(producer);
    Ok(trial.count(ReadCommitted, 0..ORDERS).await?)
}
// ANCHOR_END: send_and_end

// ANCHOR: rebalance
/// A second member joins when the first has worked on all orders, and has yet to commit.
async fn rebalance(cluster: &Cluster, commits: bool) -> Result<LedgerReport> {
    let trial = Trial::create(cluster, "example-05", 2).await?;
    trial.fill(0..ORDERS).await?;
    let ledger = ledger(0..ORDERS);
    let settings = ConsumerSettings::reliable(trial.name());
    let first = EventConsumer::new(cluster, &settings, &[trial.input()])?;
    for _two_partitions in 0..2 {
        while work_on_one(&first, &ledger, commits).await? {}
    }
    let second = EventConsumer::new(cluster, &settings, &[trial.input()])?;
    loop {
        tokio::select! {
            // Whoever asks for no more records does not hear that a partition is to be given up.
            more = work_on_one(&first, &ledger, commits) => { more?; }
            more = work_on_one(&second, &ledger, commits) => if !more? { break },
        }
    }
    Ok(ledger.report())
}
// ANCHOR_END: rebalance

/// False at the end of a partition. Only the record counts here, and not what it says.
async fn work_on_one(
    member: &EventConsumer<OrderEvent>,
    ledger: &Ledger,
    commits: bool,
) -> Result<bool> {
    let Some(received) = member.next(PATIENCE).await? else {
        return Ok(false);
    };
    see(ledger, received.record.message());
    if commits {
        // Is committed with the others when the partition is revoked.
        member.mark_processed(&received.record);
    }
    Ok(true)
}
