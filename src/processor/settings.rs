//! How a processor works: how much at the same time, how patiently, and what it does when patience ends.

use std::time::Duration;

use crate::retry::RetryPolicy;

/// How a [`Processor`](super::Processor) works. Start from [`default`](Self::default) and change what differs.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessorSettings {
    /// Which records may be worked on at the same time.
    pub concurrency: Concurrency,
    /// How transient failures are tried again.
    pub retry: RetryPolicy,
    /// What is done when the policy allows no further attempt. A record is passed over in no case.
    pub when_exhausted: WhenExhausted,
    /// How long one attempt may take. It is dropped then, and counts as a transient failure: without it, a handler that
    /// hangs keeps its partition for ever, because the member itself stays alive.
    pub attempt_timeout: Duration,
    /// How often offsets are committed. What was processed since then is done again after a crash.
    pub commit_interval: Duration,
    /// How long work in flight may take to finish when the processor stops, or when the group takes its partition away.
    /// What takes longer is dropped, and done again by the next owner.
    pub drain_timeout: Duration,
    /// How many records may be held at the same time: waiting, worked on, or waiting to be tried again.
    pub capacity: usize,
}

/// Which records may be worked on at the same time. All of them run in the processor's own task: they wait at the same
/// time, and compute one after the other. For work that computes for long use `tokio::task::spawn_blocking`, or more
/// members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// One. While a record waits to be tried again, those of other partitions go on.
    Sequential,
    /// One of each partition.
    ByPartition,
    /// One of each key, up to so many. Those without a key share the lane of their partition.
    ByKey {
        /// How many.
        workers: usize,
    },
}

/// What is done when a transient failure does not end. Never is: go on to the next record (row X1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenExhausted {
    /// The processor stops with [`GaveUp`](super::ProcessorError::GaveUp). Whoever restarts it tries again.
    Stop,
    /// It goes on trying, at the policy's longest delay. The partition stands still meanwhile, and its lag grows.
    KeepTrying,
    /// The record is put aside as if it were poison (row S2-10).
    DeadLetter,
}

impl Default for ProcessorSettings {
    fn default() -> Self {
        Self {
            concurrency: Concurrency::Sequential,
            retry: RetryPolicy::default(),
            when_exhausted: WhenExhausted::Stop,
            attempt_timeout: Duration::from_secs(300),
            commit_interval: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
            capacity: 1_000,
        }
    }
}

impl Concurrency {
    /// How many lanes may work at the same time.
    pub(super) fn limit(self) -> usize {
        match self {
            Self::Sequential => 1,
            Self::ByPartition => usize::MAX,
            Self::ByKey { workers } => workers,
        }
    }
}
