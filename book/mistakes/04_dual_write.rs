//! The mistake: a service writes to its database and to Kafka, one after the other. A crash fits between the two.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};

const ORDERS: usize = 10;

/// What stands in a service's database. It outlives the process.
type Database = BTreeSet<String>;

// ANCHOR: mistake
/// Reserves the goods of an order, and tells the others. In its first life the process is killed between the two, at order 4.
async fn handle(
    order: &str,
    database: &mut Database,
    kafka: &FutureProducer,
    kafka_first: bool,
    is_first_life: bool,
) -> Result<()> {
    if database.contains(order) {
        return Ok(()); // Delivered again: it was done.
    }
    if kafka_first {
        tell(kafka, order).await?;
    } else {
        database.insert(order.to_owned());
    }
    if is_first_life && order == "order-4" {
        bail!("killed");
    }
    if kafka_first {
        database.insert(order.to_owned());
    } else {
        tell(kafka, order).await?;
    }
    Ok(())
}
// ANCHOR_END: mistake

async fn tell(kafka: &FutureProducer, order: &str) -> Result<()> {
    send(kafka, "reserved", order).await
}

async fn send(kafka: &FutureProducer, topic: &str, order: &str) -> Result<()> {
    let record = FutureRecord::to(topic).key(order).payload(order);
    let sent = kafka.send(record, Duration::from_secs(10)).await;
    sent.map_err(|(error, _record)| error)?;
    Ok(())
}

/// One life of the service: until it is killed, or all orders are done.
async fn live(
    broker: &Broker,
    database: &mut Database,
    kafka: &FutureProducer,
    kafka_first: bool,
    is_first_life: bool,
) -> Result<()> {
    let consumer = book_mistakes::consumer(broker, "inventory", "orders")?;
    loop {
        let record = consumer.recv().await?;
        let order = String::from_utf8_lossy(record.payload().unwrap_or_default());
        handle(&order, database, kafka, kafka_first, is_first_life).await?;
        consumer.commit_message(&record, CommitMode::Sync)?;
        if record.offset() + 1 == ORDERS as i64 {
            return Ok(());
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    for (name, kafka_first) in [
        ("database, then Kafka", false),
        ("Kafka, then database", true),
    ] {
        let broker = Broker::builder().partitions(1).start().await?;
        let kafka: FutureProducer = book_mistakes::settings(&broker, "").create()?;
        for number in 1..=ORDERS {
            send(&kafka, "orders", &format!("order-{number}")).await?;
        }
        let mut database = Database::new();
        for is_first_life in [true, false] {
            let lived = live(&broker, &mut database, &kafka, kafka_first, is_first_life).await;
            assert_eq!(lived.is_err(), is_first_life, "{lived:?}");
        }
        let told = broker.records("reserved", 0)?;
        let of_order_4 = told
            .iter()
            .filter(|record| record.value_str() == Some("order-4"));
        println!(
            "{name}: reserved {}, told of order-4 {} times",
            database.len(),
            of_order_4.count()
        );
    }
    Ok(())
}
