//! What is forgotten when it was at rest for long: transactional ids, producers, offsets, and groups without either members
//! or offsets.
//!
//! Looked at every 10 minutes while there is any of it; a broker without sleeps. What has no time of its own is at rest since
//! the first look that found it so, so that it is kept for up to one look longer than was set.

use std::time::{Duration, Instant};

use crate::clock::Now;
use crate::state::State;
use crate::timers::Timer;

/// `offsets.retention.check.interval.ms` and `producer.id.expiration.check.interval.ms` of Apache Kafka, which looks for
/// transactional ids every hour only (`transaction.remove.expired.transaction.cleanup.interval.ms`).
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// When something is at rest, as far as looks can tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest {
    /// The first look since it last moved.
    seen: Option<Instant>,
}

impl Rest {
    /// It moved.
    pub(crate) fn end(&mut self) {
        self.seen = None;
    }

    /// A look that finds it at rest: for how long it is.
    pub(crate) fn look(&mut self, now: Now) -> Duration {
        let seen = *self.seen.get_or_insert(now.instant);
        now.instant.saturating_duration_since(seen)
    }
}

/// The looks at what may be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Forgetting {
    /// Whether a timer for the next look is in the queue.
    is_scheduled: bool,
}

impl State {
    /// To be called whenever something was done: has somebody look later if there is something that may be forgotten.
    pub(crate) fn foresee_forgetting(&mut self, now: Now) {
        if self.forgetting.is_scheduled {
            return;
        }
        let remembers = !self.transactions.is_empty()
            || !self.groups.is_empty()
            || self.topics.upkeep.has_producers();
        if remembers {
            self.forgetting.is_scheduled = true;
            self.timers
                .schedule(now.instant + INTERVAL, Timer::Forgetting);
        }
    }

    /// Forgets what was at rest for long enough.
    pub(crate) fn forget(&mut self, now: Now) {
        self.forgetting.is_scheduled = false;
        self.transactions
            .forget(now, self.settings.transactional_id_expiration);
        self.groups.forget(now, self.settings.offsets_retention);
        let mut has_producers = false;
        for topic in self.topics.iter_mut() {
            for partition in &mut topic.partitions {
                has_producers |= partition
                    .log
                    .forget_producers(now, self.settings.producer_id_expiration);
            }
        }
        self.topics.upkeep.set_has_producers(has_producers);
        self.foresee_forgetting(now);
    }
}

#[cfg(test)]
mod tests;
