//! A partition's log: segments in a row, offsets that only grow, lookups by offset and by time.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tracing::error;

use super::batch::{self, BatchHeader};
use super::chunk::{BatchEntry, Chunk, Placed};
use super::epochs::{EpochEnd, LeaderEpochs};
use super::producer::{Producers, Sequence};
use super::segment::Segment;
use super::transactions::Transactions;
use super::upkeep::{Charge, Upkeep};
use crate::clock::Now;
use crate::config::topic::TopicConfig;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct PartitionLog {
    /// Segments that are not appended to any more, in the order of their offsets.
    pub(super) closed: VecDeque<Segment>,
    /// The segment that is appended to.
    pub(super) active: Segment,
    /// The first offset that can be read.
    pub(super) start_offset: i64,
    /// The offset that the next record gets. With one copy of the log it is also the high watermark.
    pub(super) end_offset: i64,
    /// Up to where the log was compacted: what lies before has no two records with one key.
    pub(super) clean_offset: i64,
    epochs: LeaderEpochs,
    pub(super) producers: Producers,
    pub(super) transactions: Transactions,
    /// Bytes of all batches.
    bytes: usize,
    /// The log's part in the memory of all.
    charge: Charge,
}

/// What a produce request gets to know of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Append {
    pub(crate) base_offset: i64,
    /// Milliseconds since the Unix epoch, or -1 where records keep their own time.
    pub(crate) append_time: i64,
    /// False for a duplicate: nothing was written.
    pub(crate) written: bool,
}

