//! DescribeCluster, and OffsetForLeaderEpoch: what a client learns of nodes and of changes among them.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    DescribeClusterRequest, MetadataRequest, OffsetForLeaderEpochRequest,
};

use crate::support::broker::unique;
use crate::support::configs::refusal;
use crate::support::raw::RawClient;
use crate::support::records::Batch;
use crate::support::topic::{Topic, append, only, topic_name};

/// `endpoint_type` of brokers, and of controllers.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// DescribeCluster says what Metadata says, in every version.
#[tokio::test]
async fn the_cluster_is_what_metadata_says() {
    let mut client = RawClient::connect().await;
    let request = MetadataRequest::default().with_topics(Some(vec![]));
    let metadata = client.send(12, request).await;
    for version in 0..=2 {
        let request = DescribeClusterRequest::default().with_endpoint_type(BROKERS);
        let cluster = client.send(version, request).await;
        assert_eq!(
            refusal(cluster.error_code, cluster.error_message),
            None,
            "version {version}"
        );
        assert_eq!(Some(&cluster.cluster_id), metadata.cluster_id.as_ref());
        let broker = only(cluster.brokers);
        let same = only(metadata.brokers.clone());
        assert_eq!(
            (broker.broker_id, broker.host, broker.port, broker.rack),
            (same.node_id, same.host, same.port, same.rack)
        );
        assert!(!broker.is_fenced);
        assert_eq!(cluster.controller_id, same.node_id);
        assert_eq!(cluster.cluster_authorized_operations, i32::MIN, "not asked");
    }
}

/// Without an authorizer everybody may do everything: create, alter, describe, cluster action, describe configs, alter
/// configs, idempotent write.
#[tokio::test]
async fn everything_is_allowed() {
    let mut client = RawClient::connect().await;
    for version in 0..=2 {
        let request =
            DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        let cluster = client.send(version, request).await;
        let operations = [5, 7, 8, 9, 10, 11, 12];
        let expected = operations.iter().map(|bit| 1 << bit).sum::<i32>();
        assert_eq!(cluster.cluster_authorized_operations, expected);
    }
}

/// A broker does not answer for the controllers (KIP-919), nor for anybody else.
#[tokio::test]
async fn only_brokers_are_described() {
    let mut client = RawClient::connect().await;
    let cases = [
        (
            CONTROLLERS,
            ResponseError::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        ),
        (
            3,
            ResponseError::UnsupportedEndpointType,
            "Unsupported endpoint type 3",
        ),
    ];
    for version in 1..=2 {
        for (endpoint, error, message) in cases {
            let request = DescribeClusterRequest::default().with_endpoint_type(endpoint);
            let cluster = client.send(version, request).await;
            assert_eq!(
                refusal(cluster.error_code, cluster.error_message),
                Some((error, message.to_owned()))
            );
            assert!(cluster.brokers.is_empty() && cluster.cluster_id.is_empty());
        }
    }
}

/// The end of `epoch` for a client that believes in `current`: epoch and offset.
async fn end_of_epoch(
    client: &mut RawClient,
    version: i16,
    (topic, partition): (&str, i32),
    current: i32,
    epoch: i32,
) -> Result<(i32, i64), ResponseError> {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(current)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic_name(topic))
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic]);
    let answer = only(only(client.send(version, request).await.topics).partitions);
    let end = (answer.leader_epoch, answer.end_offset);
    match answer.error_code.err() {
        None => Ok(end),
        Some(error) => {
            assert_eq!(end, (-1, -1));
            Err(error)
        }
    }
}

/// The epoch that goes on ends where the log ends; one that is yet to come, or none, is not known; one before the first
/// ends where the log starts. Version 2 is the only one that librdkafka speaks.
#[tokio::test]
async fn an_epoch_has_an_end() {
    const UNKNOWN: (i32, i64) = (-1, -1);
    let topic = Topic::create(2).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["a", "b"])).await;
    for version in 2..=4 {
        let cases = [
            (-1, 0, (0, 2)),
            (0, 0, (0, 2)),
            (-1, 1, UNKNOWN),
            (-1, 5, UNKNOWN),
            (-1, -1, UNKNOWN),
            (-1, -2, (-2, 0)),
        ];
        for (current, epoch, end) in cases {
            let partition = (&*topic.name, 0);
            assert_eq!(
                end_of_epoch(&mut client, version, partition, current, epoch).await,
                Ok(end),
                "version {version}, epoch {epoch}"
            );
        }
        let empty = (&*topic.name, 1);
        assert_eq!(
            end_of_epoch(&mut client, version, empty, -1, 0).await,
            Ok((0, 0))
        );
    }
}

/// A client that believes in a leader to come is told so, and what does not exist is not known.
#[tokio::test]
async fn an_epoch_to_come_is_not_known() {
    let topic = Topic::create(1).await;
    let missing = unique("missing");
    let mut client = RawClient::connect().await;
    for version in 2..=4 {
        assert_eq!(
            end_of_epoch(&mut client, version, (&topic.name, 0), 1, 0).await,
            Err(ResponseError::UnknownLeaderEpoch)
        );
        for partition in [(&*topic.name, 9), (&*missing, 0)] {
            assert_eq!(
                end_of_epoch(&mut client, version, partition, -1, 0).await,
                Err(ResponseError::UnknownTopicOrPartition)
            );
        }
    }
}
