//! Count what became of every record, so that "at least once" and "exactly once" are numbers and not claims.
//!
//! The sender writes down what it sent, the receiver what it saw, each record by its key and a sequence number within
//! the key. The difference is the delivery semantics:
//!
//! ```
//! use kafka_event_streaming::ledger::Ledger;
//!
//! let ledger = Ledger::new();
//! for sequence in 0..4 {
//!     ledger.sent("order-1", sequence);
//! }
//! for sequence in [0, 1, 1, 3] {
//!     ledger.seen("order-1", sequence);
//! }
//! let report = ledger.report();
//! assert_eq!((report.once, report.duplicated, report.lost), (2, 1, 1));
//! assert!(!report.is_at_least_once());
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was sent and what was seen. Clones share one ledger: give one to each task.
#[derive(Clone, Default)]
pub struct Ledger {
    /// By key. One lock is enough: it is held for two look-ups, about 0.1 µs.
    pages: Arc<Mutex<HashMap<Box<[u8]>, Page>>>,
}

/// What is known of one key.
#[derive(Default)]
struct Page {
    /// The records, 64 consecutive sequence numbers together: half a byte a record where numbers are dense, and no
    /// more than one block for a number out of nowhere.
    blocks: HashMap<u64, Block>,
    /// The highest number seen. A record below it that is new arrived out of order.
    highest_seen: Option<u64>,
    /// Records whose first sight came after that of a later one.
    reordered: u64,
    /// Sights beyond each record's first.
    repeats: u64,
}

/// One bit a record. Sets rather than counters, so that it does not matter whether a record is seen before its sender
/// has written it down.
#[derive(Default)]
struct Block {
    sent: u64,
    seen: u64,
    seen_again: u64,
}

/// The numbers. `sent` = `once` + `duplicated` + `lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerReport {
    /// Records that were sent.
    pub sent: u64,
    /// Of these, records that were seen exactly once.
    pub once: u64,
    /// Of these, records that were seen more than once.
    pub duplicated: u64,
    /// Of these, records that were not seen. Before the reader is through, they are just on their way.
    pub lost: u64,
    /// Records that were first seen after a later one of the same key. Seeing one again is no reordering.
    pub reordered: u64,
    /// Records that were seen, though they do not count as sent: another run's, or those of a transaction that was
    /// aborted.
    pub unexpected: u64,
    /// Sights beyond the first, of all records: how much work was done for nothing.
    pub repeats: u64,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes down that a record was sent. Call it when the record counts: after its delivery report, or after the
    /// commit of its transaction.
    pub fn sent(&self, key: impl AsRef<[u8]>, sequence: u64) {
        self.turn_to(key.as_ref(), |page| {
            let (block, bit) = page.find(sequence);
            block.sent |= bit;
        });
    }

    /// Writes down that a record was seen, each time it is.
    pub fn seen(&self, key: impl AsRef<[u8]>, sequence: u64) {
        self.turn_to(key.as_ref(), |page| {
            let (block, bit) = page.find(sequence);
            if block.seen & bit != 0 {
                block.seen_again |= bit;
                page.repeats += 1;
                return;
            }
            block.seen |= bit;
            if page.highest_seen.is_some_and(|highest| sequence < highest) {
                page.reordered += 1;
            } else {
                page.highest_seen = Some(sequence);
            }
        });
    }

    /// The numbers so far, over all keys.
    pub fn report(&self) -> LedgerReport {
        let mut total = LedgerReport::default();
        for page in self.lock().values() {
            total += page.report();
        }
        total
    }

    /// The numbers so far of each key in which something is not as it should be, by key.
    pub fn faults(&self) -> BTreeMap<String, LedgerReport> {
        self.lock()
            .iter()
            .map(|(key, page)| (key, page.report()))
            .filter(|(_, report)| !report.is_exactly_once() || report.reordered > 0)
            .map(|(key, report)| (String::from_utf8_lossy(key).into_owned(), report))
            .collect()
    }

    fn turn_to(&self, key: &[u8], write: impl FnOnce(&mut Page)) {
        let mut pages = self.lock();
        match pages.get_mut(key) {
            Some(page) => write(page),
            None => write(pages.entry(key.into()).or_default()),
        }
    }

    /// A panic elsewhere leaves whole entries behind, so the ledger stays usable.
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Page>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn find(&mut self, sequence: u64) -> (&mut Block, u64) {
        let block = self.blocks.entry(sequence / 64).or_default();
        (block, 1 << (sequence % 64))
    }

    fn report(&self) -> LedgerReport {
        let mut report = LedgerReport {
            reordered: self.reordered,
            repeats: self.repeats,
            ..LedgerReport::default()
        };
        let count = |bits: u64| u64::from(bits.count_ones());
        for Block {
            sent,
            seen,
            seen_again,
        } in self.blocks.values()
        {
            report.sent += count(*sent);
            report.once += count(sent & seen & !seen_again);
            report.duplicated += count(sent & seen_again);
            report.lost += count(sent & !seen);
            report.unexpected += count(seen & !sent);
        }
        report
    }
}

