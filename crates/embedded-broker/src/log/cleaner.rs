//! Compaction: of the records with one key the last stays.
//!
//! Follows Apache Kafka's `LogCleaner` and `Cleaner`
//! (<https://kafka.apache.org/documentation/#compaction>): only closed segments below the last stable offset are
//! compacted, once enough of the log is new. Offsets never change, so a compacted log has gaps. A tombstone stays for
//! `delete.retention.ms` after its first compaction (KIP-534), and so does the marker of a transaction whose records are
//! all gone. A producer's last batch stays, emptied if need be, so that its next sequence number is still known.
//!
//! The work is done beside the log, on a copy that shares the memory of its segments, because it takes long: [`begin`]
//! and [`finish`] look at the log, [`Cleaning::run`] does not.
//!
//! [`begin`]: PartitionLog::begin_cleaning
//! [`finish`]: PartitionLog::finish_cleaning

mod last_offsets;

use std::collections::HashMap;
use std::io;

use bytes::Bytes;

use self::last_offsets::{LastOffsets, MAX_KEYS};
use super::aborted::{AbortedTransaction, TransactionFilter};
use super::batch::BatchHeader;
use super::chunk::{Chunk, Placed};
use super::partition::PartitionLog;
use super::producer::LastBatch;
use super::records::{Record, Records};
use super::rewrite;
use super::segment::Segment;
use crate::clock::Now;
use crate::config::topic::TopicConfig;

/// Whether a log should be compacted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Dirt {
    /// Not as it is. It may have to be at this time, in milliseconds since the Unix epoch, if nothing is appended.
    Tolerable { until: Option<i64> },
    /// Now; this part of its bytes is new.
    TooMuch { ratio: f64 },
}

/// One compaction of one log.
#[derive(Debug)]
pub(crate) struct Cleaning {
    /// The segments to compact, from the first of the log on.
    segments: Vec<Segment>,
    /// Where the part begins that was not compacted before.
    dirty_from: i64,
    /// The offset behind the last segment.
    end: i64,
    /// The aborted transactions that begin before the end.
    aborted: Vec<AbortedTransaction>,
    /// The batches that must stay for their producers' sake.
    last_batches: HashMap<i64, LastBatch>,
    delete_retention_ms: i64,
    segment_bytes: usize,
    /// How many keys are looked at. Beyond them records stay, for the next compaction to look at.
    max_keys: usize,
    now_ms: i64,
}

/// What becomes of the segments of a [`Cleaning`].
#[derive(Debug)]
pub(crate) struct Cleaned {
    /// Base offset and size of the segments that were compacted.
    sources: Vec<(i64, usize)>,
    /// What takes their place.
    segments: Vec<Segment>,
    end: i64,
    /// Aborted transactions that the index need not list any more.
    vanished: Vec<AbortedTransaction>,
}

/// The segments that a compaction replaced. They take memory until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Replaced(#[expect(dead_code, reason = "kept to be dropped")] Vec<Segment>);

impl PartitionLog {
    /// Whether the log should be compacted now.
    pub(crate) fn dirt(&self, config: &TopicConfig, now: Now) -> Dirt {
        let mut until = None;
        if !config.compact {
            return Dirt::Tolerable { until };
        }
        let cleanable = self.cleanable(config, now);
        let dirty_from = self.dirty_from();
        let (mut clean_bytes, mut dirty_bytes) = (0, 0);
        for (index, segment) in self.closed.iter().take(cleanable).enumerate() {
            if segment.base_offset() < dirty_from {
                clean_bytes += segment.bytes();
            }
            if self.end_of(index) > dirty_from {
                dirty_bytes += segment.bytes();
            }
        }
        let total_bytes = clean_bytes + dirty_bytes;
        let ratio = dirty_bytes as f64 / total_bytes.max(1) as f64;
        // The oldest record that was not compacted bounds how long it may stay so.
        let overdue_at = self
            .closed
            .iter()
            .enumerate()
            .filter(|(index, _)| self.end_of(*index) > dirty_from)
            .filter_map(|(_, segment)| segment.first_timestamp().filter(|time| *time > 0))
            .min()
            .and_then(|first| {
                first
                    .checked_add(config.max_compaction_lag_ms)?
                    .checked_add(1)
            });
        let overdue = overdue_at.is_some_and(|at| at <= now.unix_ms);
        if ratio > config.min_cleanable_dirty_ratio || (overdue && dirty_bytes > 0) {
            return Dirt::TooMuch { ratio };
        }
        // The first segment that is left out may only be too young.
        let old_enough_at = self.closed.get(cleanable).and_then(|segment| {
            segment
                .largest_timestamp()
                .checked_add(config.min_compaction_lag_ms)
        });
        until = overdue_at
            .into_iter()
            .chain(old_enough_at)
            .filter(|at| *at > now.unix_ms)
            .min();
        Dirt::Tolerable { until }
    }

