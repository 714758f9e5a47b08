//! Order within a lane, and a bound on how many lanes work at the same time.

use std::collections::{HashMap, VecDeque};

/// Which work has to stay in order: that of one lane. `partition` tells the partitions apart, `key` the keys within one
/// (0 where all of a partition is one lane).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LaneId {
    pub(super) partition: u64,
    pub(super) key: u64,
}

/// Work that is held: waiting, being worked on, or resting until it is tried again. A lane with nothing of it does not
/// exist.
#[derive(Debug)]
pub(super) struct Lanes<W> {
    /// How many may work at the same time.
    limit: usize,
    /// How many do.
    working: usize,
    /// How many pieces of work all lanes hold together.
    held: usize,
    lanes: HashMap<LaneId, Lane<W>>,
    /// Those that have work and may start it, each once, the longest waiting first.
    ready: VecDeque<LaneId>,
}

#[derive(Debug)]
struct Lane<W> {
    state: LaneState,
    /// What comes behind the piece that is worked on, or rests.
    waiting: VecDeque<W>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaneState {
    /// Stands in `ready`.
    Ready,
    /// Its first piece is out.
    Working,
    /// Its first piece is out, and takes nobody's place meanwhile.
    Resting,
}

impl<W> Lanes<W> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            // None would never work.
            limit: limit.max(1),
            working: 0,
            held: 0,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// True when nothing is held: the next piece may start without asking.
    pub(super) fn is_idle(&self) -> bool {
        self.held == 0
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn working(&self) -> usize {
        self.working
    }

    /// True while some lane of the partition works.
    pub(super) fn works_for(&self, partition: u64) -> bool {
        self.lanes
            .iter()
            .any(|(id, lane)| id.partition == partition && lane.state == LaneState::Working)
    }

    /// Places work behind what its lane has.
    pub(super) fn push(&mut self, id: LaneId, work: W) {
        self.held += 1;
        let lane = self.lanes.entry(id).or_insert_with(|| {
            self.ready.push_back(id);
            Lane {
                state: LaneState::Ready,
                waiting: VecDeque::new(),
            }
        });
        lane.waiting.push_back(work);
    }

    /// Takes note of a piece that was started without asking, because nothing was held.
    pub(super) fn started(&mut self, id: LaneId) {
        self.held += 1;
        self.working += 1;
        self.lanes.insert(
            id,
            Lane {
                state: LaneState::Working,
                waiting: VecDeque::new(),
            },
        );
    }

    /// What may start now.
    pub(super) fn next(&mut self) -> Option<(LaneId, W)> {
        if self.working >= self.limit {
            return None;
        }
        while let Some(id) = self.ready.pop_front() {
            // A lane that was dropped meanwhile, or is there a second time: it came back.
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            if lane.state != LaneState::Ready {
                continue;
            }
            if let Some(work) = lane.waiting.pop_front() {
                lane.state = LaneState::Working;
                self.working += 1;
                return Some((id, work));
            }
        }
        None
    }

    /// Takes note that the piece which was out needs no further work.
    pub(super) fn finish(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        match lane.state {
            LaneState::Working => self.working -= 1,
            LaneState::Resting => {}
            LaneState::Ready => return,
        }
        self.held -= 1;
        if lane.waiting.is_empty() {
            self.lanes.remove(&id);
        } else {
            lane.state = LaneState::Ready;
            self.ready.push_back(id);
        }
    }

    /// Takes note that the piece which was out rests. The lane waits for it, and others may work.
    pub(super) fn rest(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.state == LaneState::Working
        {
            lane.state = LaneState::Resting;
            self.working -= 1;
        }
    }

    /// Takes a piece back that has rested. It is the next one of its lane.
    pub(super) fn wake(&mut self, id: LaneId, work: W) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.state == LaneState::Resting
        {
            lane.waiting.push_front(work);
            lane.state = LaneState::Ready;
            self.ready.push_back(id);
        }
    }

    /// Forgets what waits in the lanes of a partition. What is out goes on.
    pub(super) fn drop_waiting(&mut self, partition: u64) {
        self.lanes.retain(|id, lane| {
            if id.partition != partition {
                return true;
            }
            self.held -= lane.waiting.len();
            lane.waiting.clear();
            // What rests is out, and stays so.
            lane.state != LaneState::Ready
        });
    }

