//! Time as the state sees it: handed in, never read, so that a test can drive hours in microseconds.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment, on the two clocks that a broker needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Monotonic: for deadlines, sessions and time-outs.
    pub(crate) instant: Instant,
    /// Milliseconds since the Unix epoch: for record timestamps and retention.
    pub(crate) unix_ms: i64,
}

impl Now {
    /// Reads both clocks of the machine.
    pub(crate) fn read() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            instant: Instant::now(),
            unix_ms: i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// The same moment, `step` later on both clocks.
    #[cfg(test)]
    pub(crate) fn after(self, step: Duration) -> Self {
        Self {
            instant: self.instant + step,
            unix_ms: self.unix_ms + step.as_millis() as i64,
        }
    }
}

/// A duration from a count of milliseconds as the protocol carries it; a negative count is no time at all.
pub(crate) fn millis(count: i32) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}
