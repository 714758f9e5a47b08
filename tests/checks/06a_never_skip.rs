//! The check of exercise 6a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;

use super::{Retries, TOPIC, run, settings};
use support::{create_topics, returns_unless, start_broker, write};

const GROUP: &str = "kitchen";
const PARTITIONS: i32 = 2;
const RECORDS: [&str; 6] = ["0", "1", "2", "3", "4", "5"];
/// The record whose work fails, and its partition.
const FAILING: (i32, i64) = (0, 3);
/// Far longer after its time has come nobody tries it again.
const OVERDUE: Duration = Duration::from_millis(1500);

/// A broker with [`RECORDS`] in each of two partitions.
fn kitchen() -> Arc<Broker> {
    let broker = start_broker();
    create_topics(&broker, PARTITIONS, &[TOPIC]);
    for partition in 0..PARTITIONS {
        write(&broker, TOPIC, partition, &RECORDS);
    }
    Arc::new(broker)
}

/// A member of the group that has to leave it when it has not polled for a second.
fn member(broker: &Broker) -> BaseConsumer {
    let mut settings = settings(&broker.bootstrap_servers(), GROUP);
    settings
        .set("client.id", "cook")
        .set("heartbeat.interval.ms", "100")
        .set("session.timeout.ms", "1000")
        .set("max.poll.interval.ms", "1000")
        .set("fetch.wait.max.ms", "50");
    let consumer: BaseConsumer = settings.create().expect("`settings` is part of the stub");
    consumer.subscribe(&[TOPIC]).unwrap();
    consumer
}

/// Work that fails on one record the first few times, and looks each time at what was done with it before.
struct Cook {
    broker: Arc<Broker>,
    delay: Duration,
    failures_left: usize,
    /// When the work has failed on the record that waits now.
    failed_at: Arc<Mutex<Option<Instant>>>,
    /// Of each partition, the next record to come.
    expected: Vec<i64>,
}

impl Cook {
    fn new(broker: &Arc<Broker>, delay: Duration, failures: usize) -> Self {
        Self {
            broker: Arc::clone(broker),
            delay,
            failures_left: failures,
            failed_at: Arc::default(),
            expected: vec![0; PARTITIONS as usize],
        }
    }

    fn work(&mut self, record: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        let (partition, offset) = (record.partition(), record.offset());
        let expected = &mut self.expected[partition as usize];
        assert!(
            offset <= *expected,
            "record {offset} of partition {partition} was worked on, and record {expected} was not done: its work had \
             failed, and whoever goes on commits past it and loses it. Pause its partition, and seek back to the record \
             itself. Chapter 6, 'Never skip'."
        );
        assert!(
            offset == *expected,
            "record {offset} of partition {partition} was worked on again, and record {expected} should have come: seek \
             to the offset of the record that failed. Chapter 6, 'Never skip'."
        );
        let committed = self.broker.snapshot().committed(GROUP, TOPIC, partition);
        assert!(
            committed.is_none_or(|committed| committed <= offset),
            "offset {committed:?} of partition {partition} was committed before record {offset} was done: commit what is \
             done, and nothing else. Chapter 3, 'Commit after the work'."
        );
        if (partition, offset) == FAILING {
            let failed_at = self.failed_at.lock().unwrap().take();
            if let Some(failed_at) = failed_at {
                let waited = failed_at.elapsed();
                assert!(
                    waited >= self.delay,
                    "record {offset} was tried again after {waited:.0?}, and it should have waited {:?}: a database \
                     that is down is not helped by being asked all the time. Pause the partition, and resume it when \
                     its time has come. Chapter 6, 'Pause instead of sleep'.",
                    self.delay
                );
            }
            if self.failures_left > 0 {
                self.failures_left -= 1;
                *self.failed_at.lock().unwrap() = Some(Instant::now());
                anyhow::bail!("the database is down");
            }
        }
        *expected += 1;
        Ok(())
    }
}

/// Runs the loop over all records.
fn cook(broker: &Arc<Broker>, delay: Duration, failures: usize) {
    let broker = Arc::clone(broker);
    let mut cook = Cook::new(&broker, delay, failures);
    let failed_at = Arc::clone(&cook.failed_at);
    let is_overdue = move || {
        let failed_at = failed_at.lock().unwrap();
        failed_at.is_some_and(|failed_at| failed_at.elapsed() > delay + OVERDUE)
    };
    let missing = "the loop did not get all records done. A partition that was paused has to be resumed when its time has \
                   come. Chapter 6, 'Pause instead of sleep'.";
    returns_unless(missing, is_overdue, move || {
        let consumer = member(&broker);
        let all = RECORDS.len() * PARTITIONS as usize;
        let mut work = |record: &BorrowedMessage<'_>| cook.work(record);
        let outcome = run(&consumer, Retries::new(delay), all, &mut work);
        let left = broker
            .requests()
            .client_id("cook")
            .count(ApiKey::LeaveGroup);
        assert_eq!(
            left,
            0,
            "the member left its group, because it had not polled for {:?}: its partitions go to another member, which \
             meets the same record and is expelled in its turn. Do not wait in `postpone` or `resume_due`: pause the \
             partition and go on polling. Chapter 6, 'Pause instead of sleep'.",
            Duration::from_secs(1)
        );
        outcome.expect("the broker runs, so the loop has to return Ok");
        for partition in 0..PARTITIONS {
            assert_eq!(
                broker.snapshot().committed(GROUP, TOPIC, partition),
                Some(RECORDS.len() as i64),
                "all records of partition {partition} are done"
            );
        }
    });
}

#[test]
fn a_record_that_fails_is_tried_again_before_the_next_one() {
    cook(&kitchen(), Duration::from_millis(150), 2);
}

#[test]
fn the_member_stays_in_its_group_while_a_record_waits() {
    // Longer than a member may go without a poll, and by as much as librdkafka takes to notice (500 ms).
    cook(&kitchen(), Duration::from_millis(1600), 1);
}
