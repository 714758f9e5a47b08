//! The mistake: a reader that refuses fields that it does not know.

use embedded_broker::Broker;
use rdkafka::Message;
use serde::Deserialize;

/// The second one was written by a producer that was deployed today.
const EVENTS: [(&str, &str); 2] = [
    ("order.placed", r#"{"order_id":"o-1","quantity":2}"#),
    (
        "order.placed",
        r#"{"order_id":"o-2","quantity":1,"gift":true}"#,
    ),
];

// ANCHOR: mistake
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "they are printed")]
struct OrderPlaced {
    order_id: String,
    quantity: u32,
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(&broker, "orders", &EVENTS).await?;
    let consumer = book_mistakes::consumer(&broker, "warehouse", "orders")?;
    for _ in EVENTS {
        let record = consumer.recv().await?;
        let payload = record.payload().unwrap_or_default();
        println!("{}", String::from_utf8_lossy(payload));
        match serde_json::from_slice::<OrderPlaced>(payload) {
            Ok(order) => println!("  read: {order:?}"),
            Err(error) => println!("  refused: {error}"),
        }
    }
    Ok(())
}