impl PartitionLog {
    /// An empty log.
    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self {
            closed: VecDeque::new(),
            // The first batch gives it its age.
            active: Segment::new(0, 0),
            start_offset: 0,
            end_offset: 0,
            clean_offset: 0,
            epochs: LeaderEpochs::default(),
            producers: Producers::default(),
            transactions: Transactions::default(),
            bytes: 0,
            charge: Charge::new(upkeep),
        }
    }

    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.end_offset
    }

    /// Bytes of all batches that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A leader begins to write under `epoch`.
    pub(crate) fn begin_epoch(&mut self, epoch: i32) {
        self.epochs.begin(epoch, self.end_offset);
    }

    /// Where the records end that were written under `epoch`. None if the log does not know the epoch.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Option<EpochEnd> {
        self.epochs.end(epoch, self.start_offset, self.end_offset)
    }

    // ANCHOR: append
    /// Appends a batch that [`BatchHeader::check`] accepted. A batch that its idempotent producer sends again is not
    /// written twice but answered as the first time.
    ///
    /// # Errors
    /// RECORD_LIST_TOO_LARGE if no segment can hold it, KAFKA_STORAGE_ERROR if there is no memory for it; otherwise as
    /// [`Producers::check`].
    pub(crate) fn append(
        &mut self,
        bytes: &[u8],
        header: &BatchHeader,
        leader_epoch: i32,
        config: &TopicConfig,
        now: Now,
    ) -> Result<Append, ResponseError> {
        if bytes.len() > config.segment_bytes {
            return Err(ResponseError::RecordListTooLarge);
        }
        if header.is_idempotent()
            && let Sequence::Duplicate {
                base_offset,
                append_time,
            } = self.producers.check(header)?
        {
            return Ok(Append {
                base_offset,
                append_time,
                written: false,
            });
        }
        let (append_time, max_timestamp) = if config.log_append_time {
            (now.unix_ms, now.unix_ms)
        } else {
            (-1, header.max_timestamp)
        };
        let placed = Placed {
            base_offset: self.end_offset,
            max_timestamp,
            leader_epoch,
            now_ms: now.unix_ms,
        };
        self.write(bytes, header, placed, config, |copy| {
            batch::place(copy, placed.base_offset, leader_epoch);
            if config.log_append_time {
                batch::stamp(copy, now.unix_ms);
            }
        })?;
        if header.is_idempotent() {
            self.charge.upkeep().set_has_producers(true);
            let begins =
                self.producers
                    .appended(header, placed.base_offset, max_timestamp, append_time);
            if begins {
                self.transactions.begin(placed.base_offset);
            }
        }
        Ok(Append {
            base_offset: placed.base_offset,
            append_time,
            written: true,
        })
    }
    // ANCHOR_END: append

    /// Puts a batch at the end of the log, in a new segment if it is time for one.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        header: &BatchHeader,
        placed: Placed,
        config: &TopicConfig,
        finish: impl Fn(&mut [u8]),
    ) -> Result<(), ResponseError> {
        self.roll_if_due(bytes.len(), placed, config);
        // Only a segment that begins or a log that grew too large can bring a deletion forward.
        if self.active.is_empty() {
            self.active = Segment::new(self.end_offset, placed.now_ms);
            self.want_sweep();
        } else if self.exceeds_retention_bytes(config) {
            self.want_sweep();
        }
        self.active
            .append(bytes, header, placed, finish)
            .map_err(|error| {
                error!(%error, "no memory for a record batch");
                ResponseError::KafkaStorageError
            })?;
        self.bytes += bytes.len();
        self.charge.add(bytes.len() + size_of::<BatchEntry>());
        self.end_offset += i64::from(header.last_offset_delta) + 1;
        Ok(())
    }

    /// Closes the active segment when the next batch would make it too large or finds it too old. As in Apache Kafka it
    /// is the next batch's timestamp that ages a segment, not the clock: an idle segment stays active.
    fn roll_if_due(&mut self, length: usize, next: Placed, config: &TopicConfig) {
        let oldest = if config.compact {
            config.segment_ms.min(config.max_compaction_lag_ms)
        } else {
            config.segment_ms
        };
        let active = &self.active;
        if !active.is_empty()
            && (active.bytes() + length > config.segment_bytes
                || active.age(next.max_timestamp, next.now_ms) > oldest)
        {
            self.roll(next.now_ms);
        }
    }

    /// Closes the active segment.
    pub(super) fn roll(&mut self, now_ms: i64) {
        self.active.close();
        let next = Segment::new(self.end_offset, now_ms);
        self.closed
            .push_back(std::mem::replace(&mut self.active, next));
    }

    /// Whole batches from the one that holds `offset` on, up to the offset `end`: at most `max_bytes`, but at least one
    /// batch. Empty at the end of the log.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE before the log's start or behind its end.
    pub(crate) fn read(
        &self,
        offset: i64,
        end: i64,
        max_bytes: usize,
    ) -> Result<Bytes, ResponseError> {
        self.read_at_least(1, offset, end, max_bytes)
    }

    /// As [`Self::read`], but nothing where the first batch is larger than `max_bytes`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_within(
        &self,
        offset: i64,
        end: i64,
        max_bytes: usize,
    ) -> Result<Bytes, ResponseError> {
        self.read_at_least(0, offset, end, max_bytes)
    }

    fn read_at_least(
        &self,
        count: usize,
        offset: i64,
        end: i64,
        max_bytes: usize,
    ) -> Result<Bytes, ResponseError> {
        if offset < self.start_offset || offset > self.end_offset {
            return Err(ResponseError::OffsetOutOfRange);
        }
        // The last stable offset lies inside a batch where a deletion cut an open transaction.
        if offset >= end {
            return Ok(Bytes::new());
        }
        // The segment that holds the offset, or the first later one that has a batch: compaction leaves gaps.
        let first = self
            .closed
            .partition_point(|segment| segment.base_offset() <= offset)
            .saturating_sub(1);
        Ok(self
            .closed
            .range(first..)
            .chain([&self.active])
            .find_map(|segment| segment.read(offset, end, max_bytes, count))
            .unwrap_or_default())
    }

    /// Has somebody look soon for what retention or compaction has to do.
    pub(super) fn want_sweep(&self) {
        self.charge.upkeep().want_sweep();
    }

    /// Counts anew after segments went or were replaced.
    pub(super) fn recount(&mut self) {
        self.bytes = self.segments().map(Segment::bytes).sum();
        let memory = self.segments().map(Segment::memory).sum();
        self.charge.set(memory);
    }

    /// All segments, in the order of their offsets.
    pub(super) fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.closed.iter().chain([&self.active])
    }

    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.segments().flat_map(Segment::chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Codec;
    use super::super::testing::{TestBatch, TestLog};
    use super::*;

    const START: i64 = TestLog::START_MS;

    #[test]
    fn a_time_is_found_inside_a_batch_of_any_codec() {
        for codec in [
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ] {
            let mut log = TestLog::new(&[]);
            for start in [START, START + 1_000] {
                // Not in order: a producer's records may be late.
                let batch = [0, 300, 100, 400]
                    .iter()
                    .fold(TestBatch::new(), |batch, delta| {
                        batch.record(start + delta, None, Some(b"value"))
                    });
                log.append(&batch.codec(codec));
            }
            let at = |time| {
                let found = log.log.find_by_time(time, log.log.high_watermark());
                found.map(|found| (found.offset, found.timestamp - START))
            };
            assert_eq!(at(0), Some((0, 0)), "{codec:?}");
            assert_eq!(at(START + 1), Some((1, 300)), "{codec:?}");
            assert_eq!(at(START + 301), Some((3, 400)), "{codec:?}");
            assert_eq!(at(START + 401), Some((4, 1_000)), "{codec:?}");
            assert_eq!(at(START + 1_400), Some((7, 1_400)), "{codec:?}");
            assert_eq!(at(START + 1_401), None, "{codec:?}");
            let before_end = log.log.find_by_time(START + 401, 4);
            assert_eq!(before_end, None, "not committed yet");
            let latest = log.log.find_latest_time().unwrap();
            assert_eq!((latest.offset, latest.timestamp), (7, START + 1_400));
        }
    }

    #[test]
    fn the_latest_of_what_is_left_is_found() {
        let mut log = TestLog::new(&[]);
        let batch = [500, 900, 700, 800]
            .iter()
            .fold(TestBatch::new(), |batch, time| {
                batch.record(START + time, None, None)
            });
        log.append(&batch);
        log.append(&TestBatch::of_size(START + 700, 1));
        let latest = |log: &TestLog| log.log.find_latest_time().map(|found| found.offset);
        assert_eq!(latest(&log), Some(1));
        log.log.delete_before(2).unwrap();
        assert_eq!(latest(&log), Some(3));
        log.log.delete_before(5).unwrap();
        assert_eq!(latest(&log), None);
    }

    #[test]
    fn the_time_of_the_append_replaces_the_producers() {
        let mut log = TestLog::new(&[("message.timestamp.type", "LogAppendTime")]);
        log.append(&TestBatch::keyed(5, &["a", "b"]).codec(Codec::Gzip));
        log.wait(10);
        log.append(&TestBatch::keyed(7, &["c"]));
        // Reading checks the checksum, which the new attributes and the new time are part of.
        let times: Vec<_> = log
            .read_all()
            .iter()
            .map(|record| record.timestamp)
            .collect();
        assert_eq!(times, [START, START, START + 10]);
        let found = log.log.find_by_time(START + 1, 3).unwrap();
        assert_eq!((found.offset, found.timestamp), (2, START + 10));
    }

    #[test]
    fn whole_batches_are_read_as_far_as_they_fit() {
        let mut log = TestLog::new(&[]);
        for _ in 0..4 {
            log.append(&TestBatch::keyed(START, &["a", "b"]));
        }
        let one = log.log.bytes() / 4;
        let read = |offset, end, max_bytes| log.log.read(offset, end, max_bytes).unwrap().len();
        assert_eq!(read(0, 8, 0), one, "at least one");
        assert_eq!(read(0, 8, 2 * one), 2 * one);
        assert_eq!(read(0, 8, 3 * one - 1), 2 * one);
        assert_eq!(
            read(3, 8, usize::MAX),
            3 * one,
            "from the batch that holds it"
        );
        assert_eq!(read(0, 4, usize::MAX), 2 * one, "up to the end");
        assert_eq!(read(8, 8, usize::MAX), 0);
        let within = |max_bytes| log.log.read_within(3, 8, max_bytes).unwrap().len();
        assert_eq!(within(one - 1), 0, "not even one");
        assert_eq!(within(2 * one), 2 * one);
        assert_eq!(log.log.read(9, 8, 1), Err(ResponseError::OffsetOutOfRange));
    }

    #[test]
    fn reads_of_what_is_full_share_its_memory() {
        let mut log = TestLog::new(&[]);
        for _ in 0..2 {
            log.append(&TestBatch::of_size(START, 700_000));
        }
        let read = |offset| log.log.read(offset, 2, 1).unwrap();
        let (one, other) = (read(0), read(0));
        assert_eq!(one.as_ptr(), other.as_ptr(), "full");
        let (one, other) = (read(1), read(1));
        assert_ne!(one.as_ptr(), other.as_ptr(), "still growing");
    }
}
