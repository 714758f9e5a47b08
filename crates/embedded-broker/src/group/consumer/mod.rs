//! Consumer groups of the new protocol (KIP-848): the broker assigns, and members come along one heartbeat at a time.
//!
//! Three steps, each with an epoch that never goes back. A change of members, subscriptions or topics raises the **group
//! epoch**. The next heartbeat of any member has an [assignor](super::assignor) compute who shall read what, which raises
//! the **assignment epoch** to it. Each member then [steps](assignment) towards its part on its own heartbeats, until its
//! **member epoch** is there too. Nobody waits for the slowest: who has nothing to give up goes on reading.

mod assignment;
mod heartbeat;
mod member;
mod offsets;
mod patterns;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use self::assignment::CurrentAssignment;
use self::patterns::Patterns;
use super::Subscribed;
use super::assignor::{Assignment, Assignor, Subscriber, TopicPartition};
use crate::config::group::GroupConfig;
use crate::topic::Topics;

pub(crate) use self::heartbeat::{Answer, Heartbeat, JOINING, LEAVING, LEAVING_FOR_A_WHILE};
pub(crate) use self::member::Member;

/// Why a request is refused: the error code, and words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) error: ResponseError,
    pub(crate) message: String,
}

impl Rejected {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self {
            error,
            message: message.into(),
        }
    }
}

/// What a group is doing, in the words of Apache Kafka's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no members.
    Empty,
    /// Something changed, and the next heartbeat computes a new assignment.
    Assigning,
    /// Members are on their way to the assignment.
    Reconciling,
    /// Every member has what it shall have.
    Stable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// One consumer group.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    /// The group id, for messages.
    id: String,
    /// Grows with each change that an assignment has to follow.
    epoch: i32,
    /// The group epoch that `target` was computed for.
    assignment_epoch: i32,
    /// When `target` was computed; nothing before the first time.
    assigned_at: Option<Instant>,
    /// By member id, so that assignors see them in the same order each time.
    members: BTreeMap<String, Member>,
    /// The member ids of static members, by instance id.
    static_members: HashMap<String, String>,
    /// What each member shall get to, by member id.
    target: BTreeMap<String, Assignment>,
    /// Who may be reading a partition: everything that members hold, and nothing else. The one place that says whether a
    /// partition is free.
    owners: HashMap<TopicPartition, String>,
    patterns: Patterns,
    /// The subscribed topics as they were when the group epoch was last raised: their ids and partition counts.
    topics: BTreeMap<String, (Uuid, usize)>,
    /// [`Topics::changes`] when `topics` was last compared with all topics; none if the subscriptions changed since. A
    /// subscription may have a hundred thousand names, and members report all the time.
    noticed: Option<u64>,
}

impl ConsumerGroup {
    /// A group without members. Its first member raises the epoch to 2, as in Apache Kafka.
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            epoch: 1,
            assignment_epoch: 0,
            assigned_at: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            target: BTreeMap::new(),
            owners: HashMap::new(),
            patterns: Patterns::default(),
            topics: BTreeMap::new(),
            noticed: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        let mut members = self.members.values();
        if self.members.is_empty() {
            State::Empty
        } else if self.epoch > self.assignment_epoch {
            State::Assigning
        } else if members.all(|member| member.current.is_reconciled_to(self.assignment_epoch)) {
            State::Stable
        } else {
            State::Reconciling
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(crate) fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    /// The assignor that most members ask for.
    pub(crate) fn assignor(&self) -> Assignor {
        let votes = |assignor: Assignor| {
            let members = self.members.values();
            members
                .filter(|member| member.assignor == Some(assignor))
                .count()
        };
        // The first of equals wins; without a vote that is the default.
        Assignor::ALL
            .into_iter()
            .rev()
            .max_by_key(|assignor| votes(*assignor))
            .unwrap_or(Assignor::DEFAULT)
    }

    /// Members by their ids, each with what it shall get to.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Member, Option<&Assignment>)> {
        self.members
            .iter()
            .map(|(id, member)| (id.as_str(), member, self.target.get(id)))
    }

    /// The topics that members subscribe to, by name or by pattern.
    pub(crate) fn subscribed(&self) -> Subscribed {
        Subscribed::These(self.subscribed_names().cloned().collect())
    }

