//! The `uniform` assignor, after the two algorithms of Apache Kafka's `UniformAssignor`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Assignment, Subscriber, TopicPartition, partitions_of};

/// Balances first, then keeps as much as possible where it is.
pub(super) fn assign(
    members: &[Subscriber<'_>],
    partition_counts: &BTreeMap<Uuid, usize>,
) -> Vec<Assignment> {
    match members {
        [] => Vec::new(),
        [first, others @ ..] if others.iter().all(|other| other.topics == first.topics) => {
            assign_same_topics(members, &first.topics, partition_counts)
        }
        _ => Balancer::new(members, partition_counts).assign(),
    }
}

/// All members subscribe to the same topics: each has a quota, keeps what fits into it and takes from the rest.
fn assign_same_topics(
    members: &[Subscriber<'_>],
    topics: &BTreeSet<Uuid>,
    partition_counts: &BTreeMap<Uuid, usize>,
) -> Vec<Assignment> {
    let wanted: Assignment = topics
        .iter()
        .flat_map(|topic_id| partitions_of(*topic_id, partition_counts))
        .collect();
    let smallest_quota = wanted.len() / members.len();
    // So many members get one partition more than the smallest quota.
    let mut extras = wanted.len() % members.len();

    let mut free = wanted.clone();
    let mut assignments = vec![Assignment::new(); members.len()];
    let mut rooms = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let kept: Assignment = member
            .current
            .intersection(&wanted)
            .take(smallest_quota + usize::from(extras > 0))
            .copied()
            .collect();
        // An extra partition goes to who has it already, as long as enough members are left for the others.
        let has_extra =
            extras > 0 && (kept.len() > smallest_quota || members.len() - index <= extras);
        extras -= usize::from(has_extra);
        rooms.push(smallest_quota + usize::from(has_extra) - kept.len());
        for partition in &kept {
            free.remove(partition);
        }
        assignments[index] = kept;
    }
    let mut free = free.into_iter();
    for (assignment, room) in assignments.iter_mut().zip(rooms) {
        assignment.extend(free.by_ref().take(room));
    }
    assignments
}

/// Members subscribe to different topics: partitions move from the most to the least loaded while that evens the load.
struct Balancer<'a> {
    /// Who subscribes to a topic, as indexes into the members.
    subscribers: BTreeMap<Uuid, Vec<usize>>,
    partition_counts: &'a BTreeMap<Uuid, usize>,
    assignments: Vec<Assignment>,
}

impl<'a> Balancer<'a> {
    /// Begins with what members have and still subscribe to.
    fn new(members: &[Subscriber<'_>], partition_counts: &'a BTreeMap<Uuid, usize>) -> Self {
        let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        let mut assignments = Vec::with_capacity(members.len());
        for (index, member) in members.iter().enumerate() {
            for topic_id in &member.topics {
                subscribers.entry(*topic_id).or_default().push(index);
            }
            let kept = member
                .current
                .iter()
                .filter(|partition| member.topics.contains(&partition.topic_id));
            assignments.push(kept.copied().collect());
        }
        Self {
            subscribers,
            partition_counts,
            assignments,
        }
    }

    fn assign(mut self) -> Vec<Assignment> {
        let topics = self.hardest_first();
        for topic_id in &topics {
            self.hand_out(*topic_id);
        }
        // With overlapping subscriptions a topic can be evened out again after another one was. Few rounds do: each
        // about halves what is uneven.
        const ROUNDS: usize = 16;
        for _ in 0..ROUNDS {
            let moved: usize = topics.iter().map(|topic_id| self.even_out(*topic_id)).sum();
            if moved == 0 {
                break;
            }
        }
        self.assignments
    }

    /// Topics in the order in which they leave most room to the topics after them: many partitions for few subscribers
    /// come first.
    fn hardest_first(&self) -> Vec<Uuid> {
        let mut topics: Vec<Uuid> = self.subscribers.keys().copied().collect();
        topics.sort_by(|left, right| {
            let partitions = |topic_id| self.partition_counts.get(topic_id).copied().unwrap_or(0);
            let subscribers = |topic_id| self.subscribers[topic_id].len();
            // Partitions per subscriber, compared without a division.
            (partitions(right) * subscribers(left))
                .cmp(&(partitions(left) * subscribers(right)))
                .then_with(|| subscribers(left).cmp(&subscribers(right)))
                .then_with(|| left.cmp(right))
        });
        topics
    }

    /// Gives each partition that nobody has to the subscriber with least.
    fn hand_out(&mut self, topic_id: Uuid) {
        for partition in partitions_of(topic_id, self.partition_counts) {
            let is_taken = |member: &usize| self.assignments[*member].contains(&partition);
            if self.subscribers[&topic_id].iter().any(is_taken) {
                continue;
            }
            if let Some(member) = self.least_loaded(topic_id) {
                self.assignments[member].insert(partition);
            }
        }
    }

    /// Moves partitions of the topic until no move makes its subscribers' load more even. Returns how many moved.
    fn even_out(&mut self, topic_id: Uuid) -> usize {
        let mut moved = 0;
        while let Some((from, partition)) = self.most_loaded(topic_id)
            && let Some(to) = self.least_loaded(topic_id)
            && self.load(from) > self.load(to) + 1
        {
            self.assignments[from].remove(&partition);
            self.assignments[to].insert(partition);
            moved += 1;
        }
        moved
    }

    fn load(&self, member: usize) -> usize {
        self.assignments[member].len()
    }

    /// The subscriber with the fewest partitions.
    fn least_loaded(&self, topic_id: Uuid) -> Option<usize> {
        self.subscribers[&topic_id]
            .iter()
            .copied()
            .min_by_key(|member| (self.load(*member), *member))
    }

    /// The subscriber with the most partitions among those that can give one of this topic, and its last one.
    fn most_loaded(&self, topic_id: Uuid) -> Option<(usize, TopicPartition)> {
        let last = TopicPartition {
            topic_id,
            partition: i32::MAX,
        };
        self.subscribers[&topic_id]
            .iter()
            .filter_map(|member| {
                let partition = self.assignments[*member].range(..=last).next_back()?;
                (partition.topic_id == topic_id).then_some((*member, *partition))
            })
            .min_by_key(|(member, _)| (Reverse(self.load(*member)), Reverse(*member)))
    }
}
