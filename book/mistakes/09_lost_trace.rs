//! The mistake: a record is made of a record, and its headers stay behind.

use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const PATIENCE: Duration = Duration::from_secs(10);

// ANCHOR: mistake
async fn make_invoice(consumer: &StreamConsumer, producer: &FutureProducer) -> anyhow::Result<()> {
    let order = consumer.recv().await?;
    let invoice = FutureRecord::to("invoices")
        .key(order.key().unwrap_or_default())
        .payload(order.payload().unwrap_or_default());
    let report = producer.send(invoice, PATIENCE).await;
    report.map_err(|(error, _record)| error)?;
    Ok(())
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let producer: FutureProducer = config.create()?;
    let headers = OwnedHeaders::new().insert(Header {
        key: "traceparent",
        value: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    });
    let order = FutureRecord::to("orders").key("customer-1");
    let order = order.payload("2 coffees").headers(headers);
    let report = producer.send(order, PATIENCE).await;
    report.map_err(|(error, _record)| error)?;

    let consumer: StreamConsumer = config
        .set("group.id", "invoicing")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&["orders"])?;
    make_invoice(&consumer, &producer).await?;
    for topic in ["orders", "invoices"] {
        for record in broker.records(topic, 0)? {
            let header = record.header("traceparent").map(String::from_utf8_lossy);
            println!(
                "{topic:<9} {}",
                header.as_deref().unwrap_or("no traceparent")
            );
        }
    }
    Ok(())
}
