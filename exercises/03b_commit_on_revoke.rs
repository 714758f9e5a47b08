//! Exercise 3b: commit on revoke.
//!
//! A commit for each record is slow, so this loop commits after every hundredth. When a second member joins the group in
//! the middle of a hundred, partitions move to it. It goes on at their committed offset, and works once more on everything
//! that was done and not committed. rdkafka calls back before it gives partitions away: the last moment at which this member
//! can commit for them.
//!
//! Write the two methods of `Progress`:
//! <https://docs.rs/rdkafka/latest/rdkafka/consumer/trait.ConsumerContext.html>.
//!
//! Check it with `make exercise-3b`. Read first: book/src/03_consumer_groups.md

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

const TOPIC: &str = "orders";
/// After this many records the loop commits.
const BATCH: usize = 100;
/// How long one poll waits for a record.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// What is done with each record.
type Work<'a> = dyn FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()> + 'a;

/// How far a member is. rdkafka has it at hand when it calls back.
#[derive(Default)]
struct Progress {
    /// Of each partition of [`TOPIC`] with records that are done and not committed, the offset to commit: that of the next
    /// record.
    done: Mutex<BTreeMap<i32, i64>>,
}

impl Progress {
    /// Takes note that the work on `record` is done.
    fn record_done(&self, record: &BorrowedMessage<'_>) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert(record.partition(), record.offset() + 1);
    }

    /// Commits what is done, waits until the broker has it, and forgets it. With nothing to commit, does nothing.
    ///
    /// # Errors
    ///
    /// When the broker did not take it.
    fn commit(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        todo!(
            "commit the {:?} of {:?} by {consumer:p} in mode {:?}",
            self.done.lock().map(|done| list(&done)),
            self.done,
            CommitMode::Sync
        )
    }

    /// Partitions are about to be taken away from this member, or have been given to it. It still owns what is about to be
    /// taken away.
    fn before_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        todo!(
            "{consumer:p} is told to {rebalance:?}, and this is done: {:?}",
            self.done
        )
    }
}

impl ClientContext for Progress {}

impl ConsumerContext for Progress {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // A consumer that is dropped calls back, too. If a panic drops it, a second panic would end the program.
        if !thread::panicking() {
            self.before_rebalance(consumer, rebalance);
        }
    }
}

/// These offsets of [`TOPIC`], as `commit` takes them.
fn list(done: &BTreeMap<i32, i64>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in done {
        list.add_partition_offset(TOPIC, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// Works on records until `stop` is set. What calls back does so from within `poll`, so never in the middle of a record.
///
/// # Errors
///
/// When the consumer or the work fails.
fn run(
    consumer: &BaseConsumer<Progress>,
    stop: &AtomicBool,
    work: &mut Work<'_>,
) -> anyhow::Result<()> {
    let progress = consumer.context();
    let mut since_commit = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(polled) = consumer.poll(POLL_TIMEOUT) else {
            continue;
        };
        let record = polled.context("read the next record")?;
        work(&record)?;
        progress.record_done(&record);
        since_commit += 1;
        if since_commit >= BATCH {
            progress.commit(consumer).context("commit a batch")?;
            since_commit = 0;
        }
    }
    progress.commit(consumer).context("commit at the end")
}

/// A member of `group` that reads [`TOPIC`].
fn member(settings: &ClientConfig, group: &str) -> KafkaResult<BaseConsumer<Progress>> {
    let mut settings = settings.clone();
    settings
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        // How soon a member learns that the group is changing.
        .set("heartbeat.interval.ms", "100");
    let consumer: BaseConsumer<Progress> = settings.create_with_context(Progress::default())?;
    consumer.subscribe(&[TOPIC])?;
    Ok(consumer)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder().start().await?;
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", broker.bootstrap_servers());
    let producer: FutureProducer = settings.create()?;
    for number in 0..40 {
        let (key, order) = (format!("customer-{number}"), format!("order {number}"));
        let record = FutureRecord::to(TOPIC).key(&key).payload(&order);
        let report = producer.send(record, Duration::ZERO).await;
        report.map_err(|(error, _record)| error)?;
    }

    // The second member joins while the first one is at work.
    let stop = AtomicBool::new(false);
    let work_as = |name: &'static str| {
        let (consumer, stop) = (member(&settings, "kitchen")?, &stop);
        run(&consumer, stop, &mut |record| {
            thread::sleep(Duration::from_millis(20));
            let place = (record.partition(), record.offset());
            println!("{name} did partition {} offset {}", place.0, place.1);
            Ok(())
        })
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| work_as("the first"));
        thread::sleep(Duration::from_millis(400));
        let second = scope.spawn(|| work_as("the second"));
        thread::sleep(Duration::from_millis(1500));
        stop.store(true, Ordering::Relaxed);
        for member in [first, second] {
            member
                .join()
                .map_err(|_| anyhow::anyhow!("a member panicked"))??;
        }
        Ok(())
    })
}

#[cfg(test)]
#[path = "../tests/checks/03b_commit_on_revoke.rs"]
mod checks;
