//! Leaders that are elected, what is told of their epochs, and what becomes of `acks=all` when replicas are missing.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the conformance suite needs more of it")]
mod support;

use embedded_broker::Broker;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, ElectLeadersRequest, MetadataRequest,
    OffsetForLeaderEpochRequest,
};

use support::raw::RawClient;
use support::records::Batch;
use support::topic::{PRODUCE, Topic, append, creatable, only, produce, produce_request};

/// ElectLeaders: the first of the replicas, or any where there is no leader.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// Three nodes, and a topic with one partition that node 0 leads and the next `replicas` hold.
async fn start(replicas: i16, min_insync_replicas: &'static str) -> (Broker, Topic) {
    let broker = Broker::builder().nodes(3).start().await;
    let broker = broker.expect("start a broker");
    let config = CreatableTopicConfig::default()
        .with_name("min.insync.replicas".into())
        .with_value(Some(min_insync_replicas.into()));
    let topic = creatable("topic", 1)
        .with_replication_factor(replicas)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    let created = only(connect(&broker, 0).await.send(7, request).await.topics);
    assert_eq!(created.error_code.err(), None);
    let topic = Topic {
        name: "topic".to_owned(),
        id: created.topic_id,
    };
    (broker, topic)
}

async fn connect(broker: &Broker, node: i32) -> RawClient {
    let address = broker.node_address(node).expect("the node's address");
    RawClient::connect_to(&address).await
}

async fn leader(client: &mut RawClient, topic: &Topic) -> i32 {
    let asked = MetadataRequestTopic::default().with_name(Some(topic.topic_name()));
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    let topic = only(client.send(12, request).await.topics);
    only(topic.partitions).leader_id.0
}

async fn elect(client: &mut RawClient, topic: &Topic, election: i8) -> Option<ResponseError> {
    let partitions = TopicPartitions::default()
        .with_topic(topic.topic_name())
        .with_partitions(vec![0]);
    let request = ElectLeadersRequest::default()
        .with_election_type(election)
        .with_topic_partitions(Some(vec![partitions]));
    let response = client.send(2, request).await;
    let results = only(response.replica_election_results).partition_result;
    only(results).error_code.err()
}

#[tokio::test]
async fn the_preferred_leader_gets_its_partition_back() {
    let (broker, topic) = start(2, "1").await;
    let mut client = connect(&broker, 1).await;
    broker.move_leader("topic", 0, 1).expect("move the leader");
    assert_eq!(leader(&mut client, &topic).await, 1);
    broker.stop_node(0).expect("stop node 0");
    assert_eq!(
        elect(&mut client, &topic, PREFERRED).await,
        Some(ResponseError::PreferredLeaderNotAvailable)
    );
    broker.start_node(0).expect("start node 0");
    assert_eq!(elect(&mut client, &topic, PREFERRED).await, None);
    assert_eq!(leader(&mut client, &topic).await, 0);
    assert_eq!(
        elect(&mut client, &topic, PREFERRED).await,
        Some(ResponseError::ElectionNotNeeded)
    );
}

#[tokio::test]
async fn all_partitions_without_their_preferred_leader_are_elected_for() {
    let (broker, topic) = start(2, "1").await;
    broker.move_leader("topic", 0, 1).expect("move the leader");
    let mut client = connect(&broker, 2).await;
    let request = ElectLeadersRequest::default().with_topic_partitions(None);
    let response = client.send(2, request).await;
    let elected = only(response.replica_election_results);
    assert_eq!(
        only(elected.partition_result).error_code.err(),
        None,
        "the one partition that was elected for"
    );
    assert_eq!(leader(&mut client, &topic).await, 0);
}

