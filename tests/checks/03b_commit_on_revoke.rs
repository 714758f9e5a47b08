//! The check of exercise 3b. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message};

use super::{TOPIC, member, run};
use support::{create_topic, start_broker, write};

const GROUP: &str = "kitchen";
const PARTITIONS: i32 = 2;
/// So many records come at a time to each partition. All that come in the check are fewer than a batch.
const RECORDS: usize = 10;

/// What all members have done, and what the group has committed.
struct Kitchen {
    broker: Broker,
    /// How many records there are.
    ordered: Mutex<usize>,
    /// Partition and offset of each record that is done.
    done: Mutex<BTreeSet<(i32, i64)>>,
    /// Of each partition, the furthest offset that was ever seen committed.
    furthest: Mutex<Vec<i64>>,
}

impl Kitchen {
    fn open() -> Arc<Self> {
        let broker = start_broker();
        create_topic(&broker, TOPIC, PARTITIONS);
        // The first commit takes a moment. Whoever asks for the group's offsets meanwhile gets the old ones.
        let commits = broker.faults().on(ApiKey::OffsetCommit);
        commits.once().delay(Duration::from_millis(300));
        let kitchen = Self {
            broker,
            ordered: Mutex::default(),
            done: Mutex::default(),
            furthest: Mutex::new(vec![0; PARTITIONS as usize]),
        };
        kitchen.order();
        Arc::new(kitchen)
    }

    /// Writes more records to each partition.
    fn order(&self) {
        *self.ordered.lock().unwrap() += RECORDS * PARTITIONS as usize;
        for partition in 0..PARTITIONS {
            write(&self.broker, TOPIC, partition, &["order"; RECORDS]);
        }
    }

    fn is_all_done(&self) -> bool {
        self.done.lock().unwrap().len() == *self.ordered.lock().unwrap()
    }

    /// Both members know which partition is theirs.
    fn is_shared(&self) -> bool {
        let snapshot = self.broker.snapshot();
        let group = snapshot.group(GROUP);
        group.is_some_and(|group| {
            let mut members = group.members.iter();
            group.state == "Stable"
                && group.members.len() == 2
                && members.all(|member| member.assignment.len() == 1)
        })
    }

    /// Looks at what is committed. It may only grow. Called all the time: what went back may have grown again in a moment.
    fn look_at_commits(&self) {
        let furthest = self.furthest.lock();
        let mut furthest = furthest.unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.broker.snapshot();
        for (partition, furthest) in furthest.iter_mut().enumerate() {
            let committed = snapshot.committed(GROUP, TOPIC, partition as i32);
            let committed = committed.unwrap_or_default();
            assert!(
                committed >= *furthest,
                "the committed offset of partition {partition} went back from {furthest} to {committed}: a member has \
                 committed again what it had committed before, and another one was further by then. Forget what is \
                 committed. Chapter 3, 'Commit before the partitions go'."
            );
            *furthest = committed;
        }
    }

    fn work(&self, record: &BorrowedMessage<'_>) {
        self.look_at_commits();
        let (partition, offset) = (record.partition(), record.offset());
        let is_new = self.done.lock().unwrap().insert((partition, offset));
        assert!(
            is_new,
            "offset {offset} of partition {partition} was worked on a second time: another member had done it, and has let \
             the partition go without a commit. Commit what is done in `before_rebalance`, while the partition is still \
             yours: on Rebalance::Revoke. Chapter 3, 'Commit before the partitions go'."
        );
    }
}

/// A member at work on a thread of its own.
struct Member {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Member {
    fn start(kitchen: &Arc<Kitchen>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, kitchen) = (Arc::clone(&stop), Arc::clone(kitchen));
        let thread = thread::spawn(move || {
            let mut settings = ClientConfig::new();
            settings
                .set("bootstrap.servers", kitchen.broker.bootstrap_servers())
                .set("fetch.wait.max.ms", "50");
            let consumer = member(&settings, GROUP)?;
            run(&consumer, &told, &mut |record| {
                kitchen.work(record);
                Ok(())
            })
        });
        Self { stop, thread }
    }

    /// Ends it, and hands on what it failed with.
    fn end(self, kitchen: &Kitchen) {
        self.stop.store(true, Ordering::Relaxed);
        while !self.thread.is_finished() {
            kitchen.look_at_commits();
            thread::sleep(Duration::from_millis(2));
        }
        match self.thread.join() {
            Ok(outcome) => outcome.expect("nothing goes wrong here, so `run` has to return Ok"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Waits until it is so. A member that ends before has failed.
fn wait_until(
    is_so: impl Fn() -> bool,
    kitchen: &Kitchen,
    members: &mut Vec<Member>,
    missing: &str,
) {
    let deadline = Instant::now() + support::PATIENCE;
    while !is_so() {
        let mut ended = members.iter();
        if let Some(ended) = ended.position(|member| member.thread.is_finished()) {
            members.remove(ended).end(kitchen);
            panic!("`run` has returned before it was told to stop");
        }
        assert!(
            Instant::now() < deadline,
            "{missing}: a member that waits in its callback keeps the whole group waiting. Chapter 3, 'Commit before the \
             partitions go'."
        );
        kitchen.look_at_commits();
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_second_member_repeats_nothing() {
    let kitchen = Kitchen::open();
    let mut members = vec![Member::start(&kitchen)];
    let all_done = || kitchen.is_all_done();
    wait_until(
        all_done,
        &kitchen,
        &mut members,
        "the first member does not get its records done",
    );

    // The first one is in the middle of its batch.
    members.push(Member::start(&kitchen));
    wait_until(
        || kitchen.is_shared(),
        &kitchen,
        &mut members,
        "the members do not share the partitions",
    );
    kitchen.order();
    wait_until(
        all_done,
        &kitchen,
        &mut members,
        "two members do not get their records done",
    );

    // Then the first one has all partitions again, and goes on where the second one was.
    members.remove(1).end(&kitchen);
    kitchen.order();
    wait_until(
        all_done,
        &kitchen,
        &mut members,
        "the member that is left does not get its records done",
    );
    members.remove(0).end(&kitchen);

    kitchen.look_at_commits();
    let snapshot = kitchen.broker.snapshot();
    for partition in 0..PARTITIONS {
        assert_eq!(
            snapshot.committed(GROUP, TOPIC, partition),
            Some(3 * RECORDS as i64),
            "all records of partition {partition} are done, and both members have ended in order: this is what the group \
             has committed. Chapter 3, 'Commit before the partitions go'."
        );
    }
}
