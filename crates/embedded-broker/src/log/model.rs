//! Random walks: logs that are appended to, cut, kept to their size and compacted in any order, beside a plain list of what
//! was appended. Whatever happened, a reader must find what the list says.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;

use super::batch::{BatchHeader, Codec};
use super::testing::{TestBatch, TestLog, TestRecord};
use super::transactions::TransactionResult;

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];
const DELETE_RETENTION_MS: i64 = 500;
const TRANSACTIONAL: usize = 3;

/// A log and what a reader may expect of it.
struct Walk {
    random: Rng,
    log: TestLog,
    /// Everything that was ever appended.
    appended: Vec<Appended>,
    /// Every transaction that was ever begun.
    transactions: Vec<Transaction>,
    /// Up to where the log was compacted.
    compacted_to: i64,
    /// When a tombstone was first compacted, by its offset.
    compacted_at: HashMap<i64, i64>,
    /// The next sequence number of each producer. Those from [`TRANSACTIONAL`] on use transactions.
    sequences: [i32; 5],
}

struct Appended {
    record: TestRecord,
    /// The index of its transaction.
    transaction: Option<usize>,
}

struct Transaction {
    producer_id: usize,
    first_offset: i64,
    /// None while it is open.
    result: Option<TransactionResult>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let policies = ["delete", "compact", "compact,delete"];
        let policy = random.choice(policies).unwrap();
        let log = TestLog::new(&[
            ("cleanup.policy", policy),
            ("internal.segment.bytes", "700"),
            ("segment.ms", "300"),
            ("retention.ms", "5000"),
            ("retention.bytes", "6000"),
            ("delete.retention.ms", &DELETE_RETENTION_MS.to_string()),
        ]);
        Self {
            random,
            log,
            appended: Vec::new(),
            transactions: Vec::new(),
            compacted_to: 0,
            compacted_at: HashMap::new(),
            sequences: [0; 5],
        }
    }

    fn step(&mut self) {
        let wait = self.random.u64(0..100);
        self.log.wait(wait);
        match self.random.u32(0..100) {
            0..65 => self.append(),
            65..75 => self.end_transaction(),
            75..80 => self.delete(),
            80..90 => self.enforce_retention(),
            90..99 => self.clean(),
            _ => self.drop_oldest_chunk(),
        }
    }

    fn append(&mut self) {
        let base_offset = self.log.log.high_watermark();
        let producer_id = self.random.usize(0..2 * self.sequences.len());
        let transaction = (TRANSACTIONAL..self.sequences.len())
            .contains(&producer_id)
            .then(|| self.transaction_of(producer_id, base_offset));
        let mut batch = TestBatch::new();
        let count = self.random.i32(1..5);
        for offset in (base_offset..).take(count as usize) {
            let timestamp = self.log.now.unix_ms - self.random.i64(0..200);
            let key = self.random.choice(KEYS);
            // Where records are compacted, a producer must give them keys.
            let key = key.filter(|_| self.log.config.compact || self.random.bool());
            let has_value = self.random.u32(0..4) > 0;
            let value = vec![b'v'; self.random.usize(0..100)];
            let value = has_value.then_some(&value[..]);
            batch = batch.record(timestamp, key.map(str::as_bytes), value);
            let key = key.map(str::to_owned);
            let record = TestRecord {
                offset,
                timestamp,
                key,
                has_value,
            };
            self.appended.push(Appended {
                record,
                transaction,
            });
        }
        if let Some(sequence) = self.sequences.get_mut(producer_id) {
            batch = batch.producer(producer_id as i64, 0, *sequence);
            *sequence += count;
        }
        if transaction.is_some() {
            batch = batch.transactional();
        }
        let codec = self.random.choice(CODECS).unwrap();
        assert_eq!(self.log.append(&batch.codec(codec)), base_offset);
    }

    /// The open transaction of a producer, begun here if there is none.
    fn transaction_of(&mut self, producer_id: usize, offset: i64) -> usize {
        let is_open = |transaction: &Transaction| {
            transaction.producer_id == producer_id && transaction.result.is_none()
        };
        if let Some(open) = self.transactions.iter().position(is_open) {
            return open;
        }
        self.transactions.push(Transaction {
            producer_id,
            first_offset: offset,
            result: None,
        });
        self.transactions.len() - 1
    }

    fn end_transaction(&mut self) {
        let mut open = self.transactions.iter_mut();
        let Some(open) = open.find(|transaction| transaction.result.is_none()) else {
            return;
        };
        let results = [TransactionResult::Commit, TransactionResult::Abort];
        let result = self.random.choice(results).unwrap();
        open.result = Some(result);
        self.log.end_transaction(open.producer_id as i64, result);
    }

    fn delete(&mut self) {
        let log = &mut self.log.log;
        let offset = self.random.i64(0..=log.high_watermark());
        let expected = offset.max(log.start_offset());
        assert_eq!(log.delete_before(offset), Ok(expected));
        assert_eq!(log.start_offset(), expected);
    }

    fn enforce_retention(&mut self) {
        let before = self.log.log.start_offset();
        let now = self.log.now;
        let due = self.log.log.enforce_retention(&self.log.config, now);
        let start = self.log.log.start_offset();
        if !self.log.config.delete {
            assert_eq!((start, due), (before, None));
            return;
        }
        assert!(due.is_none_or(|due| due > now.unix_ms), "{due:?}");
        if !self.log.config.compact {
            let records = self.appended.iter().map(|appended| &appended.record);
            let left = records.filter(|record| record.offset >= start);
            let oldest = left.map(|record| record.timestamp).min();
            let oldest = oldest.unwrap_or(now.unix_ms);
            // A segment goes when the youngest of its records is old; they are 300 ms apart, and up to 200 ms late.
            assert!(now.unix_ms - oldest <= 5_000 + 300 + 2 * 200, "too old");
        }
        let segment = 700;
        assert!(self.log.log.bytes() < 6_000 + segment, "too large");
    }

    fn clean(&mut self) {
        let now = self.log.now;
        let Some(work) = self.log.log.begin_cleaning(&self.log.config, now) else {
            return;
        };
        if !self.log.config.compact {
            // A topic whose policy is another now: nothing compacts it.
            return;
        }
        let deleted = self.random.u32(0..10) == 0;
        if deleted {
            self.delete();
        }
        if self.log.log.finish_cleaning(work.run().unwrap()).is_none() {
            assert!(deleted, "nothing else can be in its way");
            return;
        }
        self.compacted_to = self.log.log.clean_offset;
        assert!(self.compacted_to <= self.log.log.last_stable_offset());
        for Appended { record, .. } in &self.appended {
            if !record.has_value && record.offset < self.compacted_to {
                let first = self.compacted_at.entry(record.offset);
                first.or_insert(now.unix_ms);
            }
        }
    }

    fn drop_oldest_chunk(&mut self) {
        let before = self.log.log.start_offset();
        let is_empty = self.log.log.oldest_chunk().is_none();
        self.log.log.drop_oldest_chunk();
        assert_eq!(self.log.log.start_offset() > before, !is_empty);
    }

    /// Compares all that can be read with what was appended.
    fn check(&mut self) {
        let read = self.log.read_all();
        let expected: Vec<_> = self
            .expected(&read)
            .map(|appended| &appended.record)
            .collect();
        assert_eq!(read.iter().collect::<Vec<_>>(), expected);

        let open = self
            .transactions
            .iter()
            .filter(|transaction| transaction.result.is_none());
        let first_open = open.map(|transaction| transaction.first_offset).min();
        let stable = match first_open {
            Some(first) => first.max(self.log.log.start_offset()),
            None => self.log.log.high_watermark(),
        };
        assert_eq!(self.log.log.last_stable_offset(), stable);
        let committed: Vec<_> = self
            .expected(&read)
            .filter(|appended| appended.record.offset < stable && !self.is_aborted(appended))
            .map(|appended| appended.record.clone())
            .collect();
        assert_eq!(self.log.read_committed(), committed);

        self.check_lookups();
        let segments = || self.log.log.segments();
        let bytes: usize = segments().map(|segment| segment.bytes()).sum();
        let memory: usize = segments().map(|segment| segment.memory()).sum();
        assert_eq!(self.log.log.bytes(), bytes);
        assert_eq!(self.log.upkeep.memory(), memory);
    }

    /// What must be there. What may be there or not is taken as it was `read`.
    fn expected(&self, read: &[TestRecord]) -> impl Iterator<Item = &Appended> {
        let start = self.log.log.start_offset();
        let read: HashSet<_> = read.iter().map(|record| record.offset).collect();
        // The last offset of each key in the part that was compacted.
        let compacted = self
            .appended
            .iter()
            .filter(|appended| appended.record.offset < self.compacted_to)
            .filter(|appended| !self.is_aborted(appended));
        let last: HashMap<_, _> = compacted
            .map(|appended| (&appended.record.key, appended.record.offset))
            .collect();
        self.appended.iter().filter(move |appended| {
            let record = &appended.record;
            let is_left = record.offset >= self.compacted_to
                || !self.is_aborted(appended)
                    && last[&record.key] == record.offset
                    && (read.contains(&record.offset) || !self.may_be_gone(record));
            record.offset >= start && is_left
        })
    }

    fn is_aborted(&self, appended: &Appended) -> bool {
        appended
            .transaction
            .is_some_and(|index| self.transactions[index].result == Some(TransactionResult::Abort))
    }

    /// A tombstone may be gone when its time has come, but goes only with the next compaction.
    fn may_be_gone(&self, record: &TestRecord) -> bool {
        let compacted_at = self.compacted_at.get(&record.offset);
        compacted_at.is_some_and(|at| at + DELETE_RETENTION_MS <= self.log.now.unix_ms)
    }

    /// Looks records up by offset and by time; the markers of transactions are found like records.
    fn check_lookups(&mut self) {
        let read = self.log.read_with_markers();
        let log = &self.log.log;
        let (start, end) = (log.start_offset(), log.high_watermark());
        for _ in 0..5 {
            let offset = self.random.i64(start..=end);
            let next = read.iter().find(|record| record.offset >= offset);
            let batches = log.read(offset, end, usize::MAX).unwrap();
            match BatchHeader::parse(&batches) {
                Some(header) => assert!(header.last_offset() >= offset),
                None => assert_eq!(next, None, "from {offset}"),
            }
            let time = self.log.now.unix_ms - self.random.i64(-10..6_000);
            let expected = read.iter().find(|record| record.timestamp >= time);
            let found = log.find_by_time(time, end);
            let found = found.map(|found| (found.offset, found.timestamp));
            let expected = expected.map(|record| (record.offset, record.timestamp));
            assert_eq!(found, expected, "at {time}");
        }
        let latest = read.iter().map(|record| record.timestamp).max();
        let first = read.iter().find(|record| Some(record.timestamp) == latest);
        let found = log.find_latest_time().map(|found| found.offset);
        assert_eq!(found, first.map(|record| record.offset));
    }
}

#[test]
fn readers_find_what_was_appended_whatever_was_deleted() {
    for seed in 0..30 {
        let mut walk = Walk::new(seed);
        for step in 0..300 {
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                walk.step();
                // Most of the time goes into reading everything.
                if step % 6 == 0 {
                    walk.check();
                }
            }));
            assert!(checked.is_ok(), "seed {seed}, step {step}");
        }
    }
}
