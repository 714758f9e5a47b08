//! The classic group protocol: members join, one of them assigns the partitions, all sync, and heartbeat until something
//! changes (<https://kafka.apache.org/protocol#protocol_api_keys>, JoinGroup, SyncGroup, Heartbeat, LeaveGroup).
//!
//! ```text
//!            first join               all have joined,         the leader's
//!                                     or time is up            SyncGroup
//!   Empty ───────────▶ PreparingRebalance ───▶ CompletingRebalance ───▶ Stable
//!     ▲                   │    ▲                        │                 │
//!     └───────────────────┘    └────────────────────────┴─────────────────┘
//!        all have left            a member joins, leaves, dies or never syncs
//! ```
//! JoinGroup and SyncGroup are parked in their member and answered when the round completes.

mod join;
mod member;
#[cfg(test)]
mod random_walk;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use join::{JoinAnswer, JoinRequest, Joined};
pub(crate) use member::{Member, MemberProtocol};
pub(crate) use sync::{SyncAnswer, SyncRequest};

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use super::{Committer, Subscribed};
use crate::clock::Now;

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

/// A group whose members assign partitions among themselves.
#[derive(Debug, Default)]
pub(crate) struct ClassicGroup {
    phase: Phase,
    /// Counts the completed rounds of joins. What a member says of an earlier generation is refused.
    generation: i32,
    /// What kind of members these are, for example `consumer`; kept when the last one has left. A group that never had a
    /// member has none.
    protocol_type: Option<String>,
    /// How partitions are assigned in this generation.
    protocol_name: Option<String>,
    /// The id of the member that assigns: the first one that joined and is still there.
    leader: Option<String>,
    /// In the order in which they joined.
    members: Vec<Member>,
    /// Ids that were given out with MEMBER_ID_REQUIRED and not used yet, and when they lapse. A round of joins waits for
    /// them.
    pending: HashMap<String, Instant>,
}

/// Where the group is in its cycle. Apache Kafka's fifth state, Dead, is a group that does not exist.
#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// No members.
    #[default]
    Empty,
    /// Members join.
    PreparingRebalance {
        /// When the round ends without those that have not joined.
        deadline: Instant,
        /// Set in the first round of an empty group: it ends at its deadline and not before.
        initial: Option<InitialDelay>,
    },
    /// All have joined; the leader assigns.
    CompletingRebalance {
        /// When members that did not sync are removed.
        deadline: Instant,
    },
    /// All have, or may have, their assignment.
    Stable {
        /// As above: the leader's SyncGroup may come before another member's.
        deadline: Instant,
    },
}

/// The first round of an empty group waits for company (`group.initial.rebalance.delay.ms`, KIP-134).
#[derive(Clone, Copy, Debug)]
struct InitialDelay {
    /// How long it waits for one more.
    step: Duration,
    /// When it stops waiting although members still come.
    latest: Instant,
    /// Whether one came during this step.
    newcomer: bool,
}

/// A member that LeaveGroup names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeavingMember<'a> {
    /// Empty where an administrator removes a static member by its instance id alone.
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
}

