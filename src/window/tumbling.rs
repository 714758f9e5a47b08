//! The arithmetic of windows: which one a moment falls into, and when it is over. No Kafka, no clock, no state.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Windows of one size, side by side, without gaps and without overlap: each moment falls into exactly one. They are
/// aligned to 1970, so that every process cuts time in the same places, whenever it was started.
///
/// Time is that of the events, never that of a clock: the same records give the same windows a year later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TumblingWindows {
    /// Milliseconds, at least 1.
    size_ms: i64,
    /// Milliseconds.
    grace_ms: i64,
}

/// One window: from its start up to, and without, its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Milliseconds since 1970.
    start_ms: i64,
    /// Milliseconds since 1970.
    end_ms: i64,
}

impl TumblingWindows {
    /// Windows of this size, which close without grace. Sizes are whole milliseconds, as Kafka's timestamps are; less
    /// than one counts as one.
    pub fn of(size: Duration) -> Self {
        Self {
            size_ms: milliseconds(size).max(1),
            grace_ms: 0,
        }
    }

    /// The same windows, which close so much later: for so long a record may come behind one that is later than it.
    ///
    /// More counts more of the late records, and keeps each window in memory for longer.
    pub fn with_grace(self, grace: Duration) -> Self {
        Self {
            grace_ms: milliseconds(grace),
            ..self
        }
    }

    /// How long a window is, in milliseconds.
    pub fn size_ms(&self) -> i64 {
        self.size_ms
    }

    /// The window that this moment falls into.
    pub fn window_of(&self, time_ms: i64) -> Window {
        // `rem_euclid`: before 1970, too, a window begins before its moments and not behind them.
        self.starting_at(time_ms.saturating_sub(time_ms.rem_euclid(self.size_ms)))
    }

    /// The window with this start.
    pub(super) fn starting_at(&self, start_ms: i64) -> Window {
        Window {
            start_ms,
            end_ms: start_ms.saturating_add(self.size_ms),
        }
    }

    /// The moment up to which nothing is expected any more, once a record of `latest_ms` was seen and none later.
    pub fn watermark(&self, latest_ms: i64) -> i64 {
        latest_ms.saturating_sub(self.grace_ms)
    }

    /// Whether a window is over, once a record of `latest_ms` was seen.
    pub fn is_closed(&self, window: Window, latest_ms: i64) -> bool {
        window.end_ms <= self.watermark(latest_ms)
    }
}

impl Window {
    /// Milliseconds since 1970.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// The first moment of the window.
    pub fn start(&self) -> Timestamp {
        timestamp(self.start_ms)
    }

    /// The first moment behind the window.
    pub fn end(&self) -> Timestamp {
        timestamp(self.end_ms)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A moment that is too far away to be written becomes the last one that can be.
fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(if milliseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn minutes() -> TumblingWindows {
        TumblingWindows::of(Duration::from_secs(60))
    }

    /// X13: start included, end excluded, no gap and no overlap, on both sides of 1970.
    #[test]
    fn each_moment_falls_into_one_window() {
        for (time, start) in [
            (0, 0),
            (1, 0),
            (MINUTE - 1, 0),
            (MINUTE, MINUTE),
            (MINUTE + 1, MINUTE),
            (-1, -MINUTE),
            (-MINUTE, -MINUTE),
            (-MINUTE - 1, -2 * MINUTE),
        ] {
            let window = minutes().window_of(time);
            assert_eq!(
                (window.start_ms, window.end_ms),
                (start, start + MINUTE),
                "{time}"
            );
        }
        let window = minutes().window_of(1_773_480_413_589);
        assert_eq!(window.start().to_string(), "2026-03-14T09:26:00Z");
        assert_eq!(window.end().to_string(), "2026-03-14T09:27:00Z");
    }

    /// X13: a window is over when the watermark reaches its end, and not a millisecond before.
    #[test]
    fn a_window_closes_when_its_grace_is_over() {
        let windows = minutes().with_grace(Duration::from_secs(10));
        let first = windows.window_of(0);
        for (latest, is_closed) in [
            (0, false),
            (MINUTE, false),
            (MINUTE + 9_999, false),
            (MINUTE + 10_000, true),
            (10 * MINUTE, true),
        ] {
            assert_eq!(windows.is_closed(first, latest), is_closed, "{latest}");
        }
        assert!(minutes().is_closed(first, MINUTE));
        // The window of the latest record itself never is.
        for time in [0, MINUTE - 1, MINUTE] {
            assert!(!minutes().is_closed(minutes().window_of(time), time));
        }
    }

    /// X13: times come from outside. None of them makes the arithmetic overflow.
    #[test]
    fn the_ends_of_time_are_windows_too() {
        for size in [Duration::ZERO, Duration::from_secs(60), Duration::MAX] {
            let windows = TumblingWindows::of(size).with_grace(size);
            for time in [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX] {
                let window = windows.window_of(time);
                assert!(window.start_ms <= time, "{size:?}, {time}");
                assert!(window.start() <= window.end(), "{size:?}, {time}");
                assert!(!windows.is_closed(window, i64::MIN) || window.end_ms == i64::MIN);
            }
        }
    }
}
