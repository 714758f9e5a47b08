//! What a processor has in hand: its partitions, how far each is processed, and the work in their lanes. It waits for
//! nothing and calls nobody; [`run`](super::run) does.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use rdkafka::message::BorrowedMessage;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ProcessorError;
use super::attempt::{Stage, Work};
use super::handler::chain;
use super::lanes::{LaneId, Lanes};
use super::progress::Progress;
use super::settings::{Concurrency, ProcessorSettings};
use crate::assignment::TopicPartition;
use crate::event::Event;
use crate::event_consumer::{Received, received_with_trace};

/// See the module.
pub(super) struct Desk<'a, T> {
    concurrency: Concurrency,
    capacity: usize,
    /// By id, which grows. A handful as a rule.
    slots: Vec<Slot>,
    /// The slot of the last record: the next one is likely to be of the same partition.
    last: usize,
    /// For the next slot.
    next_id: u64,
    lanes: Lanes<Box<Work<'a, T>>>,
    /// True from twice the capacity until there is room again. Then nothing at all is fetched.
    full: bool,
    /// Steps of records that have their place in a lane already.
    next_steps: VecDeque<(Box<Work<'a, T>>, Option<Duration>)>,
    /// From here on nothing new is begun.
    closed: bool,
    /// Why the processor stops by itself.
    pub(super) stopped: Option<ProcessorError>,
}

/// A partition, for as long as it is this member's. If it comes back, that is another slot.
struct Slot {
    id: u64,
    partition: TopicPartition,
    progress: Progress,
    /// What the broker has.
    committed: Option<i64>,
    /// How many records of it wait for another attempt, or had one and are not finished. While there are any, the
    /// partition is paused.
    troubled: usize,
    /// What librdkafka was told.
    paused: bool,
    /// The group asks for it back. It is released when no more work is in flight, or at this time.
    leaving: Option<Instant>,
    /// Cancelled when the partition is somebody else's: work in flight is dropped.
    gone: CancellationToken,
}

impl<'a, T: Event> Desk<'a, T> {
    pub(super) fn new(settings: &ProcessorSettings) -> Self {
        Self {
            concurrency: settings.concurrency,
            capacity: settings.capacity.max(1),
            slots: Vec::new(),
            last: 0,
            next_id: 0,
            lanes: Lanes::new(settings.concurrency.limit()),
            full: false,
            next_steps: VecDeque::new(),
            closed: false,
            stopped: None,
        }
    }

