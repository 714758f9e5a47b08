//! Producers that begin, write, commit, abort, die, come back as zombies and dawdle, at random; and a model so simple that
//! it cannot be wrong.
//!
//! Whatever happens, a reader of committed records sees exactly the committed ones before the first open transaction, in
//! however small pieces it fetches.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;

use super::ProducerIdAndEpoch;
use super::fixture::{Fixture, TIMEOUT_MS};
use crate::log::TransactionResult;

const IDS: [&str; 3] = ["a", "b", "c"];
const PARTITIONS: usize = 2;
const STEPS: usize = 400;
const WALKS: u64 = 60;

/// What lies at one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A record outside any transaction, or in one that was committed.
    Committed,
    /// A record in the transaction that is open under this id.
    Open(&'static str),
    Aborted,
    Marker,
}

/// A transactional id as the model knows it.
#[derive(Debug, Default)]
struct Model {
    /// Every epoch that a producer was given; the last one is current unless `fenced`.
    given: Vec<ProducerIdAndEpoch>,
    /// The last one's transaction timed out.
    fenced: bool,
    /// The partitions of the open transaction, and when it began.
    open: Option<(BTreeSet<i32>, u64)>,
}

struct Walk {
    seed: u64,
    random: fastrand::Rng,
    fixture: Fixture,
    /// Milliseconds since the walk began.
    time: u64,
    models: BTreeMap<&'static str, Model>,
    logs: [Vec<Entry>; PARTITIONS],
    /// The next sequence number of each producer and partition.
    sequences: BTreeMap<(i64, i16, i32), i32>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: fastrand::Rng::with_seed(seed),
            fixture: Fixture::new(PARTITIONS),
            time: 0,
            models: IDS.map(|id| (id, Model::default())).into(),
            logs: Default::default(),
            sequences: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        let id = IDS[self.random.usize(0..IDS.len())];
        let partition = self.random.i32(0..PARTITIONS as i32);
        match self.random.u8(0..100) {
            0..8 => self.initialise(id),
            8..14 => self.claim(id),
            14..36 => self.add(id, partition),
            36..66 => self.produce(id, partition),
            66..72 => {
                self.fixture.produce_plainly(partition);
                self.logs[partition as usize].push(Entry::Committed);
            }
            72..92 => self.end(id),
            92..97 => self.wait(),
            _ => self.delete(partition),
        }
    }

    /// The current producer or, now and then, one of those before it; and whether it is a zombie.
    fn producer(&mut self, id: &str) -> Option<(ProducerIdAndEpoch, bool)> {
        let model = &self.models[id];
        let current = model.given.len().checked_sub(1)?;
        let index = match self.random.u8(0..4) {
            0 => self.random.usize(0..=current),
            _ => current,
        };
        Some((model.given[index], index < current || model.fenced))
    }

    fn initialise(&mut self, id: &'static str) {
        let given = self.fixture.init(id, None).unwrap();
        let was_open = self.finish(id, TransactionResult::Abort);
        let model = self.models.get_mut(id).unwrap();
        if let Some(last) = model.given.last() {
            let fences = i16::from(was_open || model.fenced);
            assert_eq!(given.id, last.id);
            assert_eq!(given.epoch, last.epoch + 1 + fences, "seed {}", self.seed);
        }
        model.given.push(given);
        model.fenced = false;
    }

    /// A producer claims the epoch that it has (KIP-360).
    fn claim(&mut self, id: &'static str) {
        let Some((producer, _)) = self.producer(id) else {
            return;
        };
        let claimed = self.fixture.init(id, Some(producer));
        // Even a claim that is refused has ended what was open.
        let was_open = self.finish(id, TransactionResult::Abort);
        let model = self.models.get_mut(id).unwrap();
        model.fenced |= was_open;
        let last = *model.given.last().unwrap();
        if producer == last {
            assert_eq!(claimed.map(|given| given.epoch), Ok(last.epoch + 1));
            model.given.push(claimed.unwrap());
            model.fenced = false;
        } else if let Ok(given) = claimed {
            assert_eq!(
                given, last,
                "seed {}: only the last claim is answered again",
                self.seed
            );
            assert!(!model.fenced);
        }
    }

    fn add(&mut self, id: &'static str, partition: i32) {
        let Some((producer, is_zombie)) = self.producer(id) else {
            return;
        };
        let added = self.fixture.add(id, producer, partition);
        if is_zombie {
            assert_eq!(added, Err(ResponseError::ProducerFenced));
            return;
        }
        assert_eq!(added, Ok(()), "seed {}", self.seed);
        let model = self.models.get_mut(id).unwrap();
        let begun = model.open.get_or_insert((BTreeSet::new(), self.time));
        begun.0.insert(partition);
    }

    fn produce(&mut self, id: &'static str, partition: i32) {
        let Some((producer, is_zombie)) = self.producer(id) else {
            return;
        };
        let key = (producer.id, producer.epoch, partition);
        let sequence = self.sequences.get(&key).copied().unwrap_or(0);
        let sent = self.fixture.produce(id, producer, partition, sequence);
        let open = self.models[id].open.as_ref();
        if is_zombie {
            assert_eq!(
                sent,
                Err(ResponseError::InvalidProducerEpoch),
                "seed {}",
                self.seed
            );
        } else if open.is_some_and(|(partitions, _)| partitions.contains(&partition)) {
            let log = &mut self.logs[partition as usize];
            assert_eq!(sent, Ok(log.len() as i64), "seed {}", self.seed);
            log.push(Entry::Open(id));
            self.sequences.insert(key, sequence + 1);
        } else {
            assert_eq!(
                sent,
                Err(ResponseError::TransactionAbortable),
                "seed {}",
                self.seed
            );
        }
    }

    fn end(&mut self, id: &'static str) {
        let Some((producer, is_zombie)) = self.producer(id) else {
            return;
        };
        let result = match self.random.bool() {
            true => TransactionResult::Commit,
            false => TransactionResult::Abort,
        };
        let ended = self.fixture.end(id, producer, result);
        if is_zombie {
            assert_eq!(
                ended,
                Err(ResponseError::ProducerFenced),
                "seed {}",
                self.seed
            );
        } else if self.finish(id, result) {
            assert_eq!(ended, Ok(()), "seed {}", self.seed);
        }
    }

    fn wait(&mut self) {
        let step = self.random.u64(1..TIMEOUT_MS as u64);
        self.time += step;
        self.fixture.wait(step);
        for id in IDS {
            let open = self.models[id].open.as_ref();
            if open.is_some_and(|(_, began)| began + TIMEOUT_MS as u64 <= self.time) {
                self.finish(id, TransactionResult::Abort);
                self.models.get_mut(id).unwrap().fenced = true;
            }
        }
    }

    fn delete(&mut self, partition: i32) {
        let log = self.fixture.log_mut(partition as usize);
        let offset = self.random.i64(0..=log.high_watermark());
        if offset < log.start_offset() + 30 {
            log.delete_before(offset).unwrap();
        }
    }

    /// Ends the model's transaction. Whether there was one.
    fn finish(&mut self, id: &'static str, result: TransactionResult) -> bool {
        let Some((partitions, _)) = self.models.get_mut(id).unwrap().open.take() else {
            return false;
        };
        let decided = match result {
            TransactionResult::Commit => Entry::Committed,
            TransactionResult::Abort => Entry::Aborted,
        };
        for log in &mut self.logs {
            log.iter_mut()
                .filter(|entry| **entry == Entry::Open(id))
                .for_each(|entry| *entry = decided);
        }
        for partition in partitions {
            self.logs[partition as usize].push(Entry::Marker);
        }
        true
    }

    fn check(&mut self) {
        for (partition, entries) in self.logs.iter().enumerate() {
            let log = self.fixture.log(partition);
            assert_eq!(
                log.high_watermark(),
                entries.len() as i64,
                "seed {}",
                self.seed
            );
            let start = log.start_offset() as usize;
            let is_open = |entry: &Entry| matches!(entry, Entry::Open(_));
            let stable = entries
                .iter()
                .position(is_open)
                .map_or(entries.len(), |first| first.max(start));
            assert_eq!(
                log.last_stable_offset(),
                stable as i64,
                "seed {}",
                self.seed
            );
            let committed: Vec<i64> = (start..stable)
                .filter(|offset| entries[*offset] == Entry::Committed)
                .map(|offset| offset as i64)
                .collect();
            let max_bytes = self.random.usize(0..600);
            assert_eq!(
                self.fixture.committed(partition, max_bytes),
                committed,
                "seed {}, partition {partition}, {max_bytes} bytes at once",
                self.seed
            );
        }
    }
}

#[test]
fn readers_of_committed_records_see_exactly_those() {
    for seed in 0..WALKS {
        let mut walk = Walk::new(seed);
        for _ in 0..STEPS {
            walk.step();
            walk.check();
        }
    }
}