    /// Takes what a compaction works on. None if there is nothing that could be compacted.
    pub(crate) fn begin_cleaning(&self, config: &TopicConfig, now: Now) -> Option<Cleaning> {
        let count = self.cleanable(config, now);
        let end = self.end_of(count.checked_sub(1)?);
        Some(Cleaning {
            segments: self.closed.iter().take(count).map(Segment::share).collect(),
            dirty_from: self.dirty_from(),
            end,
            aborted: self.aborted_before(end),
            last_batches: self.producers.last_batches(),
            delete_retention_ms: config.delete_retention_ms,
            segment_bytes: config.segment_bytes,
            max_keys: MAX_KEYS,
            now_ms: now.unix_ms,
        })
    }

    /// Puts the compacted segments into the place of the old ones, which it returns. None if the old ones are not what they
    /// were: records were deleted meanwhile, and the work was for nothing.
    pub(crate) fn finish_cleaning(&mut self, cleaned: Cleaned) -> Option<Replaced> {
        let count = cleaned.sources.len();
        let same = self
            .closed
            .iter()
            .map(|segment| (segment.base_offset(), segment.bytes()));
        if !same.take(count).eq(cleaned.sources) {
            return None;
        }
        let replaced = self.closed.drain(..count).collect();
        for segment in cleaned.segments.into_iter().rev() {
            self.closed.push_front(segment);
        }
        self.clean_offset = cleaned.end;
        self.transactions.forget(&cleaned.vanished);
        self.release_deleted();
        Some(Replaced(replaced))
    }

    /// Where the part begins that was not compacted yet.
    fn dirty_from(&self) -> i64 {
        self.clean_offset.max(self.start_offset)
    }

    /// How many segments may be compacted: those before the last stable offset whose records are all old enough.
    fn cleanable(&self, config: &TopicConfig, now: Now) -> usize {
        let stable = self.last_stable_offset();
        let youngest = now.unix_ms.saturating_sub(config.min_compaction_lag_ms);
        let old_enough = |index: usize, segment: &Segment| {
            config.min_compaction_lag_ms == 0
                || self.end_of(index) <= self.dirty_from()
                || segment.largest_timestamp() <= youngest
        };
        self.closed
            .iter()
            .enumerate()
            .take_while(|(index, segment)| {
                self.end_of(*index) <= stable && old_enough(*index, segment)
            })
            .count()
    }

    /// The offset behind the closed segment with this index.
    fn end_of(&self, index: usize) -> i64 {
        self.closed
            .get(index + 1)
            .unwrap_or(&self.active)
            .base_offset()
    }
}

impl Cleaning {
    /// Does the work.
    ///
    /// # Errors
    /// If there is no memory for the result.
    pub(crate) fn run(self) -> io::Result<Cleaned> {
        let last_offsets = self.last_offsets();
        let mut transactions = TransactionFilter::new(&self.aborted);
        let mut cleaned = Vec::new();
        let mut sources = self.segments.iter().peekable();
        while let Some(first) = sources.next() {
            let mut segment = first.emptied_copy();
            let mut bytes = first.bytes();
            let mut source = Some(first);
            // Neighbours that fit into one segment become one, or a log would end as thousands of nearly empty ones.
            while let Some(current) = source {
                self.clean_into(&mut segment, current, &last_offsets, &mut transactions)?;
                segment.set_modified(current.modified_ms());
                source = sources.next_if(|next| bytes + next.bytes() <= self.segment_bytes);
                bytes += source.map_or(0, Segment::bytes);
            }
            segment.close();
            if !segment.is_empty() {
                cleaned.push(segment);
            }
        }
        Ok(Cleaned {
            sources: self
                .segments
                .iter()
                .map(|segment| (segment.base_offset(), segment.bytes()))
                .collect(),
            segments: cleaned,
            end: self.end.min(last_offsets.end()),
            vanished: transactions.into_vanished(),
        })
    }

