//! One member of a classic group, and the requests of it that are parked.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

use super::{JoinAnswer, JoinRequest, SyncAnswer};
use crate::clock::Now;

/// A way to assign partitions that a member supports, for example `range`, and what the member has to say to whoever
/// assigns by it (its topics, for a consumer). The broker does not look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberProtocol {
    pub(crate) name: String,
    pub(crate) metadata: Bytes,
}

/// A member, from its first JoinGroup on.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// `group.instance.id`: the member is a static one, which keeps its place over a restart (KIP-345).
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// What the leader assigned to it; empty before the first assignment.
    pub(crate) assignment: Bytes,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// In the order of the member's preference.
    pub(super) protocols: Vec<MemberProtocol>,
    /// When the member counts as dead, unless it is heard of before.
    pub(super) session_deadline: Instant,
    /// Whether it sent SyncGroup in this generation.
    pub(super) has_synced: bool,
    /// A JoinGroup that waits for the others to join.
    join: Option<oneshot::Sender<JoinAnswer>>,
    /// A SyncGroup that waits for the leader's assignment.
    sync: Option<oneshot::Sender<SyncAnswer>>,
}

impl Member {
    /// A member with its first JoinGroup parked.
    pub(super) fn new(
        id: String,
        request: JoinRequest,
        now: Now,
        answer: oneshot::Sender<JoinAnswer>,
    ) -> Self {
        Self {
            id,
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            assignment: Bytes::new(),
            session_deadline: now.instant + request.session_timeout,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols,
            has_synced: false,
            join: Some(answer),
            sync: None,
        }
    }

    /// Takes over what a further JoinGroup says and parks it.
    pub(super) fn rejoin(
        &mut self,
        request: JoinRequest,
        now: Now,
        answer: oneshot::Sender<JoinAnswer>,
    ) {
        self.session_timeout = request.session_timeout;
        self.rebalance_timeout = request.rebalance_timeout;
        self.protocols = request.protocols;
        self.join = Some(answer);
        self.extend_session(now);
    }

    /// Parks a SyncGroup.
    pub(super) fn await_assignment(&mut self, answer: oneshot::Sender<SyncAnswer>) {
        self.sync = Some(answer);
    }

    /// Whether it has asked to be part of the next generation.
    pub(super) fn has_joined(&self) -> bool {
        self.join.is_some()
    }

    /// Whether a request of it is parked and its client still there. Such a member is alive without heartbeats. One whose
    /// client hung up is not: it is removed when its session ends, as if it had never been parked.
    pub(super) fn is_waiting(&self) -> bool {
        let open_join = self.join.as_ref().is_some_and(|join| !join.is_closed());
        let open_sync = self.sync.as_ref().is_some_and(|sync| !sync.is_closed());
        open_join || open_sync
    }

    /// The member was heard of.
    pub(super) fn extend_session(&mut self, now: Now) {
        self.session_deadline = now.instant + self.session_timeout;
    }

    /// Answers the parked JoinGroup, if there is one. The session starts anew, for the client could not speak meanwhile.
    pub(super) fn answer_join(&mut self, answer: JoinAnswer, now: Now) {
        if let Some(join) = self.join.take() {
            self.extend_session(now);
            // Nobody takes the answer if the client hung up; the session will end.
            let _hung_up = join.send(answer);
        }
    }

    /// As [`Self::answer_join`], for the parked SyncGroup.
    pub(super) fn answer_sync(&mut self, answer: SyncAnswer, now: Now) {
        if let Some(sync) = self.sync.take() {
            self.extend_session(now);
            let _hung_up = sync.send(answer);
        }
    }

    /// Answers whatever is parked with an error, for the member is no longer one under this id.
    pub(super) fn refuse_all(&mut self, error: ResponseError, member_id: &str, now: Now) {
        self.answer_join(JoinAnswer::refused(error, member_id), now);
        self.answer_sync(SyncAnswer::Refused(error), now);
    }

    /// What the member says to whoever assigns by this protocol.
    pub(crate) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let chosen = self
            .protocols
            .iter()
            .find(|known| Some(known.name.as_str()) == protocol);
        chosen.map_or_else(Bytes::new, |known| known.metadata.clone())
    }
}
