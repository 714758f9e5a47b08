//! Wrong answer to 6a: pauses the partition, and nothing resumes it.
//! Refused with: "A partition that was paused has to be resumed"

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const TOPIC: &str = "orders";
/// How long the loop waits for a record before it looks after the retries again.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// How long a seek may take.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// What is done with each record. It may fail, and work the next time.
type Work<'a> = dyn FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()> + 'a;

/// The partitions of [`TOPIC`] that wait for another try.
struct Retries {
    /// How long a record that failed waits.
    delay: Duration,
    /// Of each partition that waits: the offset of the record that failed, and when it is tried again.
    waiting: BTreeMap<i32, (i64, Instant)>,
}

impl Retries {
    fn new(delay: Duration) -> Self {
        let waiting = BTreeMap::new();
        Self { delay, waiting }
    }

    /// Has the partition of `record`, on which the work failed, wait for `delay`: until then nothing of it is read, and
    /// then `record` comes first.
    ///
    /// # Errors
    ///
    /// When the consumer refuses.
    fn postpone(
        &mut self,
        consumer: &BaseConsumer,
        record: &BorrowedMessage<'_>,
    ) -> anyhow::Result<()> {
        consumer.pause(&list(record.partition()))?;
        let offset = Offset::Offset(record.offset());
        consumer.seek(TOPIC, record.partition(), offset, SEEK_TIMEOUT)?;
        let due = Instant::now() + self.delay;
        self.waiting
            .insert(record.partition(), (record.offset(), due));
        Ok(())
    }

    /// Resumes the partitions that have waited long enough, and returns at once.
    ///
    /// # Errors
    ///
    /// When the consumer refuses.
    fn resume_due(&mut self, _consumer: &BaseConsumer) -> anyhow::Result<()> {
        Ok(())
    }
}

/// This partition of [`TOPIC`] as the list that `pause` and `resume` take.
fn list(partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(TOPIC, partition);
    list
}

/// Reads until the work on `count` records is done.
///
/// # Errors
///
/// When the consumer fails.
fn run(
    consumer: &BaseConsumer,
    mut retries: Retries,
    count: usize,
    work: &mut Work<'_>,
) -> anyhow::Result<()> {
    let mut done = 0;
    while done < count {
        retries.resume_due(consumer)?;
        let Some(polled) = consumer.poll(POLL_TIMEOUT) else {
            continue;
        };
        let record = polled.context("read the next record")?;
        match work(&record) {
            Ok(()) => {
                consumer.commit_message(&record, CommitMode::Sync)?;
                done += 1;
            }
            Err(_) => retries.postpone(consumer, &record)?,
        }
    }
    Ok(())
}

fn settings(servers: &str, group: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        // Committed is what is done, and nothing else.
        .set("enable.auto.commit", "false");
    settings
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder().start().await?;
    let servers = broker.bootstrap_servers();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()?;
    for order in ["2 coffees", "1 tea", "3 cakes"] {
        let record = FutureRecord::to(TOPIC).key("customer-1").payload(order);
        let report = producer.send(record, Duration::ZERO).await;
        report.map_err(|(error, _record)| error)?;
    }

    let consumer: BaseConsumer = settings(&servers, "kitchen").create()?;
    consumer.subscribe(&[TOPIC])?;
    let mut failures_left = 2;
    let mut work = |record: &BorrowedMessage<'_>| {
        let order = record.payload_view::<str>().transpose()?;
        if order == Some("1 tea") && failures_left > 0 {
            failures_left -= 1;
            println!("no water: {order:?} has to wait");
            anyhow::bail!("no water");
        }
        println!("served {order:?}");
        Ok(())
    };
    let retries = Retries::new(Duration::from_millis(300));
    tokio::task::block_in_place(|| run(&consumer, retries, 3, &mut work))
}

#[cfg(test)]
#[path = "../../checks/06a_never_skip.rs"]
mod checks;