    /// Forgets everything about a partition, also what is out.
    pub(super) fn drop_all(&mut self, partition: u64) {
        self.drop_waiting(partition);
        self.lanes.retain(|id, lane| {
            if id.partition != partition {
                return true;
            }
            self.held -= 1;
            if lane.state == LaneState::Working {
                self.working -= 1;
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(partition: u64, key: u64) -> LaneId {
        LaneId { partition, key }
    }

    /// S3-08: a lane's work comes one piece after the other, in order, however many may work at the same time.
    #[test]
    fn a_lane_is_never_out_twice() {
        let mut lanes = Lanes::new(8);
        for number in 0..3 {
            lanes.push(lane(0, 1), number);
        }
        for number in 0..3 {
            assert_eq!(lanes.next(), Some((lane(0, 1), number)));
            assert_eq!(lanes.next(), None, "two of one lane at the same time");
            lanes.finish(lane(0, 1));
        }
        assert!(lanes.is_idle());
    }

    /// S3-08: what rests keeps its lane's order, and takes no place from the other lanes.
    #[test]
    fn a_resting_lane_waits_and_lets_others_work() {
        let mut lanes = Lanes::new(1);
        lanes.push(lane(0, 0), "a1");
        lanes.push(lane(0, 0), "a2");
        lanes.push(lane(1, 0), "b1");
        assert_eq!(lanes.next(), Some((lane(0, 0), "a1")));
        assert_eq!(lanes.next(), None, "more than one at the same time");
        lanes.rest(lane(0, 0));
        assert_eq!(lanes.next(), Some((lane(1, 0), "b1")));
        lanes.wake(lane(0, 0), "a1");
        lanes.finish(lane(1, 0));
        assert_eq!(lanes.next(), Some((lane(0, 0), "a1")));
        lanes.finish(lane(0, 0));
        assert_eq!(lanes.next(), Some((lane(0, 0), "a2")));
    }

    /// S3-10: what waits for a partition is forgotten when it is revoked, and everything when it is lost.
    #[test]
    fn a_partition_takes_its_work_with_it() {
        let mut lanes = Lanes::new(2);
        lanes.push(lane(0, 0), 1);
        lanes.push(lane(0, 0), 2);
        lanes.push(lane(1, 0), 3);
        lanes.next();
        lanes.drop_waiting(0);
        assert!(lanes.works_for(0));
        assert_eq!(lanes.held(), 2);
        lanes.drop_all(0);
        assert!(!lanes.works_for(0));
        // Its answer comes late.
        lanes.finish(lane(0, 0));
        assert_eq!((lanes.held(), lanes.working()), (1, 0));
        assert_eq!(lanes.next(), Some((lane(1, 0), 3)));
    }

    /// S3-08: random work, rests and losses: order within each lane, never more than the limit, and the counts are right.
    #[test]
    fn whatever_happens_lanes_keep_order_and_limit() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let limit = random.usize(1..5);
            let mut lanes = Lanes::new(limit);
            let mut next_number: HashMap<LaneId, u32> = HashMap::new();
            let mut last_finished: HashMap<LaneId, u32> = HashMap::new();
            let (mut out, mut resting) = (Vec::new(), Vec::new());
            for _ in 0..1_000 {
                let id = lane(random.u64(..3), random.u64(..3));
                match random.u8(..100) {
                    0 => {
                        lanes.drop_all(id.partition);
                        out.retain(|(lane, _): &(LaneId, u32)| lane.partition != id.partition);
                        resting.retain(|(lane, _): &(LaneId, u32)| lane.partition != id.partition);
                    }
                    1..40 => {
                        let number = next_number.entry(id).or_default();
                        *number += 1;
                        lanes.push(id, *number);
                    }
                    40..65 => out.extend(lanes.next()),
                    65..75 if !out.is_empty() => {
                        let (id, number) = out.swap_remove(random.usize(..out.len()));
                        lanes.rest(id);
                        resting.push((id, number));
                    }
                    75..85 if !resting.is_empty() => {
                        let (id, number) = resting.swap_remove(random.usize(..resting.len()));
                        lanes.wake(id, number);
                    }
                    _ if !out.is_empty() => {
                        let (id, number) = out.swap_remove(random.usize(..out.len()));
                        lanes.finish(id);
                        let last = last_finished.insert(id, number);
                        assert!(last < Some(number), "seed {seed}: out of order");
                    }
                    _ => {}
                }
                assert!(out.len() <= limit, "seed {seed}");
                assert_eq!(lanes.working(), out.len(), "seed {seed}");
                let mut busy: Vec<_> = out.iter().chain(&resting).map(|(id, _)| id).collect();
                busy.sort_by_key(|id| (id.partition, id.key));
                let all = busy.len();
                busy.dedup();
                assert_eq!(busy.len(), all, "seed {seed}: two of one lane are out");
            }
        }
    }
}
