//! Compactions of small logs, each segment of which holds one batch.

use super::super::batch::Codec;
use super::super::testing::{TestBatch, TestLog};
use super::super::transactions::TransactionResult::{Abort, Commit};
use super::*;

const START: i64 = TestLog::START_MS;

/// A compacted log that closes a segment as soon as the next batch is later.
fn log(configs: &[(&str, &str)]) -> TestLog {
    let compacted = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1"),
        ("delete.retention.ms", "1000"),
    ];
    TestLog::new(&[&compacted, configs].concat())
}

impl TestLog {
    /// Closes the active segment, by a record with a key of its own.
    fn close_segment(&mut self) {
        self.wait(10);
        let late = self.log.active.largest_timestamp() + 2 - self.now.unix_ms;
        self.wait(u64::try_from(late).unwrap_or(0));
        let key = format!("closes at {}", self.log.high_watermark());
        self.append(&TestBatch::keyed(self.now.unix_ms, &[&key]));
    }

    /// Appends batches, each in a closed segment, and one more record in the active one.
    fn append_closed(&mut self, batches: &[TestBatch]) {
        for batch in batches {
            self.append(batch);
        }
        self.close_segment();
    }

    fn clean(&mut self) {
        let work = self.log.begin_cleaning(&self.config, self.now).unwrap();
        let cleaned = work.run().unwrap();
        assert!(
            self.log.finish_cleaning(cleaned).is_some(),
            "nobody interferes"
        );
    }

    /// Key and offset of what is left in the closed segments.
    fn left(&self) -> Vec<(i64, String)> {
        let active = self.log.active.base_offset();
        self.read_all()
            .into_iter()
            .filter(|record| record.offset < active)
            .map(|record| (record.offset, record.key.unwrap_or_default()))
            .collect()
    }
}

fn left(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    expected
        .iter()
        .map(|(offset, key)| (*offset, (*key).to_owned()))
        .collect()
}

#[test]
fn keys_beyond_what_one_compaction_looks_at_are_left_to_the_next() {
    let mut log = log(&[]);
    log.append_closed(&[
        TestBatch::keyed(START, &["a", "b"]),
        TestBatch::keyed(START + 10, &["a", "c", "a", "b"]),
    ]);
    let mut work = log.log.begin_cleaning(&log.config, log.now).unwrap();
    work.max_keys = 2;
    let cleaned = work.run().unwrap();
    assert!(log.log.finish_cleaning(cleaned).is_some());
    // "c", at 3, was one too many.
    let expected = [(1, "b"), (2, "a"), (3, "c"), (4, "a"), (5, "b")];
    assert_eq!(log.left(), left(&expected));
    log.clean();
    assert_eq!(log.left(), left(&[(3, "c"), (4, "a"), (5, "b")]));
}

#[test]
fn the_last_record_of_each_key_stays_where_it_was() {
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        let mut log = log(&[]);
        log.append_closed(&[
            TestBatch::keyed(START, &["a", "b", "a", "c"]).codec(codec),
            TestBatch::keyed(START + 2, &["b", "d"]).codec(codec),
            TestBatch::keyed(START + 4, &["d", "b"]).codec(codec),
        ]);
        log.clean();
        let expected = left(&[(2, "a"), (3, "c"), (6, "d"), (7, "b")]);
        assert_eq!(log.left(), expected, "{codec:?}");
        // Offsets in a gap read on behind it, also where whole batches are missing.
        let read = log.log.read(4, 9, 1).unwrap();
        assert_eq!(BatchHeader::parse(&read).unwrap().base_offset, 6);
        // Later keys replace those that were compacted before.
        log.append_closed(&[TestBatch::keyed(log.now.unix_ms + 2, &["c", "a"]).codec(codec)]);
        log.clean();
        let expected = left(&[(6, "d"), (7, "b"), (8, "closes at 8"), (9, "c"), (10, "a")]);
        assert_eq!(log.left(), expected, "{codec:?}");
    }
}

#[test]
fn the_active_segment_is_left_alone() {
    let mut log = log(&[("segment.ms", "1000")]);
    log.append(&TestBatch::keyed(START, &["a"]));
    log.append(&TestBatch::keyed(START, &["a"]));
    assert!(log.log.begin_cleaning(&log.config, log.now).is_none());
    assert_eq!(
        log.log.dirt(&log.config, log.now),
        Dirt::Tolerable { until: None }
    );
}

