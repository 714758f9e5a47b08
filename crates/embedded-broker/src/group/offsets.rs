//! The offsets that a group has committed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::clock::Now;
use crate::forgetting::Rest;

/// Where a group stands in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    /// The next offset to read: last processed plus one, by convention.
    pub(crate) offset: i64,
    /// The leader epoch of the record before it, -1 if the client did not say (KIP-320).
    pub(crate) leader_epoch: i32,
    /// Whatever the client wanted to remember; empty if nothing.
    pub(crate) metadata: String,
}

/// A commit and its place among all commits of the group.
#[derive(Clone, Debug)]
struct Commit {
    committed: CommittedOffset,
    /// Grows with each commit, staged or not. A transaction that ends must not overwrite what was committed after it
    /// staged its offset.
    order: u64,
    /// Since it was committed.
    rest: Rest,
}

/// Commits by topic and partition, sorted, so that "all offsets" come in the same order each time.
type ByPartition = BTreeMap<String, BTreeMap<i32, Commit>>;

/// The committed offsets of one group, and those that wait for the end of a transaction (KIP-98).
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: ByPartition,
    /// Staged by TxnOffsetCommit, by producer id; applied or discarded as the transaction ends.
    staged: HashMap<i64, ByPartition>,
    next_order: u64,
}

impl Offsets {
    /// Commits one offset, at once.
    pub(crate) fn commit(&mut self, topic: &str, partition: i32, committed: CommittedOffset) {
        let commit = self.in_order(committed);
        insert(&mut self.committed, topic, partition, commit);
    }

    /// The committed offset of one partition.
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        let commit = self.committed.get(topic)?.get(&partition)?;
        Some(&commit.committed)
    }

    /// Every partition that has a committed offset, by topic.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = i32>)> {
        self.committed
            .iter()
            .map(|(topic, partitions)| (topic.as_str(), partitions.keys().copied()))
    }

    /// Keeps an offset that becomes a committed one if the producer's transaction is committed.
    pub(crate) fn stage(
        &mut self,
        producer_id: i64,
        topic: &str,
        partition: i32,
        committed: CommittedOffset,
    ) {
        let commit = self.in_order(committed);
        let staged = self.staged.entry(producer_id).or_default();
        insert(staged, topic, partition, commit);
    }

    /// The producer's transaction was committed: what it staged counts now.
    pub(crate) fn apply(&mut self, producer_id: i64) {
        for (topic, partitions) in self.staged.remove(&producer_id).unwrap_or_default() {
            let committed = self.committed.entry(topic).or_default();
            for (partition, staged) in partitions {
                let newer = committed
                    .get(&partition)
                    .is_some_and(|commit| commit.order > staged.order);
                if !newer {
                    committed.insert(partition, staged);
                }
            }
        }
    }

    /// The producer's transaction was aborted: what it staged never was.
    pub(crate) fn discard(&mut self, producer_id: i64) {
        self.staged.remove(&producer_id);
    }

    /// Whether an open transaction may yet change the offset of this partition.
    pub(crate) fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        is_staged(&self.staged, topic, partition)
    }

    /// Forgets the offset of one partition, staged ones included.
    pub(crate) fn remove(&mut self, topic: &str, partition: i32) {
        for offsets in self.all_mut() {
            if let Some(partitions) = offsets.get_mut(topic) {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    offsets.remove(topic);
                }
            }
        }
        self.drop_empty();
    }

    /// Forgets all offsets of one topic, staged ones included.
    pub(crate) fn remove_topic(&mut self, topic: &str) {
        for offsets in self.all_mut() {
            offsets.remove(topic);
        }
        self.drop_empty();
    }

    /// Forgets the offsets that `is_over` says are over, by topic and for how long they are committed. One that an open
    /// transaction may change stays.
    pub(crate) fn forget(&mut self, now: Now, is_over: impl Fn(&str, Duration) -> bool) {
        let Self {
            committed, staged, ..
        } = self;
        for (topic, partitions) in committed.iter_mut() {
            partitions.retain(|partition, commit| {
                let rest = commit.rest.look(now);
                is_staged(staged, topic, *partition) || !is_over(topic, rest)
            });
        }
        committed.retain(|_, partitions| !partitions.is_empty());
    }

    /// Whether there are none, staged or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.staged.is_empty()
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut ByPartition> {
        std::iter::once(&mut self.committed).chain(self.staged.values_mut())
    }

    fn drop_empty(&mut self) {
        self.staged.retain(|_, staged| !staged.is_empty());
    }

    fn in_order(&mut self, committed: CommittedOffset) -> Commit {
        let order = self.next_order;
        self.next_order += 1;
        Commit {
            committed,
            order,
            rest: Rest::default(),
        }
    }
}

