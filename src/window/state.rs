//! The open windows of one input partition, in memory. No Kafka: changes go in by [`WindowState::add`] and come out by
//! [`WindowState::changes`], and whoever stores them says afterwards whether that was committed.
//!
//! What the open transaction did is kept apart from what was committed before it. Committing moves it over, aborting drops
//! it: nothing has to be undone.

use std::collections::BTreeMap;

use super::{TumblingWindows, Window};

/// Totals by the start of their window, and by key within it. Ordered, so that the windows that close are in front.
type Totals<T> = BTreeMap<i64, BTreeMap<String, T>>;

/// The windows of one partition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WindowState<T> {
    windows: TumblingWindows,
    /// As of the last commit. Only windows that were not closed then.
    committed: Totals<T>,
    /// The totals that the open transaction has changed, as they are now.
    staged: Totals<T>,
    /// The latest event time as of the last commit. None before the first record.
    latest_ms: Option<i64>,
    /// The same, with what the open transaction has seen.
    staged_latest_ms: Option<i64>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// It is part of its window's total.
    Counted,
    /// Its window had closed. Nothing was changed.
    Late,
}

/// What the open transaction has to write.
#[derive(Debug, PartialEq)]
pub(super) enum Change<'a, T> {
    /// A total has a new value, and its window stays open.
    Updated {
        window: Window,
        key: &'a str,
        total: &'a T,
    },
    /// A window is over, and with it one of its totals, which is dropped.
    Closed {
        window: Window,
        key: &'a str,
        total: &'a T,
        /// Whether this transaction has changed it.
        is_updated: bool,
        /// Whether an earlier one has stored it.
        is_stored: bool,
    },
    /// A later record was seen than ever before.
    Advanced { latest_ms: i64 },
}

impl<T: Clone + Default> WindowState<T> {
    pub(super) fn new(windows: TumblingWindows) -> Self {
        Self {
            windows,
            committed: BTreeMap::new(),
            staged: BTreeMap::new(),
            latest_ms: None,
            staged_latest_ms: None,
        }
    }

    /// Adds a record to the total of its key in its window, unless that is closed.
    ///
    /// Whether it is depends on the records before this one and on nothing else: not on how they were cut into
    /// transactions, nor on how often the process was restarted.
    pub(super) fn add(&mut self, time_ms: i64, key: &str, fold: impl FnOnce(&mut T)) -> Placement {
        let latest_ms = self
            .staged_latest_ms
            .map_or(time_ms, |latest| latest.max(time_ms));
        self.staged_latest_ms = Some(latest_ms);
        let window = self.windows.window_of(time_ms);
        if self.windows.is_closed(window, latest_ms) {
            return Placement::Late;
        }
        let staged = self.staged.entry(window.start_ms()).or_default();
        if let Some(total) = staged.get_mut(key) {
            fold(total);
            return Placement::Counted;
        }
        let committed = self.committed.get(&window.start_ms());
        let committed = committed.and_then(|totals| totals.get(key));
        let mut total = committed.cloned().unwrap_or_default();
        fold(&mut total);
        staged.insert(key.to_owned(), total);
        Placement::Counted
    }