#[test]
fn a_tombstone_outlives_its_first_compaction() {
    let mut log = log(&[]);
    log.append_closed(&[
        TestBatch::keyed(START, &["a", "b"]),
        TestBatch::tombstones(START + 2, &["a"]),
    ]);
    log.clean();
    assert_eq!(log.left(), left(&[(1, "b"), (2, "a")]));
    // Its time counts from that compaction, however often another one comes by.
    log.wait(900);
    log.append_closed(&[]);
    log.clean();
    assert!(log.left().contains(&(2, "a".to_owned())));
    log.wait(90);
    log.close_segment();
    log.clean();
    assert!(!log.left().contains(&(2, "a".to_owned())));
    assert!(log.left().contains(&(1, "b".to_owned())));
}

#[test]
fn timestamps_survive() {
    let mut log = log(&[]);
    let batch = TestBatch::new()
        .record(START + 5, Some(b"a"), Some(b"1"))
        .record(START + 9, Some(b"a"), None)
        .record(START + 7, Some(b"b"), Some(b"2"));
    log.append_closed(&[batch.codec(Codec::Gzip)]);
    log.clean();
    let times: Vec<_> = log
        .read_all()
        .iter()
        .map(|record| (record.offset, record.timestamp))
        .collect();
    assert_eq!(times[..2], [(1, START + 9), (2, START + 7)]);
    let found = log.log.find_by_time(START + 6, 4).unwrap();
    assert_eq!((found.offset, found.timestamp), (1, START + 9));
}

#[test]
fn records_without_a_key_go() {
    let mut log = log(&[]);
    let batch = TestBatch::new()
        .record(START, None, Some(b"no key"))
        .record(START, Some(b""), Some(b"an empty key is one"))
        .record(START, None, None);
    log.append_closed(&[batch, TestBatch::keyed(START + 2, &["last"])]);
    log.clean();
    assert_eq!(log.left(), left(&[(1, ""), (3, "last")]));
}

#[test]
fn what_cannot_be_read_stays() {
    let mut log = log(&[]);
    let good = TestBatch::keyed(START, &["a"]).codec(Codec::Lz4);
    let mut header = BatchHeader::parse(&good.bytes()).unwrap();
    header.set_codec(Codec::Zstd);
    let nonsense = header.with_records(b"these are no records");
    let header = BatchHeader::check(&nonsense).unwrap();
    let (config, now) = (&log.config, log.now);
    log.log.append(&nonsense, &header, 0, config, now).unwrap();
    log.append_closed(&[
        TestBatch::keyed(START + 2, &["a"]),
        TestBatch::keyed(START + 4, &["a"]),
    ]);
    log.clean();
    let first = log.log.read(0, 1, 1).unwrap();
    assert_eq!(first[BatchHeader::LENGTH..], *b"these are no records");
    let next = log.log.read(1, 4, 1).unwrap();
    assert_eq!(BatchHeader::parse(&next).unwrap().base_offset, 2);
}

#[test]
fn a_producers_last_batch_stays_without_its_records() {
    let mut log = log(&[]);
    log.append_closed(&[
        TestBatch::keyed(START, &["a", "b"]).producer(7, 0, 0),
        TestBatch::keyed(START + 2, &["a", "b"]).producer(7, 0, 2),
        TestBatch::keyed(START + 4, &["a", "b"]),
        TestBatch::keyed(START + 6, &["c"]),
    ]);
    log.clean();
    assert_eq!(log.left(), left(&[(4, "a"), (5, "b"), (6, "c")]));
    let first = log.log.read(0, 8, 1).unwrap();
    let header = BatchHeader::parse(&first).unwrap();
    assert_eq!((header.base_offset, header.last_offset()), (2, 3));
    assert_eq!((header.record_count, header.last_sequence()), (0, 3));
}

#[test]
fn the_end_of_what_was_compacted_stays_visible() {
    let mut log = log(&[]);
    log.append_closed(&[
        TestBatch::keyed(START, &["a"]),
        TestBatch::new().record(START + 2, None, Some(b"goes")),
    ]);
    log.clean();
    assert_eq!(log.left(), left(&[(0, "a")]));
    let last = log.log.read(1, 3, 1).unwrap();
    let header = BatchHeader::parse(&last).unwrap();
    assert_eq!((header.base_offset, header.record_count), (1, 0));
    // It is no record of any time.
    assert_eq!(log.log.find_by_time(START + 2, 2), None);
}

