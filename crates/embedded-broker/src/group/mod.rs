//! Groups: who shares the work, and how far it is done.
//!
//! A group is members that divide partitions among themselves, or committed offsets, or both; so members and offsets live
//! in one entry. What the members do depends on the [`Kind`] of the group; offsets are the same for all kinds.

pub(crate) mod assignor;
mod classic;
pub(crate) mod consumer;
mod offsets;
#[cfg(test)]
mod tests;

pub(crate) use classic::{
    ClassicGroup, JoinAnswer, JoinRequest, Joined, LeavingMember, Member as ClassicMember,
    MemberProtocol, SyncAnswer, SyncRequest,
};
pub(crate) use consumer::ConsumerGroup;
pub(crate) use offsets::{CommittedOffset, Offsets};

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use tracing::info;

use self::assignor::TopicPartition;
use self::consumer::{Answer, Heartbeat, Rejected};
use crate::api::Context;
use crate::clock::Now;
use crate::cluster::Cluster;
use crate::config::group::GroupConfig;
use crate::forgetting::Rest;
use crate::timers::{Timer, Timers};
use crate::topic::Topics;

/// From this version on OffsetCommit says of an unknown group that it is unknown; an older client would not know the
/// error (KIP-848).
const FIRST_OFFSET_COMMIT_OF_KIP_848: i16 = 9;

/// All groups, by id.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Sorted, so that listings come in the same order each time.
    by_id: BTreeMap<String, Group>,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) offsets: Offsets,
    /// The earliest timer of this group that is in the queue. A deadline that moved back needs no further one: the
    /// timer fires early, finds nothing due and is scheduled anew.
    timer: Option<Instant>,
    /// Since the last member left.
    rest: Rest,
}

/// How the members of a group share partitions.
#[derive(Debug)]
pub(crate) enum Kind {
    /// One of the members assigns the partitions (JoinGroup and SyncGroup). A group that only keeps offsets is one of
    /// these without members, which Apache Kafka calls a simple group.
    Classic(ClassicGroup),
    /// The broker assigns the partitions (KIP-848).
    Consumer(ConsumerGroup),
}

/// The topics that the members of a group read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscribed {
    These(HashSet<String>),
    /// Nobody but the members can tell which.
    Any,
}

impl Subscribed {
    pub(crate) fn contains(&self, topic: &str) -> bool {
        match self {
            Self::These(topics) => topics.contains(topic),
            Self::Any => true,
        }
    }
}

/// Who commits offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committer<'a> {
    /// Empty for a client that is no member.
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// -1 for a client that is no member.
    pub(crate) generation_or_epoch: i32,
    /// Whether the offsets are part of a transaction (TxnOffsetCommit).
    pub(crate) transactional: bool,
    /// The version of the request.
    pub(crate) version: i16,
    /// What is committed, as far as it exists: a member of a consumer group that is an epoch behind may commit what it had
    /// then.
    pub(crate) partitions: &'a [TopicPartition],
}

