//! The mistake: the offset of the record that is done is committed, instead of that of the next one.

use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(10);

// ANCHOR: mistake
fn commit(consumer: &StreamConsumer, record: &BorrowedMessage<'_>) -> KafkaResult<()> {
    let mut offsets = TopicPartitionList::new();
    let offset = Offset::Offset(record.offset());
    offsets.add_partition_offset(record.topic(), record.partition(), offset)?;
    consumer.commit(&offsets, CommitMode::Sync)
}

/// How many records lie between the committed offset and the end of the log.
fn lag(consumer: &StreamConsumer) -> KafkaResult<i64> {
    let committed = consumer.committed(PATIENCE)?;
    let mut lag = 0;
    for partition in committed.elements() {
        let (topic, number) = (partition.topic(), partition.partition());
        let (beginning, end) = consumer.fetch_watermarks(topic, number, PATIENCE)?;
        lag += match partition.offset() {
            Offset::Offset(committed) => end - committed,
            _nothing => end - beginning,
        };
    }
    Ok(lag)
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(&broker, "orders", &[("order.placed", "1 tea"); 5]).await?;
    for run in 1..=3 {
        let consumer: StreamConsumer = book_mistakes::settings(&broker, "kitchen")
            .set("enable.partition.eof", "true")
            .create()?;
        consumer.subscribe(&["orders"])?;
        let mut cooked = Vec::new();
        loop {
            match consumer.recv().await {
                Ok(record) => {
                    cooked.push(record.offset());
                    commit(&consumer, &record)?;
                }
                Err(KafkaError::PartitionEOF(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        println!("run {run} cooked {cooked:?}, lag {}", lag(&consumer)?);
    }
    Ok(())
}
