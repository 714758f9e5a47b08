//! A partition's log: segments in a row, offsets without gaps at the end, lookups by offset and by time.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::batch::{self, BatchHeader};
use super::producer::{Producers, Sequence};
use super::records;
use super::segment::{BatchEntry, Placed, Segment};
use crate::clock::Now;

/// A segment is closed at this size (`segment.bytes`).
const SEGMENT_BYTES: usize = 1 << 30;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct PartitionLog {
    /// Never empty; only the last one is appended to.
    segments: VecDeque<Segment>,
    /// The first offset that can be read.
    start_offset: i64,
    /// The offset that the next record gets. With one copy of the log it is also the high watermark.
    end_offset: i64,
    producers: Producers,
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

/// A record that was looked up by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOffset {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) leader_epoch: i32,
}

impl Default for PartitionLog {
    fn default() -> Self {
        Self {
            segments: VecDeque::from([Segment::new(0)]),
            start_offset: 0,
            end_offset: 0,
            producers: Producers::default(),
        }
    }
}

impl PartitionLog {
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.end_offset
    }

    /// Up to where a read_committed consumer may read. Without transactions that is everything.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.end_offset
    }

    /// Appends a batch that [`BatchHeader::check`] accepted. A batch that its idempotent producer sends again is not
    /// written twice but answered as the first time.
    ///
    /// # Errors
    /// As [`Producers::check`].
    pub(crate) fn append(
        &mut self,
        bytes: &[u8],
        header: &BatchHeader,
        leader_epoch: i32,
        log_append_time: bool,
        now: Now,
    ) -> Result<Append, ResponseError> {
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
        let base_offset = self.end_offset;
        let append_time = if log_append_time { now.unix_ms } else { -1 };
        let max_timestamp = if log_append_time {
            now.unix_ms
        } else {
            header.max_timestamp
        };
        let placed = Placed {
            base_offset,
            max_timestamp,
            leader_epoch,
        };
        self.active_segment(bytes.len())
            .append(bytes, header, placed, |copy| {
                batch::place(copy, base_offset, leader_epoch);
                if log_append_time {
                    batch::stamp(copy, now.unix_ms);
                }
            });
        self.end_offset += i64::from(header.last_offset_delta) + 1;
        if header.is_idempotent() {
            self.producers.appended(header, base_offset, append_time);
        }
        Ok(Append {
            base_offset,
            append_time,
            written: true,
        })
    }

    /// The segment to append `length` bytes to.
    fn active_segment(&mut self, length: usize) -> &mut Segment {
        let full = self
            .segments
            .back()
            .is_none_or(|last| last.bytes() > 0 && last.bytes() + length > SEGMENT_BYTES);
        if full {
            self.segments.push_back(Segment::new(self.end_offset));
        }
        let last = self.segments.len() - 1;
        &mut self.segments[last]
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
        if offset < self.start_offset || offset > self.end_offset {
            return Err(ResponseError::OffsetOutOfRange);
        }
        // The segment that holds the offset, or the first later one that has a batch: compaction leaves gaps.
        let first = self
            .segments
            .partition_point(|segment| segment.base_offset() <= offset)
            .saturating_sub(1);
        for segment in self.segments.range(first..) {
            let index = segment.find(offset);
            if index < segment.batches().len() {
                return Ok(segment.read(index, end, max_bytes));
            }
        }
        Ok(Bytes::new())
    }

    /// The first record whose timestamp is at least `timestamp`, if it lies before `end`.
    pub(crate) fn find_by_time(&self, timestamp: i64, end: i64) -> Option<TimedOffset> {
        self.entries()
            .filter(|(_, entry)| {
                entry.max_timestamp >= timestamp && entry.last_offset >= self.start_offset
            })
            .find_map(|(segment, entry)| {
                let wanted = |offset, time| time >= timestamp && offset >= self.start_offset;
                timed_offset(segment, entry, wanted)
            })
            .filter(|found| found.offset < end)
    }

    /// The first of the records with the largest timestamp.
    pub(crate) fn find_latest_time(&self) -> Option<TimedOffset> {
        // The first of equals: `max_by_key` would give the last.
        let mut latest: Option<(&Segment, &BatchEntry)> = None;
        for (segment, entry) in self
            .entries()
            .filter(|(_, entry)| entry.last_offset >= self.start_offset)
        {
            if latest.is_none_or(|(_, best)| entry.max_timestamp > best.max_timestamp) {
                latest = Some((segment, entry));
            }
        }
        let (segment, entry) = latest?;
        timed_offset(segment, entry, |_, time| time == entry.max_timestamp)
    }

    fn entries(&self) -> impl Iterator<Item = (&Segment, &BatchEntry)> {
        self.segments
            .iter()
            .flat_map(|segment| segment.batches().iter().map(move |entry| (segment, entry)))
    }
}

/// The first record of a batch that is `wanted` by its offset and timestamp.
fn timed_offset(
    segment: &Segment,
    entry: &BatchEntry,
    wanted: impl Fn(i64, i64) -> bool,
) -> Option<TimedOffset> {
    records::offsets_and_timestamps(&segment.batch(entry))
        .into_iter()
        .find(|(offset, timestamp)| wanted(*offset, *timestamp))
        .map(|(offset, timestamp)| TimedOffset {
            offset,
            timestamp,
            leader_epoch: entry.leader_epoch,
        })
}
