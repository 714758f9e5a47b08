//! Handing out the assignment of a classic group.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

use super::{ClassicGroup, Phase};
use crate::clock::Now;

/// What a SyncGroup request says.
#[derive(Clone, Debug)]
pub(crate) struct SyncRequest {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
    /// Clients from version 5 on say which protocol they believe in (KIP-559).
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    /// From the leader: an assignment for each member id. Nothing from the others.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// What a SyncGroup is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyncAnswer {
    Assigned {
        protocol_type: Option<String>,
        protocol_name: Option<String>,
        assignment: Bytes,
    },
    Refused(ResponseError),
}

impl ClassicGroup {
    /// Gives the member its assignment: at once if there is one, else when the leader has sent it.
    pub(crate) fn sync(
        &mut self,
        request: SyncRequest,
        now: Now,
        answer: oneshot::Sender<SyncAnswer>,
    ) {
        let index = match self.check_sync(&request) {
            Ok(index) => index,
            Err(error) => {
                let _hung_up = answer.send(SyncAnswer::Refused(error));
                return;
            }
        };
        let member = &mut self.members[index];
        member.has_synced = true;
        member.await_assignment(answer);
        match self.phase {
            Phase::CompletingRebalance { deadline } => {
                if self.leader.as_deref() == Some(&request.member_id) {
                    self.assign(request.assignments);
                    self.phase = Phase::Stable { deadline };
                    self.answer_syncs(now);
                }
            }
            _ => {
                let assigned = self.assigned(index);
                self.members[index].answer_sync(assigned, now);
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<usize, ResponseError> {
        let index = self.find_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |claimed: &Option<String>, known: &Option<String>| {
            claimed.is_some() && known.is_some() && claimed != known
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::PreparingRebalance { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(index),
        }
    }

    /// Takes over the leader's assignments; a member that it left out gets none.
    fn assign(&mut self, assignments: Vec<(String, Bytes)>) {
        // Of two for one member the last counts, as in Apache Kafka.
        let mut assignments: HashMap<String, Bytes> = assignments.into_iter().collect();
        for member in &mut self.members {
            member.assignment = assignments.remove(&member.id).unwrap_or_default();
        }
    }

    fn answer_syncs(&mut self, now: Now) {
        for index in 0..self.members.len() {
            let assigned = self.assigned(index);
            self.members[index].answer_sync(assigned, now);
        }
    }

    fn assigned(&self, index: usize) -> SyncAnswer {
        SyncAnswer::Assigned {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self.members[index].assignment.clone(),
        }
    }
}
