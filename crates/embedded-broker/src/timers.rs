//! What falls due when: one queue for all of the state, so that an idle broker sleeps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

/// What to look at when a timer fires. Firing is a hint: the owner checks what is really due, so that a session that
/// was extended needs no timer cancelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Sessions, rebalance time-outs and the initial delay of the group with this id.
    Group(String),
    /// The time-out of the transaction under this transactional id.
    Transaction(String),
    /// Retention and compaction of the logs.
    Logs,
    /// Transactional ids, producers and offsets that nobody used for long.
    Forgetting,
}

/// The queue of timers, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// Tells the task that sleeps until the earliest timer that there is an earlier one now.
    earlier: Arc<Notify>,
}

impl Timers {
    /// Has `timer` fire at `at` or shortly after.
    pub(crate) fn schedule(&mut self, at: Instant, timer: Timer) {
        if self.next().is_none_or(|next| at < next) {
            self.earlier.notify_one();
        }
        self.queue.push(Reverse((at, timer)));
    }

    /// The same in place of the times at which `timer` was to fire before. For timers that are set often and seldom fire.
    pub(crate) fn reschedule(&mut self, at: Instant, timer: Timer) {
        self.queue.retain(|Reverse((_, queued))| *queued != timer);
        self.schedule(at, timer);
    }

    /// When the earliest timer fires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop().map(|Reverse((_, timer))| timer)
    }

    /// What the sleeping task waits on beside its own time.
    pub(crate) fn earlier(&self) -> Arc<Notify> {
        Arc::clone(&self.earlier)
    }
}