    /// When [`ConsumerGroup::expire`] next has something to do if nobody is heard of before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.members.values().map(Member::deadline).min()
    }

    /// Expels members that were not heard of for a session, or did not give up partitions in time. Returns their ids.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<String> {
        let overdue: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.deadline() <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for member_id in &overdue {
            self.expel(member_id);
        }
        overdue
    }

    /// Removes a member, and has the others share what it had.
    pub(crate) fn expel(&mut self, member_id: &str) {
        self.remove(member_id);
        self.epoch += 1;
    }

    /// Gives every member a whole session from now on: its coordinator is another node, which has not heard of it yet.
    pub(crate) fn begin_sessions_anew(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            member.extend_session(now);
            if member.revocation_deadline.is_some() {
                member.revocation_deadline = Some(now + member.rebalance_timeout);
            }
        }
    }

    /// Forgets a member; what it held is free at once. The caller raises the epoch.
    fn remove(&mut self, member_id: &str) {
        self.set_current(member_id, CurrentAssignment::none());
        let Some(member) = self.members.remove(member_id) else {
            return;
        };
        self.target.remove(member_id);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        self.drop_unused_patterns();
        let subscribed: BTreeSet<String> = self.subscribed_names().cloned().collect();
        self.topics.retain(|name, _| subscribed.contains(name));
    }

    /// What a member has.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID.
    fn current(&self, member_id: &str) -> Result<&CurrentAssignment, Rejected> {
        match self.members.get(member_id) {
            Some(member) => Ok(&member.current),
            None => Err(Rejected::new(
                ResponseError::UnknownMemberId,
                format!("Member {member_id} is not a member of group {}.", self.id),
            )),
        }
    }

    /// Writes down what a member has now, and so what is free.
    fn set_current(&mut self, member_id: &str, current: CurrentAssignment) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        for partition in member.current.held() {
            self.owners.remove(partition);
        }
        for partition in current.held() {
            self.owners.insert(*partition, member_id.to_owned());
        }
        member.current = current;
    }

    /// All names that members subscribe to, by name or by pattern, some of them more than once.
    fn subscribed_names(&self) -> impl Iterator<Item = &String> {
        self.members
            .values()
            .flat_map(|member| self.names_of(member))
    }

    fn names_of<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a String> {
        let subscription = &member.subscription;
        let matching = self.patterns.topics(&subscription.pattern);
        subscription.names.iter().chain(matching)
    }

    /// Whether a member subscribes to the topic of this name, by name or by pattern.
    fn subscribes(&self, member: &Member, topic: Option<&str>) -> bool {
        let subscription = &member.subscription;
        topic.is_some_and(|topic| {
            subscription.names.contains(topic)
                || self.patterns.matches(&subscription.pattern, topic)
        })
    }

    /// The ids of the topics that a member subscribes to, as far as they exist.
    fn topics_of(&self, member: &Member, topics: &Topics) -> BTreeSet<Uuid> {
        self.names_of(member)
            .filter_map(|name| topics.get(name))
            .map(|topic| topic.id)
            .collect()
    }

    fn drop_unused_patterns(&mut self) {
        let members = &self.members;
        self.patterns.retain(|source| {
            let mut members = members.values();
            members.any(|member| member.subscription.pattern == source)
        });
    }

    /// Has the assignor compute who shall read what, for the group epoch, where that was not done yet. Changes that follow
    /// one another closely are answered by one new assignment.
    fn update_target(&mut self, now: Instant, config: GroupConfig, topics: &Topics) {
        let may_change = self
            .assigned_at
            .is_none_or(|at| now >= at + config.assignment_interval);
        if self.assignment_epoch == self.epoch || !may_change {
            return;
        }
        let subscribers: Vec<Subscriber<'_>> = self
            .members
            .iter()
            .map(|(id, member)| Subscriber {
                member_id: id,
                instance_id: member.instance_id.as_deref(),
                topics: self.topics_of(member, topics),
                current: self.target.get(id).cloned().unwrap_or_default(),
            })
            .collect();
        let partition_counts = self.topics.values().copied().collect();
        let assignments = self.assignor().assign(&subscribers, &partition_counts);
        self.target = self.members.keys().cloned().zip(assignments).collect();
        self.assignment_epoch = self.epoch;
        self.assigned_at = Some(now);
    }
}