impl Groups {
    pub(crate) fn get(&self, id: &str) -> Option<&Group> {
        self.by_id.get(id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Forgets offsets that nobody reads from for that long, and groups of which nothing is left.
    pub(crate) fn forget(&mut self, now: Now, retention: Duration) {
        self.by_id.retain(|_, group| !group.forget(now, retention));
    }

    /// In the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.by_id.iter().map(|(id, group)| (id.as_str(), group))
    }

    /// The committed offsets of the group, to be changed. Members are changed by [`Self::change`].
    pub(crate) fn offsets_mut(&mut self, id: &str) -> Option<&mut Offsets> {
        self.by_id.get_mut(id).map(|group| &mut group.offsets)
    }

    /// Lets `change` have the group if it exists, and then schedules its timer. Everything that may set a deadline goes
    /// through here.
    pub(crate) fn change<R>(
        &mut self,
        id: &str,
        timers: &mut Timers,
        change: impl FnOnce(&mut Group) -> R,
    ) -> Option<R> {
        let group = self.by_id.get_mut(id)?;
        let result = change(group);
        group.schedule(id, timers);
        Some(result)
    }

    /// As [`Self::change`], for a classic group; none too if the group is of another kind.
    pub(crate) fn change_classic<R>(
        &mut self,
        id: &str,
        timers: &mut Timers,
        change: impl FnOnce(&mut ClassicGroup) -> R,
    ) -> Option<R> {
        self.change(id, timers, |group| match &mut group.kind {
            Kind::Classic(classic) => Some(change(classic)),
            Kind::Consumer(_) => None,
        })?
    }

    /// Makes sure that there is a group of this id to join by the classic protocol, as long as nobody is in one of the
    /// other kind. Offsets are kept.
    pub(crate) fn create_classic(&mut self, id: &str) {
        let group = self.create(id);
        if group.kind.is_empty() && matches!(group.kind, Kind::Consumer(_)) {
            group.kind = Kind::Classic(ClassicGroup::default());
        }
    }

    /// Lets a member of a consumer group report. The first one makes the group, also of a classic group without members,
    /// whose offsets are kept.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND if there is no such group, or one of the other kind with members; else as
    /// [`ConsumerGroup::heartbeat`].
    pub(crate) fn consumer_heartbeat(
        &mut self,
        id: &str,
        heartbeat: &Heartbeat,
        (now, timers): (Now, &mut Timers),
        config: GroupConfig,
        topics: &Topics,
    ) -> Result<Answer, Rejected> {
        let joins = heartbeat.member_epoch == consumer::JOINING;
        let kind = self.by_id.get_mut(id).map(|group| &mut group.kind);
        let result = match kind {
            Some(Kind::Consumer(consumer)) => {
                consumer.heartbeat(now.instant, heartbeat, config, topics)
            }
            Some(Kind::Classic(_)) if !joins => Err(not_a_consumer_group(id)),
            Some(Kind::Classic(classic)) if !classic.is_empty() => {
                Err(not_upgraded(id, classic.has_consumers()))
            }
            None if !joins => Err(Rejected::new(
                ResponseError::GroupIdNotFound,
                format!("Consumer group {id} not found."),
            )),
            None | Some(Kind::Classic(_)) => {
                // Kept only if its first member is accepted.
                let mut consumer = ConsumerGroup::new(id);
                let result = consumer.heartbeat(now.instant, heartbeat, config, topics);
                if result.is_ok() {
                    self.create(id).kind = Kind::Consumer(consumer);
                }
                result
            }
        };
        if let Some(group) = self.by_id.get_mut(id) {
            group.schedule(id, timers);
        }
        result
    }

    /// The consumer group of this id.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND.
    pub(crate) fn consumer(&self, id: &str) -> Result<&ConsumerGroup, Rejected> {
        match self.by_id.get(id).map(|group| &group.kind) {
            Some(Kind::Consumer(consumer)) => Ok(consumer),
            Some(Kind::Classic(_)) => Err(not_a_consumer_group(id)),
            None => Err(not_found(id)),
        }
    }

    /// The consumer group of this id, for a member to leave.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND.
    pub(crate) fn consumer_mut(&mut self, id: &str) -> Result<&mut ConsumerGroup, Rejected> {
        match self.by_id.get_mut(id).map(|group| &mut group.kind) {
            Some(Kind::Consumer(consumer)) => Ok(consumer),
            Some(Kind::Classic(_)) => Err(not_a_consumer_group(id)),
            None => Err(not_found(id)),
        }
    }

    /// Makes sure that there is a group of this id: a classic one without members if there is none.
    pub(crate) fn create(&mut self, id: &str) -> &mut Group {
        self.by_id.entry(id.to_owned()).or_insert_with(|| Group {
            kind: Kind::Classic(ClassicGroup::default()),
            offsets: Offsets::default(),
            timer: None,
            rest: Rest::default(),
        })
    }

    /// The offsets of the group that `committer` may write to. A commit by a client that is no member creates the group
    /// (a simple one); a commit by a member extends its session.
    ///
    /// # Errors
    /// If the group does not exist although the client believes to be a member of it, or does not take the commit.
    pub(crate) fn accept_commit(
        &mut self,
        id: &str,
        committer: Committer<'_>,
        now: Now,
    ) -> Result<&mut Offsets, ResponseError> {
        if !self.by_id.contains_key(id) && committer.generation_or_epoch >= 0 {
            let knows_error =
                !committer.transactional && committer.version >= FIRST_OFFSET_COMMIT_OF_KIP_848;
            return Err(match knows_error {
                true => ResponseError::GroupIdNotFound,
                false => ResponseError::IllegalGeneration,
            });
        }
        let group = self.create(id);
        match &mut group.kind {
            Kind::Classic(classic) => classic.accept_commit(committer, now)?,
            Kind::Consumer(consumer) => consumer.accept_commit(committer)?,
        }
        Ok(&mut group.offsets)
    }

    /// The group, if offsets of it may be deleted.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, or NON_EMPTY_GROUP if there are members and nobody can know what they read.
    pub(crate) fn with_deletable_offsets(&mut self, id: &str) -> Result<&mut Group, ResponseError> {
        let group = self
            .by_id
            .get_mut(id)
            .ok_or(ResponseError::GroupIdNotFound)?;
        match &group.kind {
            Kind::Classic(classic) if !classic.is_empty() && !classic.has_consumers() => {
                Err(ResponseError::NonEmptyGroup)
            }
            Kind::Classic(_) | Kind::Consumer(_) => Ok(group),
        }
    }

    /// Deletes a group without members, and its offsets.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, or NON_EMPTY_GROUP.
    pub(crate) fn delete(&mut self, id: &str) -> Result<(), ResponseError> {
        match self.by_id.get(id) {
            None => return Err(ResponseError::GroupIdNotFound),
            Some(group) if !group.kind.is_empty() => return Err(ResponseError::NonEmptyGroup),
            Some(_) => {}
        }
        self.by_id.remove(id);
        Ok(())
    }

    /// Forgets the offsets of a topic that was deleted, as Apache Kafka does: a topic created anew under its name begins
    /// at 0.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for group in self.by_id.values_mut() {
            group.offsets.remove_topic(topic);
        }
    }

    /// Another node coordinates the group from now on.
    pub(crate) fn move_coordinator(&mut self, id: &str, now: Now, timers: &mut Timers) {
        let _gone = self.change(id, timers, |group| match &mut group.kind {
            Kind::Classic(classic) => classic.move_coordinator(now),
            Kind::Consumer(consumer) => consumer.begin_sessions_anew(now.instant),
        });
    }

    /// Lets the group do what has fallen due.
    pub(crate) fn tick(&mut self, id: &str, now: Now, timers: &mut Timers) {
        let _gone = self.change(id, timers, |group| {
            if group.timer.is_some_and(|at| at <= now.instant) {
                group.timer = None;
            }
            match &mut group.kind {
                Kind::Classic(classic) => classic.expire(now),
                Kind::Consumer(consumer) => {
                    for member in consumer.expire(now.instant) {
                        info!(
                            group = id,
                            member, "expelled: silent, or slow to give up partitions"
                        );
                    }
                }
            }
        });
    }
}