    /// The last offset of each key in the part of the log that is new. Aborted records do not count.
    fn last_offsets(&self) -> LastOffsets {
        let mut last_offsets = LastOffsets::new(self.max_keys);
        let mut transactions = TransactionFilter::new(&self.aborted);
        let chunks = self.segments.iter().flat_map(Segment::chunks);
        for batch in chunks.flat_map(Chunk::raw_batches) {
            let Some(header) = BatchHeader::parse(&batch) else {
                continue;
            };
            // Observed from the first batch on: an aborted transaction is over only where its marker was seen.
            let is_aborted = transactions.observe(&header, &batch);
            if is_aborted || header.is_control() || header.last_offset() < self.dirty_from {
                continue;
            }
            let Some(records) = Records::of(&batch) else {
                continue;
            };
            for record in records.all().into_iter().flatten() {
                let offset = records.offset(&record);
                let Some(key) = record.key.filter(|_| offset >= self.dirty_from) else {
                    continue;
                };
                if !last_offsets.take_in(key, offset) {
                    return last_offsets;
                }
            }
        }
        last_offsets
    }

    fn clean_into(
        &self,
        target: &mut Segment,
        source: &Segment,
        last_offsets: &LastOffsets,
        transactions: &mut TransactionFilter,
    ) -> io::Result<()> {
        for chunk in source.chunks() {
            for batch in chunk.raw_batches() {
                let Some(header) = BatchHeader::parse(&batch) else {
                    continue;
                };
                let unneeded = transactions.observe(&header, &batch);
                if let Some(left) = self.clean_batch(&header, batch, unneeded, last_offsets)? {
                    let Some(header) = BatchHeader::parse(&left) else {
                        continue;
                    };
                    let placed = Placed {
                        base_offset: header.base_offset,
                        max_timestamp: header.max_timestamp,
                        leader_epoch: header.partition_leader_epoch,
                        now_ms: chunk.created_ms(),
                    };
                    target.append(&left, &header, placed, |_| {})?;
                }
            }
        }
        Ok(())
    }

    /// What is left of a batch. `unneeded` says that its records were aborted, or that it marks a transaction that has no
    /// records any more.
    fn clean_batch(
        &self,
        header: &BatchHeader,
        batch: Bytes,
        unneeded: bool,
        last_offsets: &LastOffsets,
    ) -> io::Result<Option<Bytes>> {
        let remove = if header.is_control() {
            unneeded
                && header
                    .delete_horizon()
                    .is_some_and(|horizon| horizon <= self.now_ms)
        } else {
            unneeded
        };
        if remove {
            return Ok(self.emptied(header));
        }
        let Some(records) = Records::of(&batch) else {
            // Nothing can be said about what cannot be read: it stays.
            return Ok(Some(batch));
        };
        let Some(all) = records.all() else {
            return Ok(Some(batch));
        };
        let stays = |record: Record<'_>| {
            header.is_control() || self.keeps(header, &records, &record, last_offsets)
        };
        let stay: Vec<bool> = all.clone().map(stays).collect();
        let kept = all.zip(&stay).filter(|(_, stays)| **stays);
        let kept = kept.map(|(record, _)| record);
        if !stay.contains(&true) {
            return Ok(self.emptied(header));
        }
        let has_tombstones = kept.clone().any(|record| !record.has_value);
        let marks_nothing = header.is_control() && unneeded;
        let needs_horizon = (has_tombstones || marks_nothing) && header.delete_horizon().is_none();
        let horizon = needs_horizon.then(|| self.now_ms.saturating_add(self.delete_retention_ms));
        if !stay.contains(&false) && horizon.is_none() {
            return Ok(Some(batch.clone()));
        }
        rewrite::with_records(&records, kept, horizon).map(|left| Some(left.into()))
    }

    /// Whether a record stays: it is the last of its key, and not a tombstone whose time has come; or nobody looked.
    fn keeps(
        &self,
        header: &BatchHeader,
        records: &Records<'_>,
        record: &Record<'_>,
        last_offsets: &LastOffsets,
    ) -> bool {
        let offset = records.offset(record);
        if offset >= last_offsets.end() {
            return true;
        }
        let Some(key) = record.key else {
            return false;
        };
        let is_due = header
            .delete_horizon()
            .is_some_and(|horizon| horizon <= self.now_ms);
        !last_offsets.is_outdated(key, offset) && (record.has_value || !is_due)
    }

    /// What is left of a batch without records: nothing, unless its producer needs it or it shows where the compacted part
    /// ends.
    fn emptied(&self, header: &BatchHeader) -> Option<Bytes> {
        let is_needed = match self.last_batches.get(&header.producer_id) {
            Some(LastBatch::EndsAt(offset)) => header.last_offset() == *offset,
            Some(LastBatch::NoneIn { epoch }) => {
                header.is_control() && header.producer_epoch == *epoch
            }
            None => false,
        };
        let is_last = header.last_offset() + 1 == self.end;
        (is_needed || is_last).then(|| rewrite::emptied(*header).into())
    }
}

#[cfg(test)]
mod tests;
