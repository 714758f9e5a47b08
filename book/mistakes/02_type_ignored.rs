//! The mistake: whatever has the right fields is taken for the event that was expected.

use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use serde::Deserialize;

const EVENTS: [(&str, &str); 2] = [
    ("order.placed", r#"{"order_id":"o-1","quantity":2}"#),
    ("order.cancelled", r#"{"order_id":"o-1","quantity":2}"#),
];

// ANCHOR: mistake
#[derive(Deserialize)]
struct OrderPlaced {
    order_id: String,
    quantity: u32,
}

/// Looks at the payload alone.
fn decode(record: &BorrowedMessage<'_>) -> serde_json::Result<OrderPlaced> {
    serde_json::from_slice(record.payload().unwrap_or_default())
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(&broker, "orders", &EVENTS).await?;
    let consumer = book_mistakes::consumer(&broker, "warehouse", "orders")?;
    let mut packed = 0;
    for (event_type, _) in EVENTS {
        let order = decode(&consumer.recv().await?)?;
        println!(
            "{event_type:<16} {}: {} packed",
            order.order_id, order.quantity
        );
        packed += order.quantity;
    }
    println!("packed {packed}, still wanted 0");
    Ok(())
}
