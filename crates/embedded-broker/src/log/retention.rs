//! The old end of a log: what is deleted by time, by size, on request, or for want of memory.
//!
//! Retention deletes whole segments, the oldest first, as Apache Kafka does (`UnifiedLog.deleteOldSegments`), the active one
//! too if all of it is old. A deletion on request moves the log's start to any offset; memory goes back a chunk at a time.

use kafka_protocol::error::ResponseError;

use super::chunk::Chunk;
use super::partition::PartitionLog;
use super::segment::Segment;
use crate::clock::Now;
use crate::config::topic::TopicConfig;

/// How old a chunk of memory is: the smaller, the sooner it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChunkAge {
    /// One that is being filled comes after all that are full: the few records of a quiet topic take no room worth having.
    is_open: bool,
    /// When it was begun, in milliseconds since the Unix epoch.
    created_ms: i64,
}

impl PartitionLog {
    /// Deletes the records before `offset` and returns the log's new start. A start that lies behind `offset` stays.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE for a negative offset or one behind the high watermark.
    pub(crate) fn delete_before(&mut self, offset: i64) -> Result<i64, ResponseError> {
        if offset < 0 || offset > self.high_watermark() {
            return Err(ResponseError::OffsetOutOfRange);
        }
        self.advance_start(offset);
        Ok(self.start_offset)
    }

    /// Deletes the segments that are older than `retention.ms` or more than `retention.bytes` holds. Returns when the next
    /// will be too old, in milliseconds since the Unix epoch, if nothing is appended until then.
    pub(crate) fn enforce_retention(&mut self, config: &TopicConfig, now: Now) -> Option<i64> {
        while self.exceeds_retention_bytes(config) || self.exceeds_retention_time(config, now) {
            let next_start = match self.closed.get(1) {
                Some(next) => next.base_offset(),
                None if !self.closed.is_empty() => self.active.base_offset(),
                None => self.end_offset,
            };
            self.advance_start(next_start);
        }
        let oldest = self.oldest_segment()?;
        let limit = config.retention_ms.filter(|_| config.delete)?;
        // Too old is what is older than the limit, not what is just as old.
        oldest
            .largest_timestamp()
            .checked_add(limit)?
            .checked_add(1)
    }

    /// Whether the log without its oldest segment would still be as large as `retention.bytes` asks for.
    pub(super) fn exceeds_retention_bytes(&self, config: &TopicConfig) -> bool {
        let limit = config.retention_bytes.filter(|_| config.delete);
        limit
            .zip(self.oldest_segment())
            .is_some_and(|(limit, oldest)| {
                self.bytes() - oldest.bytes() >= usize::try_from(limit).unwrap_or(usize::MAX)
            })
    }

    fn exceeds_retention_time(&self, config: &TopicConfig, now: Now) -> bool {
        let limit = config.retention_ms.filter(|_| config.delete);
        limit
            .zip(self.oldest_segment())
            .is_some_and(|(limit, oldest)| {
                now.unix_ms.saturating_sub(oldest.largest_timestamp()) > limit
            })
    }

    /// The segment that goes first, if there is one with records.
    fn oldest_segment(&self) -> Option<&Segment> {
        self.segments().next().filter(|segment| !segment.is_empty())
    }

    /// The age of the oldest chunk of memory, to compare with that of other logs. None for a log without records.
    pub(crate) fn oldest_chunk(&self) -> Option<ChunkAge> {
        let chunk = self.segments().find_map(Segment::oldest_chunk)?;
        Some(ChunkAge {
            is_open: chunk.is_open(),
            created_ms: chunk.created_ms(),
        })
    }

    /// Deletes the records in the oldest chunk of memory, whatever the topic's configuration says.
    pub(crate) fn drop_oldest_chunk(&mut self) {
        let chunk = self.segments().find_map(Segment::oldest_chunk);
        if let Some(next_offset) = chunk.map(Chunk::next_offset) {
            self.advance_start(next_offset);
        }
    }

