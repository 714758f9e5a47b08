//! Exercise 8a: the tumbling window.
//!
//! Sales per minute, by when they happened, not by when they arrive: event time. Records come late and out of order, so a
//! window stays open for a while after its end, the grace period. What time it is, only the records say: stream time is the
//! latest event time that was seen. A window closes when stream time reaches its end plus the grace period; then its total
//! is final, and what comes for it afterwards is counted as late, and left out.
//!
//! Write the four functions of `Windows`. No Kafka is in it: a consumer would call `add` for each record, send what it returns,
//! and keep what `save` returns together with its offsets.
//!
//! Check it with `make exercise-8a`. Read first: book/src/08_windows_and_state.md

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One sale, as it was recorded at the till.
#[derive(Debug, Clone, Copy)]
struct Sale {
    /// When it happened, in milliseconds since 1970. Before that it is negative.
    at: i64,
    cents: u64,
}

/// The final total of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Total {
    /// The window's first millisecond.
    start: i64,
    cents: u64,
}

/// Sales per window. All times are in milliseconds.
#[derive(Debug)]
struct Windows {
    /// A window is so long, and the next one begins where it ends. Windows begin at multiples of it.
    size: i64,
    /// So long after its end a window still takes sales.
    grace: i64,
    state: State,
}

/// What has to survive a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// The latest time of any sale so far, late ones included.
    stream_time: Option<i64>,
    /// The cents of the windows that are open, by their first millisecond.
    open: BTreeMap<i64, u64>,
    /// How many sales came too late.
    late: u64,
}

impl Windows {
    fn new(size: i64, grace: i64) -> Self {
        let state = State::default();
        Self { size, grace, state }
    }

    /// The first millisecond of the window that a sale at this time belongs to.
    fn start_of(&self, at: i64) -> i64 {
        todo!(
            "the start of the window of {} that {at} belongs to",
            self.size
        )
    }

    /// Adds a sale to its window, or counts it as late. Returns the windows that this closes, the earliest first; one in
    /// which nothing was sold is not returned.
    fn add(&mut self, sale: Sale) -> Vec<Total> {
        todo!(
            "add {} cents to the window from {} on in {:?}, and return every Total {{ start, cents }} whose grace period of {} is over",
            sale.cents,
            self.start_of(sale.at),
            self.state,
            self.grace
        )
    }

    /// All that has to survive a restart, as text.
    ///
    /// # Errors
    ///
    /// When it cannot be written as text.
    fn save(&self) -> anyhow::Result<String> {
        todo!("write {:?} as text", self.state)
    }

    /// Goes on where [`save`](Self::save) was called.
    ///
    /// # Errors
    ///
    /// When that is no text of `save`.
    fn restore(size: i64, grace: i64, saved: &str) -> anyhow::Result<Self> {
        todo!("windows of {size} with a grace period of {grace} and the state in {saved:?}")
    }
}

fn main() -> anyhow::Result<()> {
    const SECOND: i64 = 1000;
    let (size, grace) = (60 * SECOND, 10 * SECOND);
    let mut windows = Windows::new(size, grace);
    for (second, cents) in [
        (5, 350),
        (62, 120),
        (58, 200),
        (71, 90),
        (59, 400),
        (135, 80),
    ] {
        let at = second * SECOND;
        for Total { start, cents } in windows.add(Sale { at, cents }) {
            println!("the minute from second {}: {cents} cents", start / SECOND);
        }
        // As after a restart.
        windows = Windows::restore(size, grace, &windows.save()?)?;
    }
    println!("too late: {}", windows.state.late);
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/08a_tumbling_window.rs"]
mod checks;
