//! What the programs beside this file have in common: records in an embedded broker, and a consumer that reads them.

use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

/// Writes events to partition 0 of a topic, one after the other. Each is its type, which goes into the header
/// `event-type`, and its payload.
///
/// # Errors
///
/// When the broker does not take one.
pub async fn write(broker: &Broker, topic: &str, events: &[(&str, &str)]) -> anyhow::Result<()> {
    write_to(broker, topic, 0, events).await
}

/// As [`write`], to this partition.
///
/// # Errors
///
/// As [`write`].
pub async fn write_to(
    broker: &Broker,
    topic: &str,
    partition: i32,
    events: &[(&str, &str)],
) -> anyhow::Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()?;
    for (event_type, payload) in events {
        let headers = OwnedHeaders::new().insert(Header {
            key: "event-type",
            value: Some(*event_type),
        });
        let record = FutureRecord::<str, str>::to(topic)
            .partition(partition)
            .payload(payload)
            .headers(headers);
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _record)| error)?;
    }
    Ok(())
}

/// A member of a group that reads a topic from its beginning and commits by hand.
///
/// # Errors
///
/// When librdkafka refuses a setting or the topic's name.
pub fn consumer(broker: &Broker, group: &str, topic: &str) -> anyhow::Result<StreamConsumer> {
    let consumer: StreamConsumer = settings(broker, group).create()?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

/// The settings of such a member.
pub fn settings(broker: &Broker, group: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    settings
}