fn is_staged(staged: &HashMap<i64, ByPartition>, topic: &str, partition: i32) -> bool {
    staged.values().any(|staged| {
        staged
            .get(topic)
            .is_some_and(|partitions| partitions.contains_key(&partition))
    })
}

fn insert(offsets: &mut ByPartition, topic: &str, partition: i32, commit: Commit) {
    match offsets.get_mut(topic) {
        Some(partitions) => partitions.insert(partition, commit),
        None => offsets
            .entry(topic.to_owned())
            .or_default()
            .insert(partition, commit),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> CommittedOffset {
        CommittedOffset {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
        }
    }

    fn committed(offsets: &Offsets, topic: &str, partition: i32) -> Option<i64> {
        offsets
            .get(topic, partition)
            .map(|committed| committed.offset)
    }

    #[test]
    fn a_staged_offset_counts_when_its_transaction_is_committed() {
        let mut offsets = Offsets::default();
        offsets.commit("orders", 0, at(5));
        offsets.stage(1, "orders", 0, at(9));
        assert_eq!(committed(&offsets, "orders", 0), Some(5));
        assert!(offsets.is_unstable("orders", 0));
        assert!(!offsets.is_unstable("orders", 1));
        offsets.apply(1);
        assert_eq!(committed(&offsets, "orders", 0), Some(9));
        assert!(!offsets.is_unstable("orders", 0));
    }

    #[test]
    fn a_staged_offset_is_gone_when_its_transaction_is_aborted() {
        let mut offsets = Offsets::default();
        offsets.stage(1, "orders", 0, at(9));
        offsets.stage(2, "orders", 1, at(4));
        offsets.discard(1);
        assert_eq!(committed(&offsets, "orders", 0), None);
        assert!(!offsets.is_unstable("orders", 0));
        assert!(
            offsets.is_unstable("orders", 1),
            "another producer's offset was dropped"
        );
    }

    #[test]
    fn a_transaction_that_ends_late_does_not_undo_a_later_commit() {
        let mut offsets = Offsets::default();
        offsets.stage(1, "orders", 0, at(9));
        offsets.commit("orders", 0, at(12));
        offsets.apply(1);
        assert_eq!(committed(&offsets, "orders", 0), Some(12));
    }

    #[test]
    fn a_deleted_topic_takes_its_offsets_with_it() {
        let mut offsets = Offsets::default();
        offsets.commit("orders", 0, at(5));
        offsets.commit("payments", 0, at(6));
        offsets.stage(1, "orders", 1, at(7));
        offsets.remove_topic("orders");
        offsets.apply(1);
        let left: Vec<&str> = offsets.iter().map(|(topic, _)| topic).collect();
        assert_eq!(left, ["payments"]);
    }

    #[test]
    fn a_removed_offset_is_gone_staged_or_not() {
        let mut offsets = Offsets::default();
        offsets.commit("orders", 0, at(5));
        offsets.commit("orders", 1, at(6));
        offsets.stage(1, "orders", 0, at(7));
        offsets.remove("orders", 0);
        offsets.apply(1);
        assert_eq!(committed(&offsets, "orders", 0), None);
        assert_eq!(committed(&offsets, "orders", 1), Some(6));
    }
}
