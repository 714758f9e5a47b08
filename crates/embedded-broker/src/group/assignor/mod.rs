//! Server-side assignors (KIP-848): who of a group's members shall read which partition.
//!
//! An assignor is a pure function from subscriptions and the assignment so far to a new assignment. It decides what is
//! wanted; getting there without two members reading one partition is the group's task.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// One partition, by its topic's id: a topic that is deleted and created anew is another topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopicPartition {
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
}

/// The partitions of one member.
pub(crate) type Assignment = BTreeSet<TopicPartition>;

/// What an assignor knows of one member.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// Topics it subscribed to, as far as they exist.
    pub(crate) topics: BTreeSet<Uuid>,
    /// What the last assignment gave it.
    pub(crate) current: Assignment,
}

/// The assignors that a member can ask for, in the order of `group.consumer.assignors`: the first is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Assignor {
    /// As even as possible over all topics together, and among even ones the one that moves least.
    Uniform,
    /// Neighbouring partitions, topic by topic, so that members with the same topics get the same partition numbers.
    Range,
}

impl Assignor {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// What a group uses whose members do not care.
    pub(crate) const DEFAULT: Self = Self::Uniform;

    /// Its name in the protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// Assigns all partitions of the subscribed topics: one assignment for each of `members`, in their order.
    pub(crate) fn assign(
        self,
        members: &[Subscriber<'_>],
        partition_counts: &BTreeMap<Uuid, usize>,
    ) -> Vec<Assignment> {
        match self {
            Self::Uniform => uniform::assign(members, partition_counts),
            Self::Range => range::assign(members, partition_counts),
        }
    }
}

/// All partitions of a topic.
fn partitions_of(
    topic_id: Uuid,
    partition_counts: &BTreeMap<Uuid, usize>,
) -> impl Iterator<Item = TopicPartition> + use<> {
    let count = partition_counts.get(&topic_id).copied().unwrap_or(0);
    (0..i32::try_from(count).unwrap_or(i32::MAX)).map(move |partition| TopicPartition {
        topic_id,
        partition,
    })
}

#[cfg(test)]
mod tests;