impl Kind {
    /// The type's name, as tools show it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Consumer(_) => "consumer",
        }
    }

    /// The state's name, as tools show it.
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self::Classic(classic) => classic.state(),
            Self::Consumer(consumer) => consumer.state().name(),
        }
    }

    /// What kind of members these are; empty if there never were any.
    pub(crate) fn protocol_type(&self) -> &str {
        match self {
            Self::Classic(classic) => classic.protocol_type().unwrap_or_default(),
            Self::Consumer(_) => "consumer",
        }
    }

    /// Removes a member, as when its session ends.
    pub(crate) fn expel(&mut self, member_id: &str, now: Now) {
        match self {
            Self::Classic(classic) => {
                let member = LeavingMember {
                    member_id,
                    instance_id: None,
                };
                classic.leave(&[member], now);
            }
            Self::Consumer(consumer) => consumer.expel(member_id),
        }
    }

    /// Whether there are no members.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(classic) => classic.is_empty(),
            Self::Consumer(consumer) => consumer.is_empty(),
        }
    }

    /// What the members read. It takes a look at all of them.
    pub(crate) fn subscribed(&self) -> Subscribed {
        match self {
            Self::Classic(classic) => classic.subscribed(),
            Self::Consumer(consumer) => consumer.subscribed(),
        }
    }
}

