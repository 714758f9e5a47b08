//! Groups as requests reach them: through the dispatcher, without a socket.

mod consumer_groups;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic,
};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, ResponseHeader, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request, StrBytes};

use super::*;
use crate::api;
use crate::cluster::Node;
use crate::net::frame::LENGTH_BYTES;
use crate::settings::Settings;
use crate::state::{Shared, State};

const TOPIC: TopicName = TopicName(StrBytes::from_static_str("orders"));

/// A broker of so many nodes, with one topic.
async fn broker(nodes: i32) -> Arc<Shared> {
    let nodes = (0..nodes).map(|id| Node {
        id,
        running: true,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        advertised_host: "127.0.0.1".to_owned(),
        tls: None,
    });
    let cluster = Cluster::new(nodes.collect());
    let shared = Shared::new(State::new(Settings::default(), cluster));
    let topic = CreatableTopic::default()
        .with_name(TOPIC)
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    let created = ask(&shared, 0, 7, request).await;
    assert_eq!(created.topics[0].error_code, 0);
    shared
}

/// Sends a request to a node and waits for its answer.
async fn ask<R: Request>(
    shared: &Arc<Shared>,
    node_id: i32,
    version: i16,
    request: R,
) -> R::Response {
    let api = api::find(R::KEY).expect("an API that is offered");
    let cx = Context {
        now: Now::read(),
        arrived: Instant::now(),
        node_id,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        version,
        hurry: Arc::default(),
        session: Arc::default(),
    };
    let mut body = BytesMut::new();
    request.encode(&mut body, version).expect("a request");
    let serving = (api.serve)(Arc::clone(shared), cx, 7, body.freeze());
    let answer = serving.await.expect("an answer").expect("an answer");
    let mut answer: Bytes = answer.slice(LENGTH_BYTES..);
    let header_version = R::Response::header_version(version);
    ResponseHeader::decode(&mut answer, header_version).expect("a header");
    R::Response::decode(&mut answer, version).expect("a body")
}

fn group_id(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}

fn commit(id: &str, generation: i32) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TOPIC)
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(id))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic])
}

#[tokio::test]
async fn a_node_that_does_not_coordinate_the_group_says_so() {
    let shared = broker(2).await;
    let wrong = {
        let state = shared.state.lock();
        i32::from(state.cluster.is_coordinator(0, "group"))
    };
    let id = || group_id("group");
    let expected = ResponseError::NotCoordinator.code();
    let ask_wrong = &shared;

    let join = JoinGroupRequest::default()
        .with_group_id(id())
        .with_session_timeout_ms(10_000);
    let join = ask(ask_wrong, wrong, 9, join).await;
    let sync = SyncGroupRequest::default()
        .with_group_id(id())
        .with_protocol_type(Some(StrBytes::default()))
        .with_protocol_name(Some(StrBytes::default()));
    let sync = ask(ask_wrong, wrong, 5, sync).await;
    let heartbeat = HeartbeatRequest::default().with_group_id(id());
    let heartbeat = ask(ask_wrong, wrong, 4, heartbeat).await;
    let leave = LeaveGroupRequest::default()
        .with_group_id(id())
        .with_members(vec![MemberIdentity::default()]);
    let leave = ask(ask_wrong, wrong, 5, leave).await;
    let of_whole_answer = [
        join.error_code,
        sync.error_code,
        heartbeat.error_code,
        leave.error_code,
    ];
    assert_eq!(
        of_whole_answer, [expected; 4],
        "JoinGroup, SyncGroup, Heartbeat, LeaveGroup"
    );

    let commit = ask(ask_wrong, wrong, 8, commit("group", -1)).await;
    assert_eq!(commit.topics[0].partitions[0].error_code, expected);
    let fetch = OffsetFetchRequestGroup::default().with_group_id(id());
    let fetch = OffsetFetchRequest::default().with_groups(vec![fetch]);
    let fetch = ask(ask_wrong, wrong, 9, fetch).await;
    assert_eq!(fetch.groups[0].error_code, expected);
    let describe = DescribeGroupsRequest::default().with_groups(vec![id()]);
    let describe = ask(ask_wrong, wrong, 6, describe).await;
    assert_eq!(describe.groups[0].error_code, expected);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![id()]);
    let delete = ask(ask_wrong, wrong, 2, delete).await;
    assert_eq!(delete.results[0].error_code, expected);
    let delete = OffsetDeleteRequest::default().with_group_id(id());
    let delete = ask(ask_wrong, wrong, 0, delete).await;
    assert_eq!(delete.error_code, expected);
    assert!(
        shared.state.lock().groups.get("group").is_none(),
        "the group was created"
    );
}