#[tokio::test]
async fn an_unclean_election_finds_a_leader_among_those_that_fell_behind() {
    let (broker, topic) = start(2, "1").await;
    let mut client = connect(&broker, 2).await;
    // Node 1 falls behind, and node 0, the last in sync, stops with the partition.
    broker.stop_node(1).expect("stop node 1");
    broker.stop_node(0).expect("stop node 0");
    assert_eq!(
        elect(&mut client, &topic, UNCLEAN).await,
        Some(ResponseError::EligibleLeadersNotAvailable)
    );
    broker.start_node(1).expect("start node 1");
    assert_eq!(leader(&mut client, &topic).await, -1, "no clean leader");
    assert_eq!(elect(&mut client, &topic, UNCLEAN).await, None);
    assert_eq!(leader(&mut client, &topic).await, 1);
    assert_eq!(
        elect(&mut client, &topic, UNCLEAN).await,
        Some(ResponseError::ElectionNotNeeded)
    );
}

/// Epoch and end offset, as the node that leads has it.
async fn end_of_epoch(client: &mut RawClient, topic: &Topic, epoch: i32) -> (i32, i64) {
    let partition = OffsetForLeaderPartition::default()
        .with_current_leader_epoch(-1)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic.topic_name())
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    let answer = only(only(client.send(4, request).await.topics).partitions);
    assert_eq!(answer.error_code.err(), None);
    (answer.leader_epoch, answer.end_offset)
}

#[tokio::test]
async fn each_leaders_records_end_where_the_next_one_began() {
    let (broker, topic) = start(3, "1").await;
    append(
        &mut connect(&broker, 0).await,
        &topic,
        0,
        &Batch::of(["a", "b"]),
    )
    .await;
    broker.move_leader("topic", 0, 1).expect("move the leader");
    // This one leads without a record.
    broker.move_leader("topic", 0, 2).expect("move the leader");
    let mut client = connect(&broker, 2).await;
    append(&mut client, &topic, 0, &Batch::of(["c"])).await;
    assert_eq!(end_of_epoch(&mut client, &topic, 0).await, (0, 2));
    assert_eq!(end_of_epoch(&mut client, &topic, 1).await, (1, 2));
    assert_eq!(end_of_epoch(&mut client, &topic, 2).await, (2, 3));
    assert_eq!(end_of_epoch(&mut client, &topic, 3).await, (-1, -1));
}

#[tokio::test]
async fn too_few_replicas_refuse_what_all_must_have() {
    let (broker, topic) = start(3, "2").await;
    let mut client = connect(&broker, 0).await;
    broker.stop_node(2).expect("stop node 2");
    append(&mut client, &topic, 0, &Batch::of(["two are enough"])).await;
    broker.stop_node(1).expect("stop node 1");
    let batch = Batch::of(["one is not"]).encode();
    let refused = produce(&mut client, &topic, 0, batch.clone()).await;
    assert_eq!(
        refused.error_code.err(),
        Some(ResponseError::NotEnoughReplicas)
    );
    let request = produce_request(&topic, 0, batch.clone()).with_acks(1);
    let response = client.send(PRODUCE, request).await;
    let taken = only(only(response.responses).partition_responses);
    assert_eq!(taken.error_code.err(), None, "the leader alone was asked");
    broker.start_node(1).expect("start node 1");
    let taken = produce(&mut client, &topic, 0, batch).await;
    assert_eq!(taken.error_code.err(), None, "both are in sync again");
}

#[tokio::test]
async fn a_partition_that_nobody_could_lead_is_not_added() {
    let (broker, topic) = start(1, "1").await;
    broker.stop_node(2).expect("stop node 2");
    let mut client = connect(&broker, 0).await;
    for (node, expected) in [
        (2, Some(ResponseError::InvalidReplicaAssignment)),
        (1, None),
    ] {
        let assignment =
            CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(node)]);
        let topic = CreatePartitionsTopic::default()
            .with_name(topic.topic_name())
            .with_count(2)
            .with_assignments(Some(vec![assignment]));
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
        let result = only(client.send(3, request).await.results);
        assert_eq!(
            result.error_code.err(),
            expected,
            "{:?}",
            result.error_message
        );
    }
}
