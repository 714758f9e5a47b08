//! Joining a classic group: new members, returning ones, and static members that take their old place.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::member::{Member, MemberProtocol};
use super::{ClassicGroup, InitialDelay, Phase};
use crate::clock::Now;

/// What a JoinGroup request says.
#[derive(Clone, Debug)]
pub(crate) struct JoinRequest {
    /// Empty for a client that does not have one yet.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    /// `consumer` for consumers, `connect` for Kafka Connect.
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<MemberProtocol>,
    /// The client comes back with the id that it is given (KIP-394), so that one that never returns leaves no member
    /// behind.
    pub(crate) returns_with_id: bool,
    /// The client understands `skip_assignment` (KIP-814).
    pub(crate) skips_assignment: bool,
}

/// What a JoinGroup is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JoinAnswer {
    Joined(Joined),
    Refused {
        error: ResponseError,
        /// The id to come back with where the error is MEMBER_ID_REQUIRED, else the one that was sent.
        member_id: String,
    },
}

/// A member's part in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    /// The id of the member that assigns.
    pub(crate) leader: String,
    /// The leader need not assign: the assignment still holds.
    pub(crate) skip_assignment: bool,
    pub(crate) member_id: String,
    /// All members, for the leader; nothing for the others.
    pub(crate) members: Vec<JoinedMember>,
}

/// What the leader learns of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) metadata: Bytes,
}

impl JoinAnswer {
    pub(crate) fn refused(error: ResponseError, member_id: &str) -> Self {
        Self::Refused {
            error,
            member_id: member_id.to_owned(),
        }
    }
}

/// Answers a request that was not parked.
fn answer_now(answer: oneshot::Sender<JoinAnswer>, with: JoinAnswer) {
    // Nobody takes it if the client hung up meanwhile.
    let _hung_up = answer.send(with);
}

impl ClassicGroup {
    /// Takes a member in, or takes note that it wants to be part of the next generation. `answer` is sent at once, or when
    /// the round of joins is complete.
    pub(crate) fn join(
        &mut self,
        request: JoinRequest,
        initial_delay: Duration,
        now: Now,
        answer: oneshot::Sender<JoinAnswer>,
    ) {
        if !self.supports(&request) {
            let error = ResponseError::InconsistentGroupProtocol;
            return answer_now(answer, JoinAnswer::refused(error, &request.member_id));
        }
        if request.member_id.is_empty() {
            return self.join_without_id(request, initial_delay, now, answer);
        }
        // Only dynamic members are ever pending.
        if request.instance_id.is_none() && self.pending.contains_key(&request.member_id) {
            let id = request.member_id.clone();
            return self.add_member(id, request, initial_delay, now, answer);
        }
        match self.find_member(&request.member_id, request.instance_id.as_deref()) {
            Ok(index) => self.join_again(index, request, now, answer),
            Err(error) => answer_now(answer, JoinAnswer::refused(error, &request.member_id)),
        }
    }

    fn join_without_id(
        &mut self,
        request: JoinRequest,
        initial_delay: Duration,
        now: Now,
        answer: oneshot::Sender<JoinAnswer>,
    ) {
        let prefix = request.instance_id.as_ref().unwrap_or(&request.client_id);
        let id = format!("{prefix}-{}", Uuid::new_v4());
        let known = self.members.iter().position(|member| {
            member.instance_id.is_some() && member.instance_id == request.instance_id
        });
        if let Some(index) = known {
            self.replace_static_member(index, id, request, now, answer);
        } else if request.returns_with_id && request.instance_id.is_none() {
            self.pending
                .insert(id.clone(), now.instant + request.session_timeout);
            let error = ResponseError::MemberIdRequired;
            answer_now(answer, JoinAnswer::refused(error, &id));
        } else {
            self.add_member(id, request, initial_delay, now, answer);
        }
    }

    fn add_member(
        &mut self,
        id: String,
        request: JoinRequest,
        initial_delay: Duration,
        now: Now,
        answer: oneshot::Sender<JoinAnswer>,
    ) {
        self.pending.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        let leader = self.leader.take();
        self.leader = leader.or_else(|| Some(id.clone()));
        let latest = now.instant + request.rebalance_timeout;
        self.members.push(Member::new(id, request, now, answer));
        match &mut self.phase {
            // Consumers that are started together should land in one generation, not each in one more.
            Phase::Empty => {
                self.phase = Phase::PreparingRebalance {
                    deadline: now.instant + initial_delay,
                    initial: Some(InitialDelay {
                        step: initial_delay,
                        latest,
                        newcomer: false,
                    }),
                };
            }
            Phase::PreparingRebalance {
                initial: Some(initial),
                ..
            } => initial.newcomer = true,
            _ => self.rebalance(now),
        }
    }

