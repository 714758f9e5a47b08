//! Exercise 6a: never skip.
//!
//! The work on a record fails, because a database is down for a moment. Going on with the next record loses this one:
//! the next commit passes it. Sleeping until the database is back loses the partitions: a member that does not poll for
//! `max.poll.interval.ms` has to leave its group. So the record's partition is paused, set back to that record, and
//! resumed when its time has come, while the loop goes on polling.
//!
//! Write the two functions of `Retries`:
//! <https://docs.rs/rdkafka/latest/rdkafka/consumer/trait.Consumer.html>.
//!
//! Check it with `make exercise-6a`. Read first: book/src/06_retries_and_dead_letters.md

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
        todo!(
            "pause {:?} of {consumer:p}, seek to {:?} within {SEEK_TIMEOUT:?}, and note in {:?} that it waits for {:?}",
            list(record.partition()),
            Offset::Offset(record.offset()),
            self.waiting,
            self.delay
        )
    }

    /// Resumes the partitions that have waited long enough, and returns at once.
    ///
    /// # Errors
    ///
    /// When the consumer refuses.
    fn resume_due(&mut self, consumer: &BaseConsumer) -> anyhow::Result<()> {
        todo!(
            "by {:?}, resume those of {:?} in {consumer:p} that have waited long enough",
            Instant::now(),
            self.waiting
        )
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
#[path = "../tests/checks/06a_never_skip.rs"]
mod checks;
