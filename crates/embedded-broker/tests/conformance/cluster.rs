//! DescribeCluster, DescribeTopicPartitions and OffsetForLeaderEpoch: what a client learns of nodes, of what they lead, and
//! of changes among them.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    MetadataRequest, OffsetForLeaderEpochRequest,
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

/// A page of at most `limit` partitions of these topics, from a topic and partition on.
fn page(topics: &[&str], limit: i32, start: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
    let topics = topics
        .iter()
        .map(|name| TopicRequest::default().with_name(topic_name(name)));
    let cursor = start.map(|(topic, partition)| {
        Cursor::default()
            .with_topic_name(topic_name(topic))
            .with_partition_index(partition)
    });
    DescribeTopicPartitionsRequest::default()
        .with_topics(topics.collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor)
}

/// Each topic's name, error and partitions, and where the next page begins.
type Page = (
    Vec<(String, Option<ResponseError>, Vec<i32>)>,
    Option<(String, i32)>,
);

fn read(response: DescribeTopicPartitionsResponse) -> Page {
    let topics = response.topics.into_iter().map(|topic| {
        let name = topic.name.expect("a name").to_string();
        let partitions = topic.partitions.iter();
        let indexes = partitions.map(|partition| partition.partition_index);
        (name, topic.error_code.err(), indexes.collect())
    });
    let next = response
        .next_cursor
        .map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (topics.collect(), next)
}

/// Two topics of three partitions, in the order of their names.
async fn two_topics() -> (Topic, Topic) {
    let (one, other) = (Topic::create(3).await, Topic::create(3).await);
    match one.name < other.name {
        true => (one, other),
        false => (other, one),
    }
}

/// Topics come in the order of their names, each once; a page ends after so many partitions and says where to go on.
#[tokio::test]
async fn topics_are_described_page_by_page() {
    let (first, second) = two_topics().await;
    let (a, b) = (&*first.name, &*second.name);
    let all = vec![0, 1, 2];
    let mut client = RawClient::connect().await;
    let topic = |name: &str, partitions: &[i32]| (name.to_owned(), None, partitions.to_vec());
    let cursor = |name: &str, partition| Some((name.to_owned(), partition));
    let cases: Vec<(DescribeTopicPartitionsRequest, Page)> = vec![
        (
            page(&[b, a, b], 2_000, None),
            (vec![topic(a, &all), topic(b, &all)], None),
        ),
        (
            page(&[a, b], 6, None),
            (vec![topic(a, &all), topic(b, &all)], None),
        ),
        (
            page(&[a, b], 2, None),
            (vec![topic(a, &[0, 1])], cursor(a, 2)),
        ),
        (page(&[a, b], 3, None), (vec![topic(a, &all)], cursor(b, 0))),
        (
            page(&[a, b], 2, Some((a, 2))),
            (vec![topic(a, &[2]), topic(b, &[0])], cursor(b, 1)),
        ),
        (
            page(&[a, b], 9, Some((b, 1))),
            (vec![topic(b, &[1, 2])], None),
        ),
        (
            page(&[a, b], 9, Some((a, 9))),
            (vec![topic(a, &[]), topic(b, &all)], None),
        ),
        // At least one partition is described, or nobody would get on.
        (page(&[a], 0, None), (vec![topic(a, &[0])], cursor(a, 1))),
    ];
    for (request, expected) in cases {
        let asked = format!("{request:?}");
        assert_eq!(read(client.send(0, request).await), expected, "{asked}");
    }
}

/// A partition is described as by Metadata, and with the replicas that might lead although they are not in sync: none.
#[tokio::test]
async fn a_partition_is_what_metadata_says() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let request = page(&[&topic.name], 2_000, None);
    let described = only(client.send(0, request).await.topics);
    assert_eq!(
        (described.topic_id, described.is_internal),
        (topic.id, false)
    );
    // Read, write, create, delete, alter, describe, describe configs, alter configs.
    let operations = [3, 4, 5, 6, 7, 8, 10, 11].iter().map(|bit| 1 << bit);
    assert_eq!(
        described.topic_authorized_operations,
        operations.sum::<i32>()
    );
    let partition = only(described.partitions);
    let request = MetadataRequest::default().with_topics(Some(vec![]));
    let node = only(client.send(12, request).await.brokers).node_id;
    assert_eq!((partition.leader_id, partition.leader_epoch), (node, 0));
    assert_eq!(partition.replica_nodes, [node]);
    assert_eq!(partition.isr_nodes, [node]);
    assert_eq!(partition.eligible_leader_replicas, Some(vec![]));
    assert_eq!(partition.last_known_elr, Some(vec![]));
    assert!(partition.offline_replicas.is_empty());
}

/// A topic that does not exist stops no other; a page that begins nowhere is refused.
#[tokio::test]
async fn pages_that_cannot_be_are_refused() {
    let topic = Topic::create(1).await;
    let (name, missing) = (&*topic.name, &*unique("missing"));
    let mut client = RawClient::connect().await;
    let (topics, next) = read(client.send(0, page(&[name, missing], 1, None)).await);
    let unknown = Some(ResponseError::UnknownTopicOrPartition);
    assert_eq!(
        topics,
        [
            (missing.to_owned(), unknown, vec![]),
            (name.to_owned(), None, vec![0])
        ]
    );
    assert_eq!(next, None);
    for start in [(missing, 0), (name, -1)] {
        let response = client.send(0, page(&[name], 1, Some(start))).await;
        let refused = Some(ResponseError::InvalidRequest);
        assert_eq!(
            read(response),
            (vec![(name.to_owned(), refused, vec![])], None)
        );
    }
}

/// No names ask for all topics, also from a topic on that is gone.
#[tokio::test]
async fn all_topics_are_described() {
    let (first, second) = two_topics().await;
    let mut client = RawClient::connect().await;
    let mut described = Vec::new();
    let mut start = None;
    loop {
        let cursor = start
            .as_ref()
            .map(|(topic, index): &(String, i32)| (&**topic, *index));
        let (topics, next) = read(client.send(0, page(&[], 2, cursor)).await);
        for (name, error, partitions) in topics {
            // Others may be deleted by another case meanwhile.
            if [&first.name, &second.name].contains(&&name) {
                assert_eq!(error, None);
                described.extend(partitions.into_iter().map(|index| (name.clone(), index)));
            }
        }
        match next {
            Some(next) => start = Some(next),
            None => break,
        }
    }
    let of = |topic: &Topic| [0, 1, 2].map(|index| (topic.name.clone(), index));
    assert_eq!(described, [of(&first), of(&second)].concat());
    // The cursor's topic is gone: the next page begins with what follows.
    let behind_first = format!("{}-", first.name);
    let response = client.send(0, page(&[], 1, Some((&behind_first, 2)))).await;
    let (topics, _) = read(response);
    assert_eq!(topics[0].2, [0], "{topics:?}");
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
