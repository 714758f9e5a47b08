//! Where the last record of each key is.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// As many keys take about 100 MiB. Apache Kafka's default (`log.cleaner.dedupe.buffer.size`) has room for 5 million.
pub(super) const MAX_KEYS: usize = 3_500_000;

/// Keys by their hashes, as Apache Kafka's `SkimpyOffsetMap` has them: a batch of a kilobyte may decompress to keys that take
/// a hundred megabytes. With 128 bits, of secret hash functions, no two keys of a log are ever the same.
#[derive(Debug)]
pub(super) struct LastOffsets {
    by_hash: HashMap<u128, i64>,
    halves: [RandomState; 2],
    max_keys: usize,
    /// The first offset that was not taken in any more.
    end: i64,
}

impl LastOffsets {
    /// With room for so many keys.
    pub(super) fn new(max_keys: usize) -> Self {
        Self {
            by_hash: HashMap::new(),
            halves: [RandomState::new(), RandomState::new()],
            max_keys,
            end: i64::MAX,
        }
    }

    /// Takes in a record behind all those before. False if there is no room for it, nor for any later one.
    pub(super) fn take_in(&mut self, key: &[u8], offset: i64) -> bool {
        let hash = self.hash(key);
        if self.by_hash.len() >= self.max_keys && !self.by_hash.contains_key(&hash) {
            self.end = offset;
            return false;
        }
        self.by_hash.insert(hash, offset);
        true
    }

    /// The first offset that was not taken in: nothing is known about the records from there on.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Whether a later record has the key.
    pub(super) fn is_outdated(&self, key: &[u8], offset: i64) -> bool {
        let last = self.by_hash.get(&self.hash(key));
        last.is_some_and(|last| offset < *last)
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let [high, low] = self.halves.each_ref().map(|half| half.hash_one(key));
        u128::from(high) << 64 | u128::from(low)
    }
}
