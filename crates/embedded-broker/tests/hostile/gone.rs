//! Clients that ask for much and hang up: the broker comes to rest soon after, and what was sent without waiting for an answer
//! is kept.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeLogDirsRequest, FetchRequest, IncrementalAlterConfigsRequest,
    JoinGroupRequest, ListGroupsRequest, MetadataRequest,
};
use tokio::io::AsyncWriteExt;

use super::bombs::gzip_batch;
use super::server::Server;
use crate::support::group::group_id;
use crate::support::raw::request_frame;
use crate::support::topic::{LATEST, PRODUCE, list_offset, produce_request, topic_name};
use crate::support::wait::{DEADLINE, eventually};

/// How long the attackers push what they have to say into sockets that may be full.
const ATTACK: Duration = Duration::from_secs(1);

/// Names that are all different, and short.
fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("{number:x}"))
}

/// Four clients send this again and again, read nothing, and hang up.
async fn hit_and_run(server: &Server, frame: &Bytes) {
    let flood: Bytes = frame.repeat(((1 << 20) / frame.len()).max(1)).into();
    let attackers = (0..4).map(|_| {
        let (address, flood) = (server.address.clone(), flood.clone());
        tokio::spawn(async move {
            let mut connection = tokio::net::TcpStream::connect(address)
                .await
                .expect("connect");
            let pushing = async { while connection.write_all(&flood).await.is_ok() {} };
            let _full = tokio::time::timeout(ATTACK, pushing).await;
            connection
        })
    });
    let mut connections = Vec::new();
    for attacker in attackers.collect::<Vec<_>>() {
        connections.push(attacker.await.expect("an attacker"));
    }
    drop(connections);
}

/// Has the broker hit, and at rest soon after.
async fn recovers_from(what: &str, frame: Bytes) {
    let server = Server::start();
    server.topic("attacked", 1_000, &[]).await;
    let witness = server.witness().await;
    let files = server.open_files();
    hit_and_run(&server, &frame).await;
    let start = Instant::now();
    server.gives_up_connections(files).await;
    let given_up = start.elapsed();
    witness.was_served().await;
    server.comes_to_rest().await;
    let peak = server.peak();
    println!("{what}: connections given up after {given_up:.1?}, {peak} MiB at most");
    assert!(peak <= 400, "{what}: {peak} MiB");
    server.end();
}

#[tokio::test]
async fn metadata_of_everything() {
    recovers_from(
        "metadata",
        request_frame(12, 1, &MetadataRequest::default().with_topics(None)),
    )
    .await;
}

#[tokio::test]
async fn topics_that_are_created_by_asking_for_them() {
    let topics = names(10_000)
        .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(&name))));
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(true)
        .with_topics(Some(topics.collect()));
    recovers_from("topics", request_frame(9, 1, &request)).await;
}

#[tokio::test]
async fn groups_to_be_deleted() {
    let groups = names(60_000).map(|name| group_id(&name));
    let request = DeleteGroupsRequest::default().with_groups_names(groups.collect());
    recovers_from("groups", request_frame(2, 1, &request)).await;
}

#[tokio::test]
async fn groups_to_be_listed() {
    let states = names(60_000).map(|name| name.into());
    let request = ListGroupsRequest::default().with_states_filter(states.collect());
    recovers_from("states", request_frame(5, 1, &request)).await;
}

#[tokio::test]
async fn configurations_to_be_described() {
    let resources = names(8_000).map(|name| {
        DescribeConfigsResource::default()
            .with_resource_type(32)
            .with_resource_name(name.into())
            .with_configuration_keys(None)
    });
    let request = DescribeConfigsRequest::default()
        .with_include_synonyms(true)
        .with_resources(resources.collect());
    recovers_from("configurations", request_frame(4, 1, &request)).await;
}

#[tokio::test]
async fn a_long_list_to_be_appended() {
    let value = names(60_000).collect::<Vec<_>>().join(",");
    let config = AlterableConfig::default()
        .with_name("cleanup.policy".into())
        .with_config_operation(2)
        .with_value(Some(value.into()));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name("attacked".into())
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    recovers_from("list", request_frame(1, 1, &request)).await;
}

#[tokio::test]
async fn partitions_to_be_looked_up() {
    let topic = DescribableLogDirTopic::default()
        .with_topic(topic_name("attacked"))
        .with_partitions((0..120_000).collect());
    let request = DescribeLogDirsRequest::default().with_topics(Some(vec![topic]));
    recovers_from("partitions", request_frame(4, 1, &request)).await;
}

#[tokio::test]
async fn partitions_to_be_fetched() {
    let partitions = (0..16_000).map(|index| {
        FetchPartition::default()
            .with_partition(index % 1_000)
            .with_partition_max_bytes(i32::MAX)
    });
    let topic = FetchTopic::default()
        .with_topic(topic_name("attacked"))
        .with_partitions(partitions.collect());
    let request = FetchRequest::default()
        .with_session_epoch(-1)
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(i32::MAX)
        .with_topics(vec![topic]);
    recovers_from("fetch", request_frame(12, 1, &request)).await;
}

#[tokio::test]
async fn protocols_to_be_agreed_on() {
    let protocols =
        names(40_000).map(|name| JoinGroupRequestProtocol::default().with_name(name.into()));
    let request = JoinGroupRequest::default()
        .with_group_id(group_id("attacked"))
        .with_session_timeout_ms(i32::MAX / 2)
        .with_rebalance_timeout_ms(i32::MAX)
        .with_protocol_type("consumer".into())
        .with_protocols(protocols.collect());
    recovers_from("protocols", request_frame(3, 1, &request)).await;
}

/// Without acknowledgements a client may hang up as soon as it has sent everything, as on Apache Kafka. The topic's records have
/// to be looked into, which takes its time.
#[tokio::test]
async fn records_that_are_not_acknowledged_are_kept_all_the_same() {
    let server = Server::start();
    let topic = server
        .topic("kept", 1, &[("cleanup.policy", "compact")])
        .await;
    let batch = gzip_batch(10);
    let request = produce_request(&topic, 0, batch).with_acks(0);
    let mut producer = server.connect().await;
    let requests = request_frame(PRODUCE, 1, &request).repeat(1_000);
    producer.write_all(&requests).await.expect("write");
    drop(producer);
    let mut client = server.client().await;
    eventually(DEADLINE, "1,000 batches of 10 records", async || {
        let end = list_offset(&mut client, &topic, 0, LATEST).await.offset;
        (end == 10_000).then_some(())
    })
    .await;
    server.end();
}
