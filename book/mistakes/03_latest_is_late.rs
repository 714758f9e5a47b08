//! The mistake: a new group begins at the end, and subscribes before its topic is there.

use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

const ORDER: (&str, &str) = ("order.placed", "1 tea");

// ANCHOR: mistake
/// Subscribes. Then the first three orders are written, which makes the topic, and a fourth once the group is there.
async fn read(broker: &Broker, topic: &str, reset: &str) -> anyhow::Result<Vec<i64>> {
    let consumer: StreamConsumer = book_mistakes::settings(broker, topic)
        .set("auto.offset.reset", reset)
        .set("enable.partition.eof", "true")
        .set("topic.metadata.refresh.interval.ms", "100")
        .create()?;
    consumer.subscribe(&[topic])?;
    book_mistakes::write(broker, topic, &[ORDER; 3]).await?;
    let mut read = Vec::new();
    loop {
        match consumer.recv().await {
            Ok(record) => read.push(record.offset()),
            // The partition is this member's, and everything from where it begins is read.
            Err(KafkaError::PartitionEOF(_)) if read.contains(&3) => return Ok(read),
            Err(KafkaError::PartitionEOF(_)) => {
                book_mistakes::write(broker, topic, &[ORDER]).await?;
            }
            Err(error) if is_not_there_yet(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
// ANCHOR_END: mistake

fn is_not_there_yet(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    for reset in ["latest", "earliest"] {
        let read = read(&broker, &format!("orders.{reset}"), reset).await?;
        println!("{reset:<9} read the offsets {read:?} of 0 to 3");
    }
    Ok(())
}