    /// A JoinGroup of a member.
    fn join_again(
        &mut self,
        index: usize,
        request: JoinRequest,
        now: Now,
        answer: oneshot::Sender<JoinAnswer>,
    ) {
        let member = &mut self.members[index];
        let is_leader = self.leader.as_ref() == Some(&member.id);
        let same = member.protocols == request.protocols;
        let keeps_generation = match self.phase {
            Phase::CompletingRebalance { .. } => same,
            // A leader that joins again asks for a new assignment, for example because its topics have grown.
            Phase::Stable { .. } => same && !is_leader,
            Phase::Empty | Phase::PreparingRebalance { .. } => false,
        };
        if keeps_generation {
            // The answer to the member's last JoinGroup was lost.
            answer_now(answer, JoinAnswer::Joined(self.joined(index)));
        } else {
            member.rejoin(request, now, answer);
            self.rebalance(now);
        }
    }

    /// A static member comes back without its id, that is, restarted: it gets a new id and the old one is fenced. As in
    /// Apache Kafka, tools go on showing the client id and address of its first process.
    fn replace_static_member(
        &mut self,
        index: usize,
        id: String,
        request: JoinRequest,
        now: Now,
        answer: oneshot::Sender<JoinAnswer>,
    ) {
        let skips_assignment = request.skips_assignment;
        let old_leader = self.leader.clone();
        let member = &mut self.members[index];
        let old_id = std::mem::replace(&mut member.id, id);
        member.refuse_all(ResponseError::FencedInstanceId, &old_id, now);
        member.rejoin(request, now, answer);
        if old_leader.as_ref() == Some(&old_id) {
            self.leader = Some(member.id.clone());
        }
        match self.phase {
            Phase::Stable { .. } if self.vote() == self.protocol_name => {
                let mut joined = self.joined(index);
                if skips_assignment {
                    joined.skip_assignment = !joined.members.is_empty();
                } else {
                    // An old client would assign if it learned that it leads, and nobody waits for that: it is told of
                    // the leader before it.
                    joined.leader = old_leader.unwrap_or_default();
                    joined.members.clear();
                }
                self.members[index].answer_join(JoinAnswer::Joined(joined), now);
            }
            // In CompletingRebalance too: the leader may be assigning to the old id at this moment.
            _ => self.rebalance(now),
        }
    }

    /// The member's part in the current generation.
    pub(super) fn joined(&self, index: usize) -> Joined {
        let member_id = &self.members[index].id;
        let leader = self.leader.clone().unwrap_or_default();
        let members = match leader == *member_id {
            true => self.joined_members(),
            false => Vec::new(),
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader,
            skip_assignment: false,
            member_id: member_id.clone(),
            members,
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let members = self.members.iter().map(|member| JoinedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol_name.as_deref()),
        });
        members.collect()
    }

    /// Whether the group and the client have a protocol in common.
    fn supports(&self, request: &JoinRequest) -> bool {
        if matches!(self.phase, Phase::Empty) {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        let common = self.common_protocols();
        let is_common = |protocol: &MemberProtocol| {
            self.members.is_empty() || common.contains(protocol.name.as_str())
        };
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && request.protocols.iter().any(is_common)
    }

    /// The protocols that all members support. One look at each: a member may list a hundred thousand.
    fn common_protocols(&self) -> HashSet<&str> {
        let mut supporters: HashMap<&str, usize> = HashMap::new();
        for member in &self.members {
            let names = member.protocols.iter();
            let names: HashSet<&str> = names.map(|protocol| protocol.name.as_str()).collect();
            for name in names {
                *supporters.entry(name).or_default() += 1;
            }
        }
        let by_all = supporters
            .into_iter()
            .filter(|(_, count)| *count == self.members.len());
        by_all.map(|(name, _)| name).collect()
    }

    /// The protocol of the next generation: each member votes for the first one on its list that all support, and the one
    /// with the most votes wins.
    pub(super) fn vote(&self) -> Option<String> {
        let common = self.common_protocols();
        let is_common = |protocol: &&MemberProtocol| common.contains(protocol.name.as_str());
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in &self.members {
            let Some(choice) = member.protocols.iter().find(is_common) else {
                continue;
            };
            match votes.iter_mut().find(|(name, _)| *name == choice.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&choice.name, 1)),
            }
        }
        // The oldest member's choice wins a tie: `max_by_key` returns the last of equals.
        let winner = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        winner.map(|(name, _)| name.to_owned())
    }
}
