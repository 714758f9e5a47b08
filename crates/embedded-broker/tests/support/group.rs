//! A member of a classic group, frame by frame.

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitRequest, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::raw::{Pending, RawClient};
use super::topic::{Topic, only};
use super::wait::{DEADLINE, eventually};

/// The newest versions in use here.
pub(crate) const JOIN: i16 = 9;
pub(crate) const SYNC: i16 = 5;
pub(crate) const HEARTBEAT: i16 = 4;
pub(crate) const LEAVE: i16 = 5;
pub(crate) const COMMIT: i16 = 8;

/// Long enough never to matter.
pub(crate) const LONG_MS: i32 = 30_000;

pub(crate) fn group_id(name: &str) -> GroupId {
    GroupId(name.to_owned().into())
}

/// One member on a connection of its own.
pub(crate) struct Member {
    pub(crate) client: RawClient,
    pub(crate) group: String,
    /// Empty until the coordinator gave one.
    pub(crate) id: StrBytes,
    pub(crate) instance: Option<StrBytes>,
    /// Of the last join that was answered without an error.
    pub(crate) generation: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    /// Names and metadata, the preferred first.
    pub(crate) protocols: Vec<(&'static str, &'static str)>,
}

impl Member {
    /// Someone the coordinator has not heard of yet.
    pub(crate) async fn stranger(group: &str) -> Self {
        Self::stranger_at(group, RawClient::connect().await)
    }

    /// The same, on a connection that the test made.
    pub(crate) fn stranger_at(group: &str, client: RawClient) -> Self {
        Self {
            client,
            group: group.to_owned(),
            id: StrBytes::new(),
            instance: None,
            generation: -1,
            session_timeout_ms: LONG_MS,
            rebalance_timeout_ms: LONG_MS,
            protocols: vec![("plan", "metadata")],
        }
    }

    /// A static member (KIP-345) that has not joined yet.
    pub(crate) async fn instance(group: &str, instance: &'static str) -> Self {
        let mut member = Self::stranger(group).await;
        member.instance = Some(instance.into());
        member
    }

    /// Someone who was given a member id, and has not joined with it yet.
    pub(crate) async fn expected(group: &str) -> Self {
        let mut member = Self::stranger(group).await;
        member.introduce().await;
        member
    }

    /// The only member of a new group: joined, synced, its leader.
    pub(crate) async fn alone(group: &str) -> Self {
        let mut member = Self::expected(group).await;
        member.settle().await;
        member
    }