impl ClassicGroup {
    /// The state's name, as tools show it.
    pub(crate) fn state(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::PreparingRebalance { .. } => "PreparingRebalance",
            Phase::CompletingRebalance { .. } => "CompletingRebalance",
            Phase::Stable { .. } => "Stable",
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.phase, Phase::Empty)
    }

    pub(crate) fn is_stable(&self) -> bool {
        matches!(self.phase, Phase::Stable { .. })
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub(crate) fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    /// In the order in which they joined.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether the members are consumers, whose subscriptions can be read.
    pub(crate) fn has_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// What the members read, if they are consumers.
    pub(crate) fn subscribed(&self) -> Subscribed {
        let consumers = self.members.iter().filter(|_| self.has_consumers());
        let mut subscribed = HashSet::new();
        for member in consumers {
            match subscription::topics(&member.metadata(self.protocol_name())) {
                Some(topics) => subscribed.extend(topics),
                None => return Subscribed::Any,
            }
        }
        Subscribed::These(subscribed)
    }

    /// The member is alive.
    ///
    /// # Errors
    /// REBALANCE_IN_PROGRESS tells it to join again; others, that it is no member of this generation.
    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> Result<(), ResponseError> {
        let index = self.find_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.members[index].extend_session(now);
        match self.phase {
            Phase::PreparingRebalance { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Removes members; each has a result of its own.
    pub(crate) fn leave(
        &mut self,
        leaving: &[LeavingMember<'_>],
        now: Now,
    ) -> Vec<Result<(), ResponseError>> {
        let results: Vec<_> = leaving
            .iter()
            .map(|member| self.remove_leaving(*member, now))
            .collect();
        if results.iter().any(Result::is_ok) {
            self.rebalance(now);
        }
        results
    }

    fn remove_leaving(
        &mut self,
        leaving: LeavingMember<'_>,
        now: Now,
    ) -> Result<(), ResponseError> {
        if self.pending.remove(leaving.member_id).is_some() {
            return Ok(());
        }
        let index = match leaving {
            LeavingMember {
                member_id: "",
                instance_id: Some(instance_id),
            } => self.static_member(instance_id)?,
            _ => self.find_member(leaving.member_id, leaving.instance_id)?,
        };
        self.remove_member(index, now);
        Ok(())
    }

    /// Whether these offsets may be committed, by the rules of a classic group.
    ///
    /// # Errors
    /// If the client is no member of this generation, or the group is between two assignments.
    pub(crate) fn accept_commit(
        &mut self,
        committer: Committer<'_>,
        now: Now,
    ) -> Result<(), ResponseError> {
        if committer.generation_or_epoch < 0 && self.is_empty() {
            return Ok(());
        }
        let claims_membership = committer.generation_or_epoch >= 0
            || !committer.member_id.is_empty()
            || committer.instance_id.is_some();
        if !claims_membership {
            // Before KIP-447 a transaction did not say who the consumer is.
            return match committer.transactional {
                true => Ok(()),
                false => Err(ResponseError::UnknownMemberId),
            };
        }
        let index = self.find_member(committer.member_id, committer.instance_id)?;
        if committer.generation_or_epoch != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        match self.phase {
            _ if committer.transactional => Ok(()),
            // The member has joined, so it knows that its old partitions may be another's now.
            Phase::CompletingRebalance { .. } => Err(ResponseError::RebalanceInProgress),
            _ => {
                self.members[index].extend_session(now);
                Ok(())
            }
        }
    }

    /// Another node coordinates the group from now on. What is parked at the old one is answered NOT_COORDINATOR, so that the
    /// clients ask for the new one; they find their sessions begun anew. Ids that were given out and not used are unknown
    /// there: Apache Kafka does not write them to its log.
    pub(crate) fn move_coordinator(&mut self, now: Now) {
        self.pending.clear();
        for member in &mut self.members {
            let id = member.id.clone();
            member.refuse_all(ResponseError::NotCoordinator, &id, now);
            member.extend_session(now);
        }
    }

    /// Does what has fallen due: removes members whose session ended, ends a round of joins whose time is up.
    pub(crate) fn expire(&mut self, now: Now) {
        self.expire_sessions(now);
        match self.phase {
            Phase::PreparingRebalance { deadline, initial } if deadline <= now.instant => {
                match initial {
                    Some(initial) if initial.newcomer && now.instant < initial.latest => {
                        self.phase = Phase::PreparingRebalance {
                            deadline: (now.instant + initial.step).min(initial.latest),
                            initial: Some(InitialDelay {
                                newcomer: false,
                                ..initial
                            }),
                        };
                    }
                    _ => self.complete_joins(now),
                }
            }
            Phase::CompletingRebalance { deadline } | Phase::Stable { deadline }
                if deadline <= now.instant && !self.all_synced() =>
            {
                self.remove_members(|member| !member.has_synced, now);
                self.rebalance(now);
            }
            _ => {}
        }
    }

    fn expire_sessions(&mut self, now: Now) {
        let before = self.pending.len() + self.members.len();
        self.pending.retain(|_, deadline| *deadline > now.instant);
        for member in &mut self.members {
            // Checked again a session later, in case the client hangs up.
            if member.session_deadline <= now.instant && member.is_waiting() {
                member.extend_session(now);
            }
        }
        let members_before = self.members.len();
        self.remove_members(|member| member.session_deadline <= now.instant, now);
        let lost_members = self.members.len() < members_before;
        let lost_any = self.pending.len() + self.members.len() < before;
        match self.phase {
            Phase::PreparingRebalance { .. } if lost_any && self.all_joined() => {
                self.complete_joins(now);
            }
            Phase::CompletingRebalance { .. } | Phase::Stable { .. } if lost_members => {
                self.rebalance(now);
            }
            _ => {}
        }
    }

    /// When [`Self::expire`] has something to do next, unless something happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::PreparingRebalance { deadline, .. } => Some(deadline),
            Phase::CompletingRebalance { deadline } | Phase::Stable { deadline } => {
                (!self.all_synced()).then_some(deadline)
            }
            Phase::Empty => None,
        };
        let sessions = self.members.iter().map(|member| member.session_deadline);
        phase
            .into_iter()
            .chain(sessions)
            .chain(self.pending.values().copied())
            .min()
    }

    /// Starts a new round of joins, or ends the one that runs if nobody is missing any more.
    fn rebalance(&mut self, now: Now) {
        match self.phase {
            // The first round of an empty group ends by its deadline alone.
            Phase::Empty
            | Phase::PreparingRebalance {
                initial: Some(_), ..
            } => return,
            Phase::PreparingRebalance { initial: None, .. } => {}
            Phase::CompletingRebalance { .. } | Phase::Stable { .. } => {
                self.cancel_assignment(now);
                self.phase = Phase::PreparingRebalance {
                    deadline: now.instant + self.rebalance_timeout(),
                    initial: None,
                };
            }
        }
        if self.all_joined() {
            self.complete_joins(now);
        }
    }

    /// If an assignment is awaited, it will not come any more.
    fn cancel_assignment(&mut self, now: Now) {
        if matches!(self.phase, Phase::CompletingRebalance { .. }) {
            for member in &mut self.members {
                member.assignment.clear();
                member.answer_sync(SyncAnswer::Refused(ResponseError::RebalanceInProgress), now);
            }
        }
    }

    /// Ends the round of joins: those that have joined are the next generation.
    fn complete_joins(&mut self, now: Now) {
        // A static member keeps its place until its session ends: it may just be restarting.
        self.remove_members(
            |member| !member.has_joined() && member.instance_id.is_none(),
            now,
        );
        if !self.elect_leader() && !self.members.is_empty() {
            // Only static members, and all of them away.
            self.phase = Phase::PreparingRebalance {
                deadline: now.instant + self.rebalance_timeout(),
                initial: None,
            };
            return;
        }
        self.generation = self.generation.wrapping_add(1) & i32::MAX;
        self.protocol_name = self.vote();
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            return;
        }
        self.phase = Phase::CompletingRebalance {
            deadline: now.instant + self.rebalance_timeout(),
        };
        for index in 0..self.members.len() {
            let joined = self.joined(index);
            let member = &mut self.members[index];
            member.has_synced = false;
            member.extend_session(now);
            member.answer_join(JoinAnswer::Joined(joined), now);
        }
    }

    /// Makes sure that the leader is one that has joined. False if nobody has.
    fn elect_leader(&mut self) -> bool {
        let is_leader = |member: &&Member| self.leader.as_ref() == Some(&member.id);
        let mut joined = self.members.iter().filter(|member| member.has_joined());
        let kept = joined.clone().find(is_leader);
        let elected = kept.or_else(|| joined.next()).map(|member| &member.id);
        match elected {
            Some(id) => {
                self.leader = Some(id.clone());
                true
            }
            None => false,
        }
    }

    fn remove_members(&mut self, goes: impl Fn(&Member) -> bool, now: Now) {
        while let Some(index) = self.members.iter().position(&goes) {
            self.remove_member(index, now);
        }
    }

    fn remove_member(&mut self, index: usize, now: Now) {
        let mut member = self.members.remove(index);
        // A client that is still there joins anew.
        member.refuse_all(ResponseError::UnknownMemberId, "", now);
        if self.leader.as_ref() == Some(&member.id) {
            self.leader = self.members.first().map(|member| member.id.clone());
        }
    }

    /// The member that a request speaks for.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID if a static member's place was taken by another process.
    fn find_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<usize, ResponseError> {
        if let Some(instance_id) = instance_id {
            let index = self.static_member(instance_id)?;
            return match self.members[index].id == member_id {
                true => Ok(index),
                false => Err(ResponseError::FencedInstanceId),
            };
        }
        self.members
            .iter()
            .position(|member| member.id == member_id)
            .ok_or(ResponseError::UnknownMemberId)
    }

    fn static_member(&self, instance_id: &str) -> Result<usize, ResponseError> {
        self.members
            .iter()
            .position(|member| member.instance_id.as_deref() == Some(instance_id))
            .ok_or(ResponseError::UnknownMemberId)
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.iter().all(Member::has_joined)
    }

    fn all_synced(&self) -> bool {
        self.members.iter().all(|member| member.has_synced)
    }

    /// The longest that any member may take to finish what it has in hand before it joins again.
    fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.iter().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }
}