impl Group {
    /// Forgets offsets, and says whether the group is to be forgotten with them. As in Apache Kafka (KIP-211), those of a
    /// classic group without members go together, so long after the last one left. Others go one by one, so long after
    /// they were committed: those of a group that never had members, those of a consumer group, and in a stable group of
    /// classic consumers those of topics that nobody reads any more.
    fn forget(&mut self, now: Now, retention: Duration) -> bool {
        let empty_for = match self.kind.is_empty() {
            true => Some(self.rest.look(now)),
            false => {
                self.rest.end();
                None
            }
        };
        let kind = &self.kind;
        let subscribed = LazyCell::new(|| kind.subscribed());
        let is_over = |topic: &str, committed_for: Duration| {
            let rest = match (kind, empty_for) {
                (Kind::Classic(classic), Some(empty_for)) if classic.protocol_type().is_some() => {
                    empty_for
                }
                (Kind::Classic(classic), None)
                    if !(classic.has_consumers() && classic.is_stable()) =>
                {
                    return false;
                }
                _ => committed_for,
            };
            rest >= retention && !subscribed.contains(topic)
        };
        self.offsets.forget(now, is_over);
        // Whoever was given a member id a moment ago may be about to join: one look before this one found it empty too.
        empty_for.is_some_and(|rest| !rest.is_zero()) && self.offsets.is_empty()
    }

    /// Has the group's timer fire no later than its next deadline.
    fn schedule(&mut self, id: &str, timers: &mut Timers) {
        let deadline = match &self.kind {
            Kind::Classic(classic) => classic.deadline(),
            Kind::Consumer(consumer) => consumer.next_deadline(),
        };
        if let Some(deadline) = deadline
            && self.timer.is_none_or(|at| deadline < at)
        {
            timers.schedule(deadline, Timer::Group(id.to_owned()));
            self.timer = Some(deadline);
        }
    }
}

fn not_found(id: &str) -> Rejected {
    let reason = format!("Group {id} not found.");
    Rejected::new(ResponseError::GroupIdNotFound, reason)
}

fn not_a_consumer_group(id: &str) -> Rejected {
    let reason = format!("Group {id} is not a consumer group.");
    Rejected::new(ResponseError::GroupIdNotFound, reason)
}

/// What Apache Kafka says with `group.consumer.migration.policy` disabled.
fn not_upgraded(id: &str, has_consumers: bool) -> Rejected {
    let reason = match has_consumers {
        true => "online upgrade is disabled",
        false => "the group does not use the consumer embedded protocol",
    };
    Rejected::new(
        ResponseError::GroupIdNotFound,
        format!("Cannot upgrade classic group {id} to consumer group because {reason}."),
    )
}

/// Whether the node that was asked coordinates the group.
///
/// # Errors
/// NOT_COORDINATOR if not: the client asks FindCoordinator again.
pub(crate) fn check_coordinator(
    cluster: &Cluster,
    cx: &Context,
    group_id: &str,
) -> Result<(), ResponseError> {
    match cluster.is_coordinator(cx.node_id, group_id) {
        true => Ok(()),
        false => Err(ResponseError::NotCoordinator),
    }
}

/// As [`check_coordinator`], for the requests of members: a group of members has a name.
///
/// # Errors
/// INVALID_GROUP_ID or NOT_COORDINATOR.
pub(crate) fn check_member_request(
    cluster: &Cluster,
    cx: &Context,
    group_id: &str,
) -> Result<(), ResponseError> {
    if group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    check_coordinator(cluster, cx, group_id)
}