    /// Asks for a member id (KIP-394).
    pub(crate) async fn introduce(&mut self) {
        let answer = self.join().await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::MemberIdRequired)
        );
        self.id = answer.member_id;
    }

    /// Joins a group in which nobody else is, and assigns itself "all".
    pub(crate) async fn settle(&mut self) {
        let answer = self.join().await;
        assert_eq!(answer.error_code.err(), None);
        assert_eq!(answer.leader, self.id);
        let synced = self.sync(&[(self.id.clone(), "all")]).await;
        assert_eq!(synced.error_code.err(), None);
    }

    pub(crate) fn join_request(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default()
                .with_name((*name).into())
                .with_metadata(Bytes::from_static(metadata.as_bytes()))
        });
        JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type("test".into())
            .with_protocols(protocols.collect())
    }

    /// Sends a join that is answered when the others have joined too.
    pub(crate) async fn start_join(&mut self) -> Pending<JoinGroupRequest> {
        let request = self.join_request();
        self.client.write(JOIN, &request).await
    }

    /// Reads the answer to a join, and remembers what it says.
    pub(crate) async fn finish_join(
        &mut self,
        join: Pending<JoinGroupRequest>,
    ) -> JoinGroupResponse {
        let answer = self.client.read(join).await;
        if answer.error_code == 0 {
            self.id = answer.member_id.clone();
            self.generation = answer.generation_id;
        }
        answer
    }

    /// Joins.
    pub(crate) async fn join(&mut self) -> JoinGroupResponse {
        let join = self.start_join().await;
        self.finish_join(join).await
    }

    pub(crate) fn sync_request(
        &self,
        assignments: &[(StrBytes, &'static str)],
    ) -> SyncGroupRequest {
        let assignments = assignments.iter().map(|(member, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(member.clone())
                .with_assignment(Bytes::from_static(assignment.as_bytes()))
        });
        SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(Some("test".into()))
            .with_protocol_name(Some(self.protocols[0].0.into()))
            .with_assignments(assignments.collect())
    }

    /// Sends a sync that is answered when the leader has synced.
    pub(crate) async fn start_sync(
        &mut self,
        assignments: &[(StrBytes, &'static str)],
    ) -> Pending<SyncGroupRequest> {
        let request = self.sync_request(assignments);
        self.client.write(SYNC, &request).await
    }

    /// Syncs: a leader with assignments, others with none.
    pub(crate) async fn sync(
        &mut self,
        assignments: &[(StrBytes, &'static str)],
    ) -> SyncGroupResponse {
        let sync = self.start_sync(assignments).await;
        self.client.read(sync).await
    }

    pub(crate) async fn heartbeat(&mut self) -> Option<ResponseError> {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone());
        self.client.send(HEARTBEAT, request).await.error_code.err()
    }

    /// Waits until a round has begun that this member has not joined yet: its heartbeats say REBALANCE_IN_PROGRESS.
    pub(crate) async fn is_told_to_rejoin(&mut self) {
        eventually(DEADLINE, "a round to begin", async || {
            (self.heartbeat().await == Some(ResponseError::RebalanceInProgress)).then_some(())
        })
        .await;
    }

    /// Leaves by member id.
    pub(crate) async fn leave(&mut self) -> LeaveGroupResponse {
        let identity = MemberIdentity::default().with_member_id(self.id.clone());
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_members(vec![identity]);
        self.client.send(LEAVE, request).await
    }

    /// Commits an offset of partition 0 as this member of this generation.
    pub(crate) async fn commit(&mut self, topic: &Topic, offset: i64) -> Option<ResponseError> {
        let request = commit_request(&self.group, topic, 0, offset)
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone());
        only(only(self.client.send(COMMIT, request).await.topics).partitions)
            .error_code
            .err()
    }
}

/// A commit by nobody in particular: no generation, no member.
pub(crate) fn commit_request(
    group: &str,
    topic: &Topic,
    partition: i32,
    offset: i64,
) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(StrBytes::new()));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(-1)
        .with_topics(vec![topic])
}

/// Two members of one group, both synced; the first leads.
pub(crate) async fn pair(group: &str) -> (Member, Member) {
    let leader = Member::stranger(group).await;
    let follower = Member::stranger(group).await;
    pair_of(leader, follower).await
}

/// The same with members prepared by the test, dynamic or static.
pub(crate) async fn pair_of(leader: Member, follower: Member) -> (Member, Member) {
    let (mut leader, mut follower) = joined_pair_of(leader, follower).await;
    sync_together(&mut leader, &mut follower).await;
    (leader, follower)
}

/// The same, before they sync.
pub(crate) async fn joined_pair_of(mut leader: Member, mut follower: Member) -> (Member, Member) {
    if leader.instance.is_none() {
        leader.introduce().await;
    }
    let first = leader.join().await;
    assert_eq!(first.error_code.err(), None);
    if follower.instance.is_none() {
        follower.introduce().await;
    }
    rejoin_together(&mut leader, &mut follower).await;
    (leader, follower)
}

/// Both join; the answers come when both have.
pub(crate) async fn rejoin_together(leader: &mut Member, follower: &mut Member) {
    let join = follower.start_join().await;
    leader.is_told_to_rejoin().await;
    let second = leader.join().await;
    let first = follower.finish_join(join).await;
    assert_eq!(
        (first.error_code.err(), second.error_code.err()),
        (None, None)
    );
    assert_eq!((&first.leader, &second.leader), (&leader.id, &leader.id));
    assert_eq!(leader.generation, follower.generation);
}

/// Both sync; the leader gives itself "first" and the follower "second".
pub(crate) async fn sync_together(leader: &mut Member, follower: &mut Member) {
    let waiting = follower.start_sync(&[]).await;
    let plan = [
        (leader.id.clone(), "first"),
        (follower.id.clone(), "second"),
    ];
    let first = leader.sync(&plan).await;
    let second = follower.client.read(waiting).await;
    assert_eq!(
        (first.error_code.err(), second.error_code.err()),
        (None, None)
    );
    assert_eq!(
        (&first.assignment[..], &second.assignment[..]),
        (&b"first"[..], &b"second"[..])
    );
}

/// Two members that have joined and not synced yet.
pub(crate) async fn joined_pair(group: &str) -> (Member, Member) {
    let (leader, follower) = (Member::stranger(group).await, Member::stranger(group).await);
    joined_pair_of(leader, follower).await
}