impl LedgerReport {
    /// What stands above the [columns](Self::columns) of a table.
    pub const HEADINGS: &str = "    sent    once  duplicated    lost";

    /// The numbers that a delivery is judged by, for a line of a table.
    pub fn columns(&self) -> String {
        let Self {
            sent,
            once,
            duplicated,
            lost,
            ..
        } = self;
        format!("{sent:>8}{once:>8}{duplicated:>12}{lost:>8}")
    }

    /// A table as wide as a terminal of 80 columns: a line for each report, with what it is about before its numbers.
    pub fn table(heading: &str, about: &[&str], reports: &[Self]) -> String {
        let mut table = format!("{heading:44}{}", Self::HEADINGS);
        for (about, report) in about.iter().zip(reports) {
            table.push_str(&format!("\n{about:44}{}", report.columns()));
        }
        table
    }

    /// True when nothing was lost.
    pub fn is_at_least_once(&self) -> bool {
        self.lost == 0
    }

    /// True when every record that was sent was seen once, and no other.
    pub fn is_exactly_once(&self) -> bool {
        self.once == self.sent && self.unexpected == 0
    }
}

impl AddAssign for LedgerReport {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.once += other.once;
        self.duplicated += other.duplicated;
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.unexpected += other.unexpected;
        self.repeats += other.repeats;
    }
}