#[test]
fn small_segments_become_one() {
    let one = TestBatch::keyed(START, &["key 0"]).bytes().len();
    let three = (one * 3).to_string();
    let mut log = log(&[("internal.segment.bytes", &three)]);
    let batches: Vec<_> = (0..7)
        .map(|index| TestBatch::keyed(START + 2 * index, &[&format!("key {index}")]))
        .collect();
    log.append_closed(&batches);
    assert_eq!(log.log.closed.len(), 7);
    log.clean();
    let bases: Vec<_> = log.log.closed.iter().map(Segment::base_offset).collect();
    assert_eq!(bases, [0, 3, 6]);
    assert_eq!(log.left().len(), 7);
    assert_eq!(
        log.log.bytes(),
        log.log.segments().map(Segment::bytes).sum::<usize>()
    );
}

#[test]
fn memory_is_counted_anew() {
    let mut log = log(&[]);
    let batches: Vec<_> = (0..10)
        .map(|index| TestBatch::keyed(START + 2 * index, &["the same"]))
        .collect();
    log.append_closed(&batches);
    let before = log.upkeep.memory();
    log.clean();
    assert!(log.upkeep.memory() < before / 2);
    drop(log.log);
    assert_eq!(log.upkeep.memory(), 0);
}

#[test]
fn a_log_is_dirty_when_enough_of_it_is_new() {
    let mut log = log(&[("min.cleanable.dirty.ratio", "0.5")]);
    log.append(&TestBatch::keyed(START, &["a"]));
    log.append(&TestBatch::keyed(START + 2, &["b"]));
    let dirt = log.log.dirt(&log.config, log.now);
    assert_eq!(dirt, Dirt::TooMuch { ratio: 1.0 });
    log.clean();
    // One segment is clean, the next of the same size is not: half of the log, and not more than half.
    log.append(&TestBatch::keyed(START + 4, &["c"]));
    let dirt = log.log.dirt(&log.config, log.now);
    assert_eq!(dirt, Dirt::Tolerable { until: None });
    log.append(&TestBatch::keyed(START + 6, &["d"]));
    let dirt = log.log.dirt(&log.config, log.now);
    assert!(
        matches!(dirt, Dirt::TooMuch { ratio } if (0.6..0.7).contains(&ratio)),
        "{dirt:?}"
    );
}

#[test]
fn young_records_are_not_compacted() {
    let mut log = log(&[("min.compaction.lag.ms", "1000")]);
    log.append_closed(&[
        TestBatch::keyed(START, &["a"]),
        TestBatch::keyed(START + 100, &["a"]),
    ]);
    log.wait(START.abs_diff(log.now.unix_ms - 1_000));
    log.clean();
    assert_eq!(log.left(), left(&[(0, "a"), (1, "a")]), "one segment alone");
    assert_eq!(
        log.log.dirt(&log.config, log.now),
        Dirt::Tolerable {
            until: Some(START + 1_100)
        }
    );
    log.wait(100);
    log.clean();
    assert_eq!(log.left(), left(&[(1, "a")]));
}

#[test]
fn old_records_are_compacted_however_few_they_are() {
    let mut log = log(&[
        ("min.cleanable.dirty.ratio", "1"),
        ("max.compaction.lag.ms", "5000"),
        ("segment.ms", "1"),
    ]);
    log.append_closed(&[TestBatch::keyed(START, &["a"])]);
    assert_eq!(
        log.log.dirt(&log.config, log.now),
        Dirt::Tolerable {
            until: Some(START + 5_001)
        }
    );
    log.wait(5_000);
    let dirt = log.log.dirt(&log.config, log.now);
    assert_eq!(dirt, Dirt::TooMuch { ratio: 1.0 });
    log.clean();
    let dirt = log.log.dirt(&log.config, log.now);
    assert_eq!(dirt, Dirt::Tolerable { until: None });
}

#[test]
fn segments_are_closed_by_the_largest_lag_as_well() {
    let mut log = log(&[("segment.ms", "100000"), ("max.compaction.lag.ms", "50")]);
    for time in [0, 50, 51] {
        log.append(&TestBatch::keyed(START + time, &["a"]));
    }
    assert_eq!(log.log.closed.len(), 1);
}

#[test]
fn a_compaction_that_comes_too_late_changes_nothing() {
    let mut log = log(&[("cleanup.policy", "compact,delete")]);
    log.append_closed(&[
        TestBatch::keyed(START, &["a"]),
        TestBatch::keyed(START + 2, &["a"]),
    ]);
    let work = log.log.begin_cleaning(&log.config, log.now).unwrap();
    log.log.delete_before(1).unwrap();
    let cleaned = work.run().unwrap();
    assert!(log.log.finish_cleaning(cleaned).is_none());
    assert_eq!(log.left(), left(&[(1, "a")]));
}