    /// Takes partitions over.
    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        self.lose(&partitions);
        for partition in partitions {
            self.slots.push(Slot {
                id: self.next_id,
                partition,
                progress: Progress::default(),
                committed: None,
                troubled: 0,
                paused: false,
                leaving: None,
                gone: CancellationToken::new(),
            });
            self.next_id += 1;
        }
    }

    /// Forgets partitions, and all work on them.
    pub(super) fn lose(&mut self, partitions: &[TopicPartition]) {
        let lanes = &mut self.lanes;
        self.slots.retain(|slot| {
            let lost = partitions.contains(&slot.partition);
            if lost {
                slot.gone.cancel();
                lanes.drop_all(slot.id);
            }
            !lost
        });
        self.last = 0;
    }

    /// Begins nothing new of these partitions. What is in flight has time until the deadline.
    pub(super) fn prepare_to_leave(&mut self, partitions: &[TopicPartition], deadline: Instant) {
        for slot in &mut self.slots {
            if partitions.contains(&slot.partition) {
                slot.leaving = Some(deadline);
                self.lanes.drop_waiting(slot.id);
            }
        }
    }

    /// Begins nothing new at all.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for slot in &self.slots {
            self.lanes.drop_waiting(slot.id);
        }
    }

    /// The partitions that the group asks for back, when nothing of them is in flight any more or their time is over.
    pub(super) fn ready_to_leave(&self, now: Instant) -> Option<Vec<TopicPartition>> {
        let leaving: Vec<&Slot> = self
            .slots
            .iter()
            .filter(|slot| slot.leaving.is_some())
            .collect();
        let ready = |slot: &&Slot| {
            slot.leaving.is_some_and(|deadline| now >= deadline) || !self.lanes.works_for(slot.id)
        };
        // Together: they were asked for together, and are given back together.
        (!leaving.is_empty() && leaving.iter().all(ready))
            .then(|| leaving.iter().map(|slot| slot.partition.clone()).collect())
    }

    /// When the time of the partitions that leave is over.
    pub(super) fn leaving_until(&self) -> Option<Instant> {
        self.slots.iter().filter_map(|slot| slot.leaving).min()
    }

    /// True when another record may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.lanes.held() < self.capacity && !self.closed
    }

    /// True when nothing is in hand, so that a record may be worked on at once.
    pub(super) fn is_idle(&self) -> bool {
        self.lanes.is_idle()
    }

    /// True while a handler works.
    pub(super) fn is_working(&self) -> bool {
        self.lanes.working() > 0
    }

    /// Decodes a record and takes note of it. None when it is not to be worked on: its partition is leaving, or gone.
    pub(super) fn admit(&mut self, message: BorrowedMessage<'a>) -> Option<Box<Work<'a, T>>> {
        let (Received { event, record }, trace) = received_with_trace::<T>(message);
        let stage = match event {
            Ok(event) => Stage::Handle(event),
            Err(undecodable) => Stage::PutAside {
                reason: chain(&*undecodable),
            },
        };
        let key = match self.concurrency {
            Concurrency::ByKey { .. } => record.key().map_or(0, hash),
            Concurrency::Sequential | Concurrency::ByPartition => 0,
        };
        let closed = self.closed;
        let slot = self.slot_of(record.topic(), record.partition())?;
        if closed || slot.leaving.is_some() {
            return None;
        }
        Some(Box::new(Work {
            lane: LaneId {
                partition: slot.id,
                key,
            },
            ticket: slot.progress.start(record.offset()),
            record,
            stage,
            trace,
            attempts: 0,
            trouble: None,
        }))
    }

    fn slot_of(&mut self, topic: &str, partition: i32) -> Option<&mut Slot> {
        let is =
            |slot: &Slot| slot.partition.partition == partition && &*slot.partition.topic == topic;
        if !self.slots.get(self.last).is_some_and(is) {
            self.last = self.slots.iter().position(is)?;
        }
        self.slots.get_mut(self.last)
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let index = self.slots.binary_search_by_key(&id, |slot| slot.id).ok()?;
        self.slots.get_mut(index)
    }

    /// What ends when the partition of this lane is somebody else's.
    pub(super) fn gone(&mut self, lane: LaneId) -> CancellationToken {
        match self.slot(lane.partition) {
            Some(slot) => slot.gone.clone(),
            None => {
                let gone = CancellationToken::new();
                gone.cancel();
                gone
            }
        }
    }

    /// Places work behind what its lane has.
    pub(super) fn push(&mut self, work: Box<Work<'a, T>>) {
        self.lanes.push(work.lane, work);
    }

    /// Takes note of work that was begun while nothing was in hand.
    pub(super) fn started(&mut self, lane: LaneId) {
        self.lanes.started(lane);
    }

    /// What may be begun now, perhaps with a rest before it.
    pub(super) fn next(&mut self) -> Option<(Box<Work<'a, T>>, Option<Duration>)> {
        if let Some(step) = self.next_steps.pop_front() {
            return Some(step);
        }
        self.lanes.next().map(|(_, work)| (work, None))
    }

    /// The record has another step before it, in the place that it has.
    pub(super) fn go_on(&mut self, work: Box<Work<'a, T>>) {
        self.next_steps.push_back((work, None));
    }

    /// There is a reason to stop. The first one counts.
    pub(super) fn stop(&mut self, because: ProcessorError) {
        self.stopped.get_or_insert(because);
    }

    /// A record is left to whoever owns its partition next. Its lane is blocked: nothing may pass it.
    pub(super) fn leave_unfinished(&mut self, lane: LaneId) {
        self.lanes.rest(lane);
    }

    /// A record needs no further work: what is committed may pass it.
    pub(super) fn finish(&mut self, work: &Work<'a, T>) {
        let troubled = work.trouble.as_ref().is_some_and(|trouble| trouble.pauses);
        if let Some(slot) = self.slot(work.lane.partition) {
            slot.progress.finish(work.ticket);
            if troubled {
                slot.troubled = slot.troubled.saturating_sub(1);
            }
        }
        self.lanes.finish(work.lane);
    }

    /// A record waits for another attempt. Its lane waits with it, and its partition is paused.
    pub(super) fn rest(&mut self, mut work: Box<Work<'a, T>>, delay: Duration) {
        self.lanes.rest(work.lane);
        let closed = self.closed;
        let Some(slot) = self.slot(work.lane.partition) else {
            return;
        };
        if closed || slot.leaving.is_some() {
            // Left to the next owner.
            return;
        }
        if let Some(trouble) = &mut work.trouble
            && !trouble.pauses
        {
            trouble.pauses = true;
            slot.troubled += 1;
        }
        self.next_steps.push_back((work, Some(delay)));
    }

    /// A record has waited. When its lane may work it is the next one, unless it is late for that.
    pub(super) fn wake(&mut self, work: Box<Work<'a, T>>) {
        let closed = self.closed;
        let stays = self
            .slot(work.lane.partition)
            .is_some_and(|slot| slot.leaving.is_none());
        if stays && !closed {
            self.lanes.wake(work.lane, work);
        }
    }

    /// What is processed, and the broker does not have. Of all partitions, or of those that leave.
    pub(super) fn uncommitted(&self, only_leaving: bool) -> BTreeMap<TopicPartition, i64> {
        self.slots
            .iter()
            .filter(|slot| !only_leaving || slot.leaving.is_some())
            .filter_map(|slot| {
                let position = slot.progress.position()?;
                (slot.committed != Some(position)).then(|| (slot.partition.clone(), position))
            })
            .collect()
    }

    /// The broker has these offsets.
    pub(super) fn committed(&mut self, next_offsets: &BTreeMap<TopicPartition, i64>) {
        for slot in &mut self.slots {
            if let Some(next_offset) = next_offsets.get(&slot.partition) {
                slot.committed = Some(*next_offset);
            }
        }
    }

    /// Which partitions are to be paused from now on, and which to be resumed.
    pub(super) fn pauses(&mut self) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let held = self.lanes.held();
        if held >= 2 * self.capacity {
            self.full = true;
        } else if held < self.capacity {
            self.full = false;
        }
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for slot in &mut self.slots {
            let wanted = slot.troubled > 0 || self.full || self.closed;
            // What leaves is paused by librdkafka itself, and its pause by us should not outlive it.
            let wanted = wanted && slot.leaving.is_none();
            if wanted != slot.paused {
                slot.paused = wanted;
                let list = if wanted { &mut pause } else { &mut resume };
                list.push(slot.partition.clone());
            }
        }
        (pause, resume)
    }
}

/// Keys with equal hashes share a lane, which costs nothing but time.
fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