    /// Moves the log's start forward to `offset` and gives back what lies wholly before it.
    fn advance_start(&mut self, offset: i64) {
        if offset > self.start_offset {
            self.start_offset = offset;
            self.transactions.forget_before(offset);
            self.release_deleted();
        }
    }

    /// Gives back the memory of what lies before the log's start, as far as it holds nothing else.
    pub(super) fn release_deleted(&mut self) {
        let start = self.start_offset;
        while self.closed.get(1).unwrap_or(&self.active).base_offset() <= start
            && self.closed.pop_front().is_some()
        {}
        let first = self.closed.front_mut().unwrap_or(&mut self.active);
        first.drop_before(start);
        // Compaction may have left nothing behind the start in it.
        if self.closed.front().is_some_and(Segment::is_empty) {
            self.closed.pop_front();
        }
        self.recount();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestBatch, TestLog};
    use super::*;

    const START: i64 = TestLog::START_MS;

    /// A log with one record in each of as many segments, a second apart.
    fn segments(count: i64, configs: &[(&str, &str)]) -> TestLog {
        let mut log = TestLog::new(&[&[("segment.ms", "1")], configs].concat());
        for index in 0..count {
            log.append(&TestBatch::of_size(START + index * 1_000, 100));
        }
        log
    }

    #[test]
    fn segments_are_closed_by_size() {
        let mut log = TestLog::new(&[("internal.segment.bytes", "1000")]);
        for _ in 0..7 {
            log.append(&TestBatch::of_size(START, 300));
        }
        let sizes: Vec<usize> = log.log.segments().map(Segment::bytes).collect();
        assert_eq!(sizes.len(), 4, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 1_000), "{sizes:?}");
    }

    #[test]
    fn segments_are_closed_by_the_time_of_the_next_batch() {
        let mut log = TestLog::new(&[("segment.ms", "1000")]);
        for time in [0, 1_000, 1_001, 2_001] {
            log.append(&TestBatch::of_size(START + time, 1));
        }
        log.wait(1_000_000);
        let bases: Vec<i64> = log.log.segments().map(Segment::base_offset).collect();
        assert_eq!(bases, [0, 2]);
    }

    #[test]
    fn records_without_a_time_age_with_the_clock() {
        let mut log = TestLog::new(&[("segment.ms", "1000"), ("retention.ms", "5000")]);
        log.append(&TestBatch::of_size(-1, 1));
        log.wait(1_001);
        log.append(&TestBatch::of_size(-1, 1));
        assert_eq!(log.log.segments().count(), 2);
        log.wait(4_000);
        let due = log.log.enforce_retention(&log.config, log.now);
        assert_eq!((log.offsets(), due), (vec![1], Some(START + 6_002)));
    }

    #[test]
    fn a_batch_larger_than_a_segment_is_refused() {
        let mut log = TestLog::new(&[("internal.segment.bytes", "100")]);
        let bytes = TestBatch::of_size(START, 100).bytes();
        let header = super::super::BatchHeader::check(&bytes).unwrap();
        let appended = log.log.append(&bytes, &header, 0, &log.config, log.now);
        assert_eq!(appended, Err(ResponseError::RecordListTooLarge));
    }

    #[test]
    fn old_segments_go_by_time_the_active_one_too() {
        let mut log = segments(3, &[("retention.ms", "10000")]);
        log.wait(10_000);
        let due = log.log.enforce_retention(&log.config, log.now);
        assert_eq!((log.offsets(), due), (vec![0, 1, 2], Some(START + 10_001)));
        log.wait(1);
        let due = log.log.enforce_retention(&log.config, log.now);
        assert_eq!((log.offsets(), due), (vec![1, 2], Some(START + 11_001)));
        log.wait(5_000);
        let due = log.log.enforce_retention(&log.config, log.now);
        assert_eq!((log.offsets(), due), (vec![], None));
        assert_eq!((log.log.start_offset(), log.log.bytes()), (3, 0));
        assert_eq!(log.append(&TestBatch::of_size(START, 1)), 3);
    }

    #[test]
    fn a_young_segment_protects_the_old_ones_behind_it() {
        let mut log = TestLog::new(&[("segment.ms", "1"), ("retention.ms", "1000")]);
        for time in [9_000, 0, 10] {
            log.append(&TestBatch::of_size(START + time, 1));
        }
        log.wait(5_000);
        log.log.enforce_retention(&log.config, log.now);
        assert_eq!(log.offsets(), [0, 1, 2]);
    }

    #[test]
    fn old_segments_go_by_size_as_long_as_enough_is_left() {
        let batch = TestBatch::of_size(START, 100).bytes().len();
        let two_and_a_half = (batch * 5 / 2).to_string();
        let mut log = segments(5, &[("retention.bytes", &two_and_a_half)]);
        assert!(log.upkeep.take_sweep_wanted());
        log.log.enforce_retention(&log.config, log.now);
        assert_eq!(log.offsets(), [2, 3, 4]);
        assert_eq!(log.log.bytes(), batch * 3);
    }

    #[test]
    fn compacted_topics_have_no_retention() {
        let compacted = [("cleanup.policy", "compact"), ("retention.bytes", "0")];
        let mut log = segments(3, &[&compacted[..], &[("retention.ms", "0")]].concat());
        log.wait(1_000_000);
        assert_eq!(log.log.enforce_retention(&log.config, log.now), None);
        assert_eq!(log.offsets(), [0, 1, 2]);
    }

    #[test]
    fn deleting_moves_the_start_and_nothing_else() {
        let mut log = TestLog::new(&[]);
        log.append(&TestBatch::keyed(START, &["a", "b", "c"]));
        log.append(&TestBatch::keyed(START + 5, &["d", "e"]));
        assert_eq!(log.log.delete_before(1), Ok(1));
        assert_eq!(log.offsets(), [1, 2, 3, 4]);
        assert_eq!(log.log.delete_before(0), Ok(1), "the start never goes back");
        assert_eq!(log.log.delete_before(4), Ok(4));
        assert_eq!(log.offsets(), [4]);
        let found = log.log.find_by_time(0, 5).map(|found| found.offset);
        assert_eq!(found, Some(4));
        assert_eq!(log.log.read(3, 5, 1), Err(ResponseError::OffsetOutOfRange));
        for offset in [-1, 6] {
            let refused = log.log.delete_before(offset);
            assert_eq!(refused, Err(ResponseError::OffsetOutOfRange), "{offset}");
        }
    }

    #[test]
    fn deleting_all_gives_the_memory_back() {
        let mut log = TestLog::new(&[]);
        log.append(&TestBatch::keyed(START, &["a", "b"]));
        assert!(log.upkeep.memory() > 0);
        assert_eq!(log.log.delete_before(2), Ok(2));
        assert_eq!((log.upkeep.memory(), log.log.bytes()), (0, 0));
        assert_eq!(log.append(&TestBatch::keyed(START, &["c"])), 2);
        assert_eq!(log.offsets(), [2]);
    }

    #[test]
    fn the_oldest_memory_goes_first() {
        let mut log = TestLog::new(&[]);
        for time in 0..3 {
            log.wait(time);
            log.append(&TestBatch::of_size(START, 700_000));
        }
        let age = |is_open, created_ms| {
            Some(ChunkAge {
                is_open,
                created_ms,
            })
        };
        assert_eq!(log.log.oldest_chunk(), age(false, START));
        log.log.drop_oldest_chunk();
        assert_eq!(log.offsets(), [1, 2]);
        assert_eq!(log.log.oldest_chunk(), age(false, START + 1));
        log.log.drop_oldest_chunk();
        assert_eq!(log.log.oldest_chunk(), age(true, START + 3));
        let before = log.upkeep.memory();
        drop(log.log);
        assert!(before > 700_000);
        assert_eq!(log.upkeep.memory(), 0, "a log that is dropped takes none");
    }
}
