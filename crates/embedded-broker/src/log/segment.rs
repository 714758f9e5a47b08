//! A stretch of a partition's log, the unit of retention and compaction: chunks in a row.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use super::batch::BatchHeader;
use super::chunk::{BatchEntry, Chunk, NO_TIMESTAMP, Placed};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Segment {
    /// Offset of the first record, or of the next one while the segment is empty.
    base_offset: i64,
    /// In the order of their offsets. None is empty, and only the last may be open.
    chunks: VecDeque<Chunk>,
    /// Bytes of all batches.
    bytes: usize,
    /// How many batches there are.
    batch_count: usize,
    /// When the segment was begun, in milliseconds since the Unix epoch, as are the times that follow.
    created_ms: i64,
    /// When the last batch was appended: what the age of records without a timestamp is counted from.
    modified_ms: i64,
    /// The largest timestamp of the first batch: what the age of the segment is counted from.
    first_timestamp: i64,
    /// The largest timestamp of all batches, also of those whose records were removed since.
    max_timestamp: i64,
}

impl Segment {
    pub(crate) fn new(base_offset: i64, now_ms: i64) -> Self {
        Self {
            base_offset,
            chunks: VecDeque::new(),
            bytes: 0,
            batch_count: 0,
            created_ms: now_ms,
            modified_ms: now_ms,
            first_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes that it takes: its batches and their index entries.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.batch_count * size_of::<BatchEntry>()
    }

    pub(crate) fn chunks(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.chunks.iter()
    }

    pub(crate) fn oldest_chunk(&self) -> Option<&Chunk> {
        self.chunks.front()
    }

    /// The timestamp that retention goes by: the largest of its records, or the last append where they have none.
    pub(crate) fn largest_timestamp(&self) -> i64 {
        if self.max_timestamp >= 0 {
            self.max_timestamp
        } else {
            self.modified_ms
        }
    }

    /// The timestamp of the first batch, if it has one.
    pub(crate) fn first_timestamp(&self) -> Option<i64> {
        (self.first_timestamp >= 0).then_some(self.first_timestamp)
    }

    pub(crate) fn modified_ms(&self) -> i64 {
        self.modified_ms
    }

    /// How old a batch with this timestamp finds the segment: by the clock only where records have no time of their own.
    pub(crate) fn age(&self, timestamp: i64, now_ms: i64) -> i64 {
        match self.first_timestamp() {
            Some(first) => timestamp.saturating_sub(first),
            None => now_ms.saturating_sub(self.created_ms),
        }
    }

    /// Appends a batch whose header has been checked; `finish` sets the bytes that the broker decides.
    ///
    /// # Errors
    /// If the operating system gives no memory. Nothing was appended then.
    pub(crate) fn append(
        &mut self,
        batch: &[u8],
        header: &BatchHeader,
        placed: Placed,
        finish: impl Fn(&mut [u8]),
    ) -> io::Result<()> {
        let appended = self
            .chunks
            .back_mut()
            .is_some_and(|last| last.append(batch, header, placed, &finish));
        if !appended {
            let mut chunk = Chunk::with_room_for(batch.len(), placed.now_ms)?;
            chunk.append(batch, header, placed, &finish);
            self.close();
            self.chunks.push_back(chunk);
        }
        if self.batch_count == 0 {
            self.first_timestamp = placed.max_timestamp;
        }
        self.bytes += batch.len();
        self.batch_count += 1;
        self.modified_ms = placed.now_ms;
        self.max_timestamp = self.max_timestamp.max(placed.max_timestamp);
        Ok(())
    }

    /// Ends the appending.
    pub(crate) fn close(&mut self) {
        if let Some(last) = self.chunks.back_mut() {
            last.seal();
        }
    }

    /// A copy of a closed segment that shares its memory.
    pub(crate) fn share(&self) -> Self {
        Self {
            chunks: self.chunks.iter().map(Chunk::share).collect(),
            ..*self
        }
    }

    /// A segment without batches in the place of this one.
    pub(crate) fn emptied_copy(&self) -> Self {
        Self::new(self.base_offset, self.created_ms)
    }

    /// Takes over the age of the segment that this one replaces: what a compaction rewrites is no younger than before.
    pub(crate) fn set_modified(&mut self, modified_ms: i64) {
        self.modified_ms = modified_ms;
    }

    /// Gives back the chunks in front that end before `offset`. What else lies before it stays until its chunk goes.
    pub(crate) fn drop_before(&mut self, offset: i64) {
        while let Some(chunk) = self.chunks.front()
            && chunk.next_offset() <= offset
        {
            self.bytes -= chunk.bytes();
            self.batch_count -= chunk.batches().len();
            self.chunks.pop_front();
        }
    }

    /// Whole batches from the one that holds `offset` on, or the next one behind a gap, that begin before `end`: at most
    /// `max_bytes`, but `at_least` so many. None if the segment ends before `offset`.
    ///
    /// They come from one chunk, so that the answer can share its memory; what lies in the next is the next fetch's.
    pub(crate) fn read(
        &self,
        offset: i64,
        end: i64,
        max_bytes: usize,
        at_least: usize,
    ) -> Option<Bytes> {
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.next_offset() <= offset);
        let chunk = self.chunks.get(chunk)?;
        Some(chunk.read(chunk.find(offset), end, max_bytes, at_least))
    }
}