impl fmt::Display for LedgerReport {
    /// One line. Those of several runs stand below each other.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "sent {:>9}  once {:>9}  duplicated {:>7}  lost {:>7}  reordered {:>7}  unexpected {:>7}",
            self.sent, self.once, self.duplicated, self.lost, self.reordered, self.unexpected
        )
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ledger")
            .field("report", &self.report())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn ledger(sent: &[u64], seen: &[u64]) -> LedgerReport {
        let ledger = Ledger::new();
        sent.iter().for_each(|number| ledger.sent("key", *number));
        seen.iter().for_each(|number| ledger.seen("key", *number));
        let report = ledger.report();
        assert_eq!(
            report.sent,
            report.once + report.duplicated + report.lost,
            "{report}"
        );
        report
    }

    #[test]
    fn the_columns_of_a_table_stand_below_their_headings() {
        let report = ledger(&[0, 1, 2, 3], &[0, 1, 1]);
        assert_eq!(LedgerReport::HEADINGS.len(), report.columns().len());
        let expected = "       4       1           1       2";
        assert_eq!(report.columns(), expected);
        let table = LedgerReport::table("heading", &["one", "two"], &[report, report]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[2].starts_with("two ") && lines[2].ends_with(expected));
        assert_eq!(lines.iter().map(|line| line.len()).max(), Some(80));
    }

    /// S3-13, X1, X2: what a delivery promises shows in the numbers.
    #[test]
    fn each_fate_of_a_record_has_its_number() {
        for (name, sent, seen, expected) in [
            ("nothing", vec![], vec![], [0, 0, 0, 0, 0]),
            (
                "exactly once",
                vec![0, 1, 63, 64],
                vec![0, 1, 63, 64],
                [4, 0, 0, 0, 0],
            ),
            ("lost", vec![0, 1, 2], vec![0, 2], [2, 0, 1, 0, 0]),
            ("nothing seen", vec![7], vec![], [0, 0, 1, 0, 0]),
            // A member died after the work and before the commit: the next one starts at 1.
            (
                "read again",
                vec![0, 1, 2],
                vec![0, 1, 2, 1, 2],
                [1, 2, 0, 0, 0],
            ),
            ("seen three times", vec![0], vec![0, 0, 0], [0, 1, 0, 0, 0]),
            (
                "out of order",
                vec![0, 1, 2],
                vec![2, 0, 1],
                [3, 0, 0, 2, 0],
            ),
            ("swapped", vec![0, 1, 2], vec![1, 0, 2], [3, 0, 0, 1, 0]),
            ("aborted", vec![0], vec![0, 1], [1, 0, 0, 0, 1]),
            (
                "far apart",
                vec![0, u64::MAX],
                vec![u64::MAX],
                [1, 0, 1, 0, 0],
            ),
        ] {
            let report = ledger(&sent, &seen);
            let LedgerReport {
                once,
                duplicated,
                lost,
                reordered,
                unexpected,
                ..
            } = report;
            assert_eq!(
                [once, duplicated, lost, reordered, unexpected],
                expected,
                "{name}"
            );
            assert_eq!(report.is_at_least_once(), lost == 0, "{name}");
            let exactly_once = duplicated + lost + unexpected == 0;
            assert_eq!(report.is_exactly_once(), exactly_once, "{name}");
        }
        assert_eq!(ledger(&[0], &[0, 0, 0]).repeats, 2);
    }

    /// S3-13: a receiver may be faster than the sender's bookkeeping.
    #[test]
    fn a_record_may_be_seen_before_it_is_written_down() {
        let ledger = Ledger::new();
        ledger.seen("key", 0);
        assert_eq!(ledger.report().unexpected, 1);
        ledger.sent("key", 0);
        assert!(ledger.report().is_exactly_once());
    }

    /// S1-04, S3-13: order is a promise within a key, and faults are told by key.
    #[test]
    fn keys_are_counted_apart() {
        let ledger = Ledger::new();
        for (key, number) in [("a", 0), ("b", 5), ("a", 1), ("b", 6)] {
            ledger.sent(key, number);
            ledger.seen(key, number);
        }
        assert!(ledger.faults().is_empty(), "{:?}", ledger.faults());
        ledger.sent("b", 7);
        ledger.sent([0xff], 0);
        ledger.seen([0xff], 0);
        ledger.seen([0xff], 0);
        let faults = ledger.faults();
        assert_eq!(faults.keys().collect::<Vec<_>>(), ["b", "\u{fffd}"]);
        assert_eq!(faults["b"].lost, 1);
        assert_eq!(ledger.report().sent, 6);
    }

    /// S3-13: many tasks write into one ledger, and nothing is miscounted.
    #[test]
    fn threads_share_a_ledger() {
        const KEYS: u64 = 4;
        const RECORDS: u64 = 250_000;
        let ledger = Ledger::new();
        thread::scope(|scope| {
            for key in 0..KEYS {
                for is_sender in [true, false] {
                    let ledger = ledger.clone();
                    scope.spawn(move || {
                        let key = format!("key-{key}");
                        for sequence in 0..RECORDS {
                            if is_sender {
                                ledger.sent(&key, sequence);
                            } else {
                                ledger.seen(&key, sequence);
                            }
                        }
                    });
                }
            }
        });
        let report = ledger.report();
        assert_eq!(report.sent, KEYS * RECORDS);
        assert!(report.is_exactly_once(), "{report}");
        assert_eq!(report.reordered, 0);
    }

    #[test]
    fn reports_stand_below_each_other() {
        let small = LedgerReport::default().to_string();
        let large = ledger(&[0, 1, 2_000_000], &[1, 0]).to_string();
        assert_eq!(small.len(), large.len());
        assert_eq!(
            large,
            "sent         3  once         2  duplicated       0  lost       1  reordered       1  unexpected       0"
        );
    }
}