/// Records of producer 7 in a transaction.
fn transactional(timestamp: i64, sequence: i32, keys: &[&str]) -> TestBatch {
    TestBatch::keyed(timestamp, keys)
        .producer(7, 0, sequence)
        .transactional()
}

/// Offsets of the batches, with a mark at those that are markers.
fn batches(log: &TestLog) -> Vec<(i64, bool)> {
    let mut batches = Vec::new();
    let mut offset = 0;
    while let Some(header) =
        BatchHeader::parse(&log.log.read(offset, i64::MAX, 1).unwrap_or_default())
    {
        batches.push((header.base_offset, header.is_control()));
        offset = header.last_offset() + 1;
    }
    batches
}

#[test]
fn aborted_records_go_and_replace_nothing() {
    let mut log = log(&[]);
    log.append(&TestBatch::keyed(START, &["a", "b"]));
    log.append(&transactional(START + 2, 0, &["a"]));
    log.wait(4);
    log.end_transaction(7, Abort);
    log.append(&transactional(START + 6, 1, &["b"]));
    log.wait(4);
    log.end_transaction(7, Commit);
    log.close_segment();
    log.clean();
    assert_eq!(log.left(), left(&[(0, "a"), (4, "b")]));
    let committed: Vec<_> = log
        .read_committed()
        .iter()
        .map(|record| record.offset)
        .collect();
    assert_eq!(committed, [0, 4, 6]);
}

#[test]
fn what_is_not_decided_is_not_compacted() {
    let mut log = log(&[]);
    log.append(&TestBatch::keyed(START, &["a", "a"]));
    log.append(&TestBatch::keyed(START + 2, &["a"]));
    log.append(&transactional(START + 4, 0, &["a"]));
    log.append_closed(&[TestBatch::keyed(START + 6, &["a"])]);
    log.clean();
    assert_eq!(log.left(), left(&[(2, "a"), (3, "a"), (4, "a")]));
    let dirt = log.log.dirt(&log.config, log.now);
    assert_eq!(
        dirt,
        Dirt::Tolerable { until: None },
        "the rest has to wait"
    );
    log.end_transaction(7, Commit);
    log.clean();
    assert_eq!(log.left(), left(&[(4, "a")]));
}

#[test]
fn a_marker_outlives_the_records_of_its_transaction() {
    let mut log = log(&[]);
    log.append(&transactional(START, 0, &["a"]));
    log.wait(2);
    log.end_transaction(7, Abort);
    // The producer goes on: its last batch is another one.
    log.append(&transactional(START + 4, 1, &["a"]));
    log.wait(4);
    log.end_transaction(7, Commit);
    log.close_segment();
    log.clean();
    let (records, markers) = ([(2, false)], [(1, true), (3, true)]);
    let all = [markers[0], records[0], markers[1], (4, false)];
    assert_eq!(
        batches(&log),
        all,
        "the aborted record is gone, its marker is not"
    );
    // The second compaction finds nothing but the marker and gives it a time, the third removes it after that.
    log.close_segment();
    log.clean();
    assert!(batches(&log).contains(&markers[0]));
    assert_eq!(log.log.aborted_before(i64::MAX), [], "nobody has to know");
    log.wait(900);
    log.close_segment();
    log.clean();
    assert!(batches(&log).contains(&markers[0]), "not yet");
    log.wait(90);
    log.close_segment();
    log.clean();
    assert!(!batches(&log).contains(&markers[0]));
    assert!(
        batches(&log).contains(&markers[1]),
        "of records that are there"
    );
    assert_eq!(log.read_committed()[0].offset, 2);
}

#[test]
fn a_fenced_producers_marker_stays_for_its_epoch() {
    let mut log = log(&[("delete.retention.ms", "0")]);
    log.append(&transactional(START, 0, &["a"]));
    log.wait(2);
    let marker = super::super::Marker {
        producer_id: 7,
        producer_epoch: 1,
        coordinator_epoch: 0,
        result: Abort,
    };
    let (config, now) = (&log.config, log.now);
    log.log.append_marker(&marker, 0, config, now).unwrap();
    for _ in 0..4 {
        log.close_segment();
        log.clean();
    }
    assert_eq!(batches(&log)[0], (1, true));
}