/// Version 1 of OffsetFetch has no error of its own, so each partition carries it.
#[tokio::test]
async fn the_first_version_of_offset_fetch_repeats_the_error() {
    let shared = broker(2).await;
    let wrong = {
        let state = shared.state.lock();
        i32::from(state.cluster.is_coordinator(0, "group"))
    };
    for (version, of_answer, of_partitions) in [(1, 0, vec![16, 16]), (2, 16, vec![])] {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TOPIC)
            .with_partition_indexes(vec![0, 1]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id("group"))
            .with_topics(Some(vec![topic]));
        let answer = ask(&shared, wrong, version, request).await;
        assert_eq!(answer.error_code, of_answer, "version {version}");
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let errors: Vec<i16> = partitions.map(|partition| partition.error_code).collect();
        assert_eq!(errors, of_partitions, "version {version}");
    }
}

#[tokio::test]
async fn each_node_lists_the_groups_that_it_coordinates() {
    let shared = broker(2).await;
    let ids: Vec<String> = (0..20).map(|number| format!("group-{number:02}")).collect();
    for id in &ids {
        shared.state.lock().groups.create(id);
    }
    let mut listed = Vec::new();
    for node_id in [0, 1] {
        let answer = ask(&shared, node_id, 5, ListGroupsRequest::default()).await;
        let groups = answer.groups.iter().map(|group| group.group_id.to_string());
        let groups: Vec<String> = groups.collect();
        assert!(!groups.is_empty(), "20 groups fall to one of two nodes");
        assert!(groups.is_sorted());
        listed.extend(groups);
    }
    listed.sort();
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn a_commit_for_a_generation_does_not_create_a_group() {
    let shared = broker(1).await;
    for (version, error) in [
        (8, ResponseError::IllegalGeneration),
        (9, ResponseError::GroupIdNotFound),
    ] {
        let answer = ask(&shared, 0, version, commit("group", 3)).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, error.code());
        assert!(shared.state.lock().groups.get("group").is_none());
    }
    let answer = ask(&shared, 0, 9, commit("group", -1)).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    assert!(shared.state.lock().groups.get("group").is_some());
}

/// An offset that a transaction may yet change is not told to a client that asks for stable ones.
#[tokio::test]
async fn unstable_offsets_are_refused_to_who_asks_for_stable_ones() {
    let shared = broker(1).await;
    ask(&shared, 0, 9, commit("group", -1)).await;
    let staged = CommittedOffset {
        offset: 9,
        leader_epoch: -1,
        metadata: String::new(),
    };
    {
        let mut state = shared.state.lock();
        let offsets = state.groups.offsets_mut("group").expect("the group");
        offsets.stage(1, &TOPIC, 0, staged);
    }
    for (require_stable, error, offset) in [
        (true, ResponseError::UnstableOffsetCommit.code(), -1),
        (false, 0, 5),
    ] {
        // All of the group's offsets.
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(group_id("group"))
            .with_topics(None);
        let request = OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_require_stable(require_stable);
        let answer = ask(&shared, 0, 9, request).await;
        assert_eq!(answer.groups[0].error_code, 0);
        let partition = &answer.groups[0].topics[0].partitions[0];
        assert_eq!(
            (partition.error_code, partition.committed_offset),
            (error, offset)
        );
    }
}

/// What a member does ten times a second must not fill the queue of timers.
#[test]
fn a_deadline_that_moves_back_schedules_no_further_timer() {
    let (mut groups, mut timers) = (Groups::default(), Timers::default());
    let start = Now::read();
    groups.create("group");
    let (sender, mut answer) = tokio::sync::oneshot::channel();
    let request = JoinRequest {
        member_id: String::new(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".to_owned(),
        protocols: vec![MemberProtocol {
            name: "range".to_owned(),
            metadata: Bytes::new(),
        }],
        returns_with_id: false,
        skips_assignment: true,
    };
    groups.change_classic("group", &mut timers, |classic| {
        classic.join(request, Duration::ZERO, start, sender);
    });
    assert_eq!(
        timers.next(),
        Some(start.instant),
        "an initial delay of nothing is due at once"
    );
    groups.tick("group", start, &mut timers);
    let Ok(JoinAnswer::Joined(joined)) = answer.try_recv() else {
        panic!("the join was not answered");
    };
    for step in 0..100 {
        let now = start.after(Duration::from_millis(step * 100));
        let told = groups.change_classic("group", &mut timers, |classic| {
            classic.heartbeat(&joined.member_id, None, 1, now)
        });
        assert_eq!(told, Some(Ok(())));
    }
    let last = start.after(Duration::from_secs(3_600));
    let scheduled = std::iter::from_fn(|| timers.pop_due(last.instant)).count();
    assert!(scheduled <= 2, "{scheduled} timers");
}

/// A timer may outlive its group.
#[test]
fn a_timer_of_a_deleted_group_does_nothing() {
    let (mut groups, mut timers) = (Groups::default(), Timers::default());
    groups.create("group");
    assert_eq!(groups.delete("group"), Ok(()));
    groups.tick("group", Now::read(), &mut timers);
    assert!(groups.get("group").is_none());
    assert_eq!(timers.next(), None);
}