    /// What this transaction has to write, earlier windows first.
    pub(super) fn changes(&self) -> Vec<Change<'_, T>> {
        let mut changes = Vec::new();
        // In both maps a total of `staged` hides that of `committed`.
        let mut totals: BTreeMap<(i64, &str), (&T, bool, bool)> = BTreeMap::new();
        let first_open = self.first_open(self.staged_latest_ms);
        for (start, key, total) in
            flat(&self.committed).take_while(|(start, ..)| *start < first_open)
        {
            totals.insert((start, key), (total, false, true));
        }
        for (start, key, total) in flat(&self.staged) {
            let is_stored = self
                .committed
                .get(&start)
                .is_some_and(|totals| totals.contains_key(key));
            totals.insert((start, key), (total, true, is_stored));
        }
        for ((start, key), (total, is_updated, is_stored)) in totals {
            let window = self.windows.starting_at(start);
            changes.push(if start < first_open {
                Change::Closed {
                    window,
                    key,
                    total,
                    is_updated,
                    is_stored,
                }
            } else {
                Change::Updated { window, key, total }
            });
        }
        if let Some(latest_ms) = self.staged_latest_ms
            && self.staged_latest_ms != self.latest_ms
        {
            changes.push(Change::Advanced { latest_ms });
        }
        changes
    }

    /// What was staged was committed. Closed windows go.
    pub(super) fn commit(&mut self) {
        for (start, totals) in std::mem::take(&mut self.staged) {
            self.committed.entry(start).or_default().extend(totals);
        }
        self.latest_ms = self.staged_latest_ms;
        self.committed = self.committed.split_off(&self.first_open(self.latest_ms));
    }

    /// What was staged was aborted.
    pub(super) fn abort(&mut self) {
        self.staged.clear();
        self.staged_latest_ms = self.latest_ms;
    }

    /// Takes over a total that an earlier process has stored, or that it has dropped.
    pub(super) fn restore(&mut self, start_ms: i64, key: String, total: Option<T>) {
        let totals = self.committed.entry(start_ms).or_default();
        match total {
            Some(total) => {
                totals.insert(key, total);
            }
            None => {
                totals.remove(&key);
                if totals.is_empty() {
                    self.committed.remove(&start_ms);
                }
            }
        }
    }

    /// Takes over how far an earlier process has come.
    pub(super) fn restore_latest(&mut self, latest_ms: i64) {
        self.latest_ms = Some(latest_ms);
        self.staged_latest_ms = Some(latest_ms);
    }

    /// How many totals are held.
    pub(super) fn len(&self) -> usize {
        self.committed.values().map(BTreeMap::len).sum()
    }

    /// The earliest start of a window that is still open.
    fn first_open(&self, latest_ms: Option<i64>) -> i64 {
        let Some(latest_ms) = latest_ms else {
            return i64::MIN;
        };
        // The window into which the watermark falls has its end behind it.
        let watermark = self.windows.watermark(latest_ms);
        self.windows.window_of(watermark).start_ms()
    }
}

