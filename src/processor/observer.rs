//! Looking on while a processor works: for metrics, and for tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Error;
use crate::assignment::TopicPartition;
use crate::consumed_record::ConsumedRecord;

/// Looks on while a processor works. It is called within the loop: an observer that waits holds everything up. What is not
/// of interest need not be written.
pub trait Observer: Send + Sync + 'static {
    /// A record was processed, at this attempt.
    fn done(&self, _record: &ConsumedRecord<'_>, _attempt: u32) {}

    /// An attempt failed, and there is another one after the delay.
    fn retried(&self, _record: &ConsumedRecord<'_>, _reason: &str, _delay: Duration) {}

    /// A record was put aside, and the broker has it there.
    fn dead_lettered(&self, _record: &ConsumedRecord<'_>, _reason: &str) {}

    /// The broker has these offsets.
    fn committed(&self, _next_offsets: &BTreeMap<TopicPartition, i64>) {}

    /// A commit failed. It is tried again with the next one.
    fn commit_failed(&self, _error: &Error) {}

    /// So many records of a partition were not read yet. Told with each commit, if the consumer's
    /// [statistics](crate::config::ConsumerSettings::statistics_interval) are switched on.
    fn lag(&self, _partition: &TopicPartition, _records: i64) {}
}

/// What a processor has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records that were processed.
    pub done: u64,
    /// Attempts that failed and were followed by another one.
    pub retried: u64,
    /// Records that were put aside.
    pub dead_lettered: u64,
    /// Commits that the broker has taken.
    pub commits: u64,
}

/// An observer that counts. Share it between a processor and whoever wants to know.
#[derive(Debug, Default)]
pub struct Counters {
    done: AtomicU64,
    retried: AtomicU64,
    dead_lettered: AtomicU64,
    commits: AtomicU64,
}

impl Counters {
    /// The numbers so far.
    pub fn counts(&self) -> Counts {
        Counts {
            done: self.done.load(Ordering::Relaxed),
            retried: self.retried.load(Ordering::Relaxed),
            dead_lettered: self.dead_lettered.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }
}

impl Observer for Counters {
    fn done(&self, _: &ConsumedRecord<'_>, _: u32) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn retried(&self, _: &ConsumedRecord<'_>, _: &str, _: Duration) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    fn dead_lettered(&self, _: &ConsumedRecord<'_>, _: &str) {
        self.dead_lettered.fetch_add(1, Ordering::Relaxed);
    }

    fn committed(&self, _: &BTreeMap<TopicPartition, i64>) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }
}
