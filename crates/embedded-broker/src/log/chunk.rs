//! A stretch of memory with record batches side by side, and one index entry a batch.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::MmapMut;

use super::batch::BatchHeader;

/// Large enough for one fetch, small enough that deleting the oldest takes little at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Less than this is copied out of its mapping when the chunk is sealed.
const SMALL_BYTES: usize = CHUNK_BYTES / 16;

/// The timestamp of what has none.
pub(crate) const NO_TIMESTAMP: i64 = -1;

/// Where a batch lies, and what lookups need of its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchEntry {
    pub(crate) base_offset: i64,
    /// [`NO_TIMESTAMP`] for a batch whose records were all removed: no lookup by time ends in it.
    pub(crate) max_timestamp: i64,
    pub(crate) leader_epoch: i32,
    last_offset_delta: i32,
    position: u32,
    length: u32,
}

impl BatchEntry {
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    fn range(&self) -> Range<usize> {
        self.position as usize..(self.position + self.length) as usize
    }
}

/// What the broker decides about a batch that is appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) base_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) leader_epoch: i32,
    /// When it is appended, in milliseconds since the Unix epoch.
    pub(crate) now_ms: i64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Chunk {
    memory: Memory,
    /// In the order of their offsets. Shared with copies, and copied itself only if one of them is written to.
    batches: Arc<Vec<BatchEntry>>,
    /// How much of the memory batches fill.
    length: usize,
    /// When its first batch was appended, in milliseconds since the Unix epoch.
    created_ms: i64,
    /// The largest of its entries' timestamps.
    max_timestamp: i64,
}

/// Mapped memory: a chunk that is deleted goes back to the operating system at once, which no allocator promises.
#[derive(Debug)]
enum Memory {
    /// Being filled. Reads copy.
    Open(MmapMut),
    /// Not written to any more. Reads share it.
    Sealed(Bytes),
}

impl Chunk {
    /// An empty chunk with room for a batch of `length` bytes at least.
    ///
    /// # Errors
    /// If the operating system gives no memory.
    pub(crate) fn with_room_for(length: usize, now_ms: i64) -> io::Result<Self> {
        Ok(Self {
            memory: Memory::Open(MmapMut::map_anon(length.max(CHUNK_BYTES))?),
            batches: Arc::default(),
            length: 0,
            created_ms: now_ms,
            max_timestamp: NO_TIMESTAMP,
        })
    }

    /// Appends a batch whose header has been checked, and has `finish` set the bytes that the broker decides. False if
    /// the chunk has no room for it.
    pub(crate) fn append(
        &mut self,
        batch: &[u8],
        header: &BatchHeader,
        placed: Placed,
        finish: impl FnOnce(&mut [u8]),
    ) -> bool {
        let Memory::Open(memory) = &mut self.memory else {
            return false;
        };
        let Some(room) = memory.get_mut(self.length..self.length + batch.len()) else {
            return false;
        };
        room.copy_from_slice(batch);
        finish(room);
        let max_timestamp = match header.record_count {
            0 => NO_TIMESTAMP,
            _ => placed.max_timestamp,
        };
        Arc::make_mut(&mut self.batches).push(BatchEntry {
            base_offset: placed.base_offset,
            max_timestamp,
            leader_epoch: placed.leader_epoch,
            last_offset_delta: header.last_offset_delta,
            position: small(self.length),
            length: small(batch.len()),
        });
        self.length += batch.len();
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
        true
    }

    /// Ends the filling.
    pub(crate) fn seal(&mut self) {
        let Memory::Open(_) = self.memory else {
            return;
        };
        let open = std::mem::replace(&mut self.memory, Memory::Sealed(Bytes::new()));
        if let Memory::Open(memory) = open {
            self.memory = Memory::Sealed(match memory.get(..self.length) {
                // Segments may be closed after each record: not each of them is worth a mapping.
                Some(batches) if batches.len() < SMALL_BYTES => Bytes::copy_from_slice(batches),
                _ => Bytes::from_owner(memory),
            });
        }
        Arc::make_mut(&mut self.batches).shrink_to_fit();
    }

    /// A copy that shares the memory of this one, if it is sealed.
    pub(crate) fn share(&self) -> Self {
        Self {
            memory: Memory::Sealed(self.slice(0..self.length)),
            batches: Arc::clone(&self.batches),
            ..*self
        }
    }

    pub(crate) fn batches(&self) -> &[BatchEntry] {
        &self.batches
    }

    /// Bytes of its batches.
    pub(crate) fn bytes(&self) -> usize {
        self.length
    }

    /// Whether it is still being filled.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.memory, Memory::Open(_))
    }

    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The offset behind its last batch, 0 while there is none.
    pub(crate) fn next_offset(&self) -> i64 {
        self.batches.last().map_or(0, |last| last.last_offset() + 1)
    }

    /// Index of the first batch that ends at or after `offset`: the one that holds it, or the next one behind a gap.
    pub(crate) fn find(&self, offset: i64) -> usize {
        self.batches
            .partition_point(|batch| batch.last_offset() < offset)
    }

    /// Whole batches from the one with index `first` on that begin before `end`, at most `max_bytes` but `at_least` so many.
    pub(crate) fn read(&self, first: usize, end: i64, max_bytes: usize, at_least: usize) -> Bytes {
        let batches = self.batches.get(first..).unwrap_or_default();
        let Some(start) = batches.first().filter(|batch| batch.base_offset < end) else {
            return Bytes::new();
        };
        let limit = (start.position as usize).saturating_add(max_bytes);
        let count = batches
            .partition_point(|batch| batch.base_offset < end && batch.range().end <= limit)
            .max(at_least);
        match batches.get(..count).and_then(<[_]>::last) {
            Some(last) => self.slice(start.range().start..last.range().end),
            None => Bytes::new(),
        }
    }

    /// The bytes of one of its batches.
    pub(crate) fn batch(&self, entry: &BatchEntry) -> Bytes {
        self.slice(entry.range())
    }

    /// The bytes of each of its batches.
    pub(crate) fn raw_batches(&self) -> impl Iterator<Item = Bytes> {
        self.batches.iter().map(|entry| self.batch(entry))
    }

    fn slice(&self, range: Range<usize>) -> Bytes {
        match &self.memory {
            Memory::Open(memory) => Bytes::copy_from_slice(&memory[range]),
            Memory::Sealed(memory) => memory.slice(range),
        }
    }
}

/// Positions stay far below 4 GiB: chunks hold [`CHUNK_BYTES`] or one batch, and a frame is at most 100 MiB.
fn small(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