fn flat<T>(totals: &Totals<T>) -> impl Iterator<Item = (i64, &str, &T)> {
    totals.iter().flat_map(|(start, keys)| {
        keys.iter()
            .map(|(key, total)| (*start, key.as_str(), total))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Windows of ten milliseconds that close five late.
    fn state() -> WindowState<u32> {
        let windows = TumblingWindows::of(Duration::from_millis(10));
        WindowState::new(windows.with_grace(Duration::from_millis(5)))
    }

    fn count(state: &mut WindowState<u32>, time_ms: i64, key: &str) -> Placement {
        state.add(time_ms, key, |total| *total += 1)
    }

    /// Changes as short texts.
    fn changes(state: &WindowState<u32>) -> Vec<String> {
        let text = |change: &Change<'_, u32>| match change {
            Change::Updated { window, key, total } => {
                format!("{key}@{} = {total}", window.start_ms())
            }
            Change::Closed {
                window,
                key,
                total,
                is_updated,
                is_stored,
            } => {
                let stored = if *is_stored { ", stored" } else { "" };
                let updated = if *is_updated { ", updated" } else { "" };
                format!(
                    "{key}@{} closed at {total}{stored}{updated}",
                    window.start_ms()
                )
            }
            Change::Advanced { latest_ms } => format!("latest {latest_ms}"),
        };
        state.changes().iter().map(text).collect()
    }

    /// X13: totals by key and window. What was changed is told once a transaction, with its last value.
    #[test]
    fn records_are_counted_by_key_and_window() {
        let mut state = state();
        for (time, key) in [(3, "tea"), (1, "coffee"), (12, "tea"), (4, "tea")] {
            assert_eq!(count(&mut state, time, key), Placement::Counted);
        }
        let expected = ["coffee@0 = 1", "tea@0 = 2", "tea@10 = 1", "latest 12"];
        assert_eq!(changes(&state), expected);
        state.commit();
        assert_eq!(changes(&state), [""; 0]);
        assert_eq!(count(&mut state, 11, "tea"), Placement::Counted);
        assert_eq!(changes(&state), ["tea@10 = 2"]);
    }

    /// X13: within the grace a late record counts; past it, it changes nothing.
    #[test]
    fn late_records_count_while_their_window_is_open() {
        let mut state = state();
        count(&mut state, 3, "tea");
        count(&mut state, 14, "tea");
        assert_eq!(count(&mut state, 9, "tea"), Placement::Counted);
        count(&mut state, 15, "tea");
        let before = state.clone();
        assert_eq!(count(&mut state, 9, "tea"), Placement::Late);
        assert_eq!(count(&mut state, i64::MIN, "tea"), Placement::Late);
        assert_eq!(state, before);
        assert_eq!(count(&mut state, 10, "tea"), Placement::Counted);
    }

    /// X13: closed windows are dropped, so what is held does not grow with the length of the stream.
    #[test]
    fn closed_windows_are_told_once_and_dropped() {
        let mut state = state();
        count(&mut state, 1, "coffee");
        count(&mut state, 2, "tea");
        state.commit();
        count(&mut state, 3, "tea");
        // Opened and closed within one transaction: nobody has stored it.
        count(&mut state, 11, "milk");
        count(&mut state, 30, "tea");
        let expected = [
            "coffee@0 closed at 1, stored",
            "tea@0 closed at 2, stored, updated",
            "milk@10 closed at 1, updated",
            "tea@30 = 1",
            "latest 30",
        ];
        assert_eq!(changes(&state), expected);
        state.commit();
        assert_eq!(state.len(), 1);

        for time in 0..100_000 {
            count(&mut state, time, "tea");
            if time % 100 == 0 {
                state.commit();
                assert!(state.len() <= 12, "{} totals at {time}", state.len());
            }
        }
    }

    /// X13: an aborted transaction leaves nothing behind, whatever it touched.
    #[test]
    fn an_aborted_transaction_leaves_no_trace() {
        let mut state = state();
        count(&mut state, 1, "tea");
        state.commit();
        let before = state.clone();
        for (time, key) in [(2, "tea"), (3, "coffee"), (90, "tea")] {
            count(&mut state, time, key);
        }
        state.abort();
        assert_eq!(state, before);
        // Not late: the record that closed its window was taken back.
        assert_eq!(count(&mut state, 2, "tea"), Placement::Counted);
    }

    /// X13: whatever the transactions, a state that is restored from what was stored equals the one that stored it; and
    /// the totals do not depend on where the stream was cut.
    #[test]
    fn a_restored_state_is_the_one_that_was_stored() {
        let mut random = fastrand::Rng::with_seed(13);
        let records: Vec<(i64, String)> = (0..2_000)
            .map(|number| {
                (
                    number / 4 + random.i64(-25..5),
                    format!("key-{}", random.u8(..5)),
                )
            })
            .collect();
        let mut outcomes = Vec::new();
        for transaction in [1, 7, 100, 2_000] {
            let mut state = state();
            let (mut closed, mut late) = (Vec::new(), 0);
            let mut stored = BTreeMap::new();
            let mut stored_latest = None;
            for batch in records.chunks(transaction) {
                for (time, key) in batch {
                    late += usize::from(count(&mut state, *time, key) == Placement::Late);
                }
                for change in state.changes() {
                    match change {
                        Change::Updated { window, key, total } => {
                            stored.insert((window.start_ms(), key.to_owned()), *total);
                        }
                        Change::Closed {
                            window, key, total, ..
                        } => {
                            stored.remove(&(window.start_ms(), key.to_owned()));
                            closed.push((window.start_ms(), key.to_owned(), *total));
                        }
                        Change::Advanced { latest_ms } => stored_latest = Some(latest_ms),
                    }
                }
                state.commit();
                // The process ends here, and another one goes on.
                let mut restored = self::state();
                for ((start, key), total) in &stored {
                    restored.restore(*start, key.clone(), Some(*total));
                }
                restored.restore_latest(stored_latest.unwrap());
                assert_eq!(restored, state);
                state = restored;
            }
            assert!(
                late > 10,
                "only {late} late records: the test shows too little"
            );
            closed.sort();
            outcomes.push((closed, late, stored));
        }
        for outcome in &outcomes[1..] {
            assert_eq!(outcome, &outcomes[0]);
        }
    }
}
