//! The mistake: what cannot be decoded ends the loop, and with it the program.

use anyhow::Context;
use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use serde::Deserialize;

const EVENTS: [(&str, &str); 4] = [
    ("order.placed", r#"{"order_id":"o-1"}"#),
    // The disk of the producer's machine was full.
    ("order.placed", r#"{"order_i"#),
    ("order.placed", r#"{"order_id":"o-3"}"#),
    ("order.placed", r#"{"order_id":"o-4"}"#),
];

#[derive(Deserialize)]
struct OrderPlaced {
    order_id: String,
}

// ANCHOR: mistake
async fn consume(consumer: &StreamConsumer) -> anyhow::Result<()> {
    loop {
        let record = consumer.recv().await?;
        let payload = record.payload().unwrap_or_default();
        let order: OrderPlaced = serde_json::from_slice(payload)?;
        println!("  offset {}: order {}", record.offset(), order.order_id);
        consumer.commit_message(&record, CommitMode::Sync)?;
    }
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(&broker, "orders", &EVENTS).await?;
    // Whoever watches over a service starts it again when it ends.
    for start in 1..=3 {
        println!("start {start}");
        let consumer = book_mistakes::consumer(&broker, "warehouse", "orders")?;
        if let Err(error) = consume(&consumer).await {
            println!("  ended: {error}");
        }
    }
    let snapshot = broker.snapshot();
    let group = snapshot.groups.first().context("the group is there")?;
    let offset = group.offsets.first().context("an offset is there")?;
    println!(
        "of {} records the group has read {}",
        EVENTS.len(),
        offset.committed
    );
    Ok(())
}
