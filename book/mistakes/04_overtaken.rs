//! The mistake: what happens to one order is published with different keys, so one event can overtake another.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::timeout;

/// What happened, in this order.
const EVENTS: [(&str, &str); 3] = [
    ("order-1", "placed"),
    ("order-2", "placed"),
    ("order-2", "cancelled"),
];

/// Longer than a record takes that is there.
const SILENCE: Duration = Duration::from_millis(500);

// ANCHOR: mistake
/// Payments: what is placed is charged, what is cancelled gets its money back.
fn apply(order: &str, event: &str, charged: &mut BTreeSet<String>) {
    match event {
        "placed" => charged.insert(order.to_owned()),
        // Nothing was charged? Then there is nothing to give back.
        "cancelled" => charged.remove(order),
        _ => false,
    };
}

/// The key decides on the partition, and only there events keep their order.
fn key<'a>(order: &'a str, event: &'a str, by_order: bool) -> &'a str {
    if by_order { order } else { event }
}
// ANCHOR_END: mistake

/// Reads all events. The bank does not answer at the first try to charge order-1, so its partition stands still for a while, as
/// it should, and the other one goes on.
async fn read(consumer: &StreamConsumer, charged: &mut BTreeSet<String>) -> Result<Vec<String>> {
    let mut applied = Vec::new();
    let mut bank_answers = false;
    while applied.len() < EVENTS.len() {
        let Ok(record) = timeout(SILENCE, consumer.recv()).await else {
            consumer.resume(&consumer.assignment()?)?;
            continue;
        };
        let record = record?;
        let text = String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned();
        let (order, event) = text.split_once(' ').unwrap_or_default();
        if order == "order-1" && !bank_answers {
            bank_answers = true;
            let mut partition = TopicPartitionList::new();
            let offset = Offset::Offset(record.offset());
            partition.add_partition_offset(record.topic(), record.partition(), offset)?;
            consumer.pause(&partition)?;
            consumer.seek(record.topic(), record.partition(), offset, SILENCE)?;
            continue;
        }
        apply(order, event, charged);
        applied.push(text);
    }
    Ok(applied)
}

#[tokio::main]
async fn main() -> Result<()> {
    for (name, by_order) in [("the event", false), ("the order", true)] {
        let broker = Broker::builder().partitions(2).start().await?;
        let kafka: FutureProducer = book_mistakes::settings(&broker, "").create()?;
        for (order, event) in EVENTS {
            let payload = format!("{order} {event}");
            let record = FutureRecord::to("orders")
                .key(key(order, event, by_order))
                .payload(&payload);
            let sent = kafka.send(record, Duration::from_secs(10)).await;
            sent.map_err(|(error, _record)| error)?;
        }
        let consumer = book_mistakes::consumer(&broker, "payments", "orders")?;
        let mut charged = BTreeSet::new();
        let applied = read(&consumer, &mut charged).await?;
        let charged: Vec<String> = charged.into_iter().collect();
        println!("key is {name}: {}", applied.join(", "));
        println!("  charged in the end: {}", charged.join(", "));
    }
    Ok(())
}
