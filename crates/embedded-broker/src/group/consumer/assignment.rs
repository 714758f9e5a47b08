//! Reconciliation: one member's way from what it reads to what it shall read (KIP-848).
//!
//! A member first gives up what it must no longer read and says so by no longer reporting it; only then does it move to
//! the epoch of the new assignment and receive what is free. So no partition is ever read by two members at once.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::group::assignor::{Assignment, TopicPartition};

/// Where a member is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has all that its epoch's assignment gives it.
    Stable,
    /// It has been told to give partitions up and has not yet done so.
    Unrevoked,
    /// It is in its assignment's epoch, and waits for partitions that others still have to give up.
    Unreleased,
}

/// What a member reads, and in which epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CurrentAssignment {
    /// The epoch of the assignment that the member has reached. It sends it with each heartbeat and commit.
    pub(crate) epoch: i32,
    /// The epoch before, accepted once more from a member that missed the answer that moved it on.
    pub(crate) previous_epoch: i32,
    pub(crate) progress: Progress,
    /// What it may read, each with the epoch in which it got it: commits from before are not its own (KIP-1251).
    pub(crate) assigned: BTreeMap<TopicPartition, i32>,
    /// What it must give up and may still be reading. Nobody else gets these.
    pub(crate) revoking: BTreeMap<TopicPartition, i32>,
}

/// What a member shall get to.
pub(super) struct Goal<'a> {
    /// The epoch of the group's assignment.
    pub(super) epoch: i32,
    /// The member's part of it.
    pub(super) target: &'a Assignment,
    /// Whether the member subscribes to a topic now: a target that is older than its subscription may name others.
    pub(super) is_subscribed: &'a dyn Fn(Uuid) -> bool,
    /// Whether this very heartbeat changed the subscription.
    pub(super) subscription_changed: bool,
    /// What the member says it reads; nothing if it did not say.
    pub(super) owned: Option<&'a Assignment>,
    /// Whether another member still holds a partition.
    pub(super) is_taken: &'a dyn Fn(&TopicPartition) -> bool,
}

impl CurrentAssignment {
    /// A new member's: nothing, in no epoch.
    pub(super) fn none() -> Self {
        Self {
            epoch: 0,
            previous_epoch: -1,
            progress: Progress::Stable,
            assigned: BTreeMap::new(),
            revoking: BTreeMap::new(),
        }
    }

    /// Whether the member has nothing left to do for the assignment of `epoch`.
    pub(crate) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.progress == Progress::Stable && self.epoch == epoch
    }

    /// All that the member may still be reading.
    pub(crate) fn held(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assigned.keys().chain(self.revoking.keys())
    }

    /// The member's next step towards the goal; nothing if it has arrived or still has to give something up.
    pub(super) fn step(&self, goal: &Goal<'_>) -> Option<Self> {
        let must_wait =
            self.progress == Progress::Unrevoked && owns_any(goal.owned, &self.revoking);
        let has_arrived = self.is_reconciled_to(goal.epoch);
        match (must_wait || has_arrived, goal.subscription_changed) {
            (true, false) => None,
            (true, true) => self.without_unsubscribed(goal),
            (false, _) => Some(self.step_towards(goal)),
        }
    }

    /// Takes away at once what the member unsubscribed from: the next assignment may be a while.
    fn without_unsubscribed(&self, goal: &Goal<'_>) -> Option<Self> {
        let mut next = self.clone();
        next.assigned
            .retain(|partition, _| (goal.is_subscribed)(partition.topic_id));
        if next.assigned.len() == self.assigned.len() {
            return None;
        }
        next.previous_epoch = self.epoch;
        let mut revoking = self.revoking.clone();
        revoking.extend(difference(&self.assigned, &next.assigned));
        if owns_any(goal.owned, &revoking) {
            next.progress = Progress::Unrevoked;
            next.revoking = revoking;
        }
        Some(next)
    }

    fn step_towards(&self, goal: &Goal<'_>) -> Self {
        let is_target = |partition: &TopicPartition| {
            (goal.is_subscribed)(partition.topic_id) && goal.target.contains(partition)
        };
        let mut assigned = self.assigned.clone();
        assigned.retain(|partition, _| is_target(partition));
        let revoking = difference(&self.assigned, &assigned);
        if owns_any(goal.owned, &revoking) {
            return Self {
                epoch: self.epoch,
                previous_epoch: self.epoch,
                progress: Progress::Unrevoked,
                assigned,
                revoking,
            };
        }

        let (mut is_complete, mut arrived) = (true, Vec::new());
        for partition in goal.target.iter().filter(|partition| is_target(partition)) {
            if assigned.contains_key(partition) {
                continue;
            }
            if (goal.is_taken)(partition) {
                is_complete = false;
            } else {
                arrived.push((*partition, goal.epoch));
            }
        }
        assigned.extend(arrived);
        Self {
            epoch: goal.epoch,
            previous_epoch: self.epoch,
            progress: match is_complete {
                true => Progress::Stable,
                false => Progress::Unreleased,
            },
            assigned,
            revoking: BTreeMap::new(),
        }
    }
}

/// Whether the member may still be reading one of `partitions`. One that does not say what it reads may read them all.
fn owns_any(owned: Option<&Assignment>, partitions: &BTreeMap<TopicPartition, i32>) -> bool {
    !partitions.is_empty()
        && owned.is_none_or(|owned| owned.iter().any(|owned| partitions.contains_key(owned)))
}

fn difference(
    all: &BTreeMap<TopicPartition, i32>,
    kept: &BTreeMap<TopicPartition, i32>,
) -> BTreeMap<TopicPartition, i32> {
    all.iter()
        .filter(|(partition, _)| !kept.contains_key(partition))
        .map(|(partition, epoch)| (*partition, *epoch))
        .collect()
}
