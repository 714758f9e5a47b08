//! A stretch of a partition's log: batches side by side in large chunks of memory, with one index entry a batch.

use bytes::Bytes;

use super::batch::BatchHeader;

/// Chunks of this size are filled before the next is begun. Large enough for one fetch, small enough that the allocator
/// gives deleted ones back to the operating system.
const CHUNK_BYTES: usize = 1 << 20;

/// Where a batch lies, and what lookups need of its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchEntry {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) leader_epoch: i32,
    chunk: u32,
    position: u32,
    length: u32,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Segment {
    /// Offset of the first record, or of the next one while the segment is empty.
    base_offset: i64,
    /// Chunks that are full. Reads share their memory.
    sealed: Vec<Bytes>,
    /// The chunk that is being filled; entries know it by the index that it will have when it is sealed. Reads copy.
    open: Vec<u8>,
    /// In the order of their offsets.
    batches: Vec<BatchEntry>,
    /// Bytes of all batches.
    bytes: usize,
}

impl Segment {
    pub(crate) fn new(base_offset: i64) -> Self {
        Self {
            base_offset,
            sealed: Vec::new(),
            open: Vec::new(),
            batches: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn batches(&self) -> &[BatchEntry] {
        &self.batches
    }

    /// Appends a batch whose header has been checked; `finish` sets the bytes that the broker decides.
    pub(crate) fn append(
        &mut self,
        batch: &[u8],
        header: &BatchHeader,
        entry: Placed,
        finish: impl FnOnce(&mut [u8]),
    ) {
        if !self.open.is_empty() && self.open.len() + batch.len() > CHUNK_BYTES {
            // A log that filled one chunk will fill the next: reserved whole, it is never copied while it grows.
            let full = std::mem::replace(&mut self.open, Vec::with_capacity(CHUNK_BYTES));
            self.sealed.push(Bytes::from(full));
        }
        let position = self.open.len();
        self.open.extend_from_slice(batch);
        finish(&mut self.open[position..]);
        self.batches.push(BatchEntry {
            base_offset: entry.base_offset,
            last_offset: entry.base_offset + i64::from(header.last_offset_delta),
            max_timestamp: entry.max_timestamp,
            leader_epoch: entry.leader_epoch,
            chunk: small(self.sealed.len()),
            position: small(position),
            length: small(batch.len()),
        });
        self.bytes += batch.len();
    }

    /// Index of the first batch that ends at or after `offset`: the one that holds it, or the next one behind a gap.
    pub(crate) fn find(&self, offset: i64) -> usize {
        self.batches
            .partition_point(|batch| batch.last_offset < offset)
    }

    /// Whole batches from the one with index `first` on that begin before `end`, at most `max_bytes` but at least one.
    ///
    /// They come from one chunk, so that the answer can share its memory; what lies in the next is the next fetch's.
    pub(crate) fn read(&self, first: usize, end: i64, max_bytes: usize) -> Bytes {
        let Some(start) = self
            .batches
            .get(first)
            .filter(|batch| batch.base_offset < end)
        else {
            return Bytes::new();
        };
        let limit = start.position as usize + max_bytes;
        let last = self.batches[first + 1..]
            .iter()
            .take_while(|batch| {
                batch.chunk == start.chunk
                    && batch.base_offset < end
                    && (batch.position + batch.length) as usize <= limit
            })
            .last()
            .unwrap_or(start);
        self.slice(start.chunk, start.position, last.position + last.length)
    }

    /// The bytes of one batch.
    pub(crate) fn batch(&self, entry: &BatchEntry) -> Bytes {
        self.slice(entry.chunk, entry.position, entry.position + entry.length)
    }

    fn slice(&self, chunk: u32, from: u32, to: u32) -> Bytes {
        let range = from as usize..to as usize;
        match self.sealed.get(chunk as usize) {
            Some(sealed) => sealed.slice(range),
            None => Bytes::copy_from_slice(&self.open[range]),
        }
    }
}

/// What the broker decides about a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) base_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) leader_epoch: i32,
}

/// Positions stay far below 4 GiB: chunks hold [`CHUNK_BYTES`] or one batch, and a frame is at most 100 MiB.
fn small(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
