//! Metadata: what there is and who leads it.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{DeleteTopicsRequest, MetadataRequest, MetadataResponse};
use uuid::Uuid;

use crate::support::broker::{broker, unique};
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, creatable, only, topic_name};
use crate::support::wait::{DEADLINE, eventually};

/// A question about one name, creating nothing.
fn about(name: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(false)
}

async fn describe(client: &mut RawClient, name: &str) -> MetadataResponseTopic {
    only(client.send(12, about(name)).await.topics)
}

fn names(answer: &MetadataResponse) -> Vec<String> {
    answer
        .topics
        .iter()
        .flat_map(|topic| topic.name.as_ref())
        .map(|name| name.to_string())
        .collect()
}

/// "null list = all topics, empty list (v1+) = none"; in version 0 the empty list still means all.
#[tokio::test]
async fn null_asks_for_all_topics_and_empty_for_none() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for version in 1..=13 {
        let all = client
            .send(version, MetadataRequest::default().with_topics(None))
            .await;
        assert!(names(&all).contains(&topic.name), "version {version}");
        let none = client
            .send(
                version,
                MetadataRequest::default().with_topics(Some(vec![])),
            )
            .await;
        assert!(none.topics.is_empty(), "version {version}");
        assert!(!none.brokers.is_empty(), "brokers are always listed");
    }
    let all = client
        .send(0, MetadataRequest::default().with_topics(Some(vec![])))
        .await;
    assert!(names(&all).contains(&topic.name), "version 0");
}

/// "Leader epoch, replicas, ISR filled": every partition names one of the brokers listed, and is in sync with itself.
#[tokio::test]
async fn partitions_name_their_leader_and_replicas() {
    let topic = Topic::create(3).await;
    let mut client = RawClient::connect().await;
    for version in 0..=13 {
        let request = if version >= 4 {
            about(&topic.name)
        } else {
            about(&topic.name).with_allow_auto_topic_creation(true)
        };
        let answer = client.send(version, request).await;
        let brokers: Vec<_> = answer.brokers.iter().map(|broker| broker.node_id).collect();
        let described = only(answer.topics);
        assert_eq!(described.error_code.err(), None);
        assert_eq!(described.name, Some(topic.topic_name()));
        assert!(!described.is_internal);
        let mut partitions = described.partitions;
        partitions.sort_by_key(|partition| partition.partition_index);
        let indexes: Vec<_> = partitions
            .iter()
            .map(|partition| partition.partition_index)
            .collect();
        assert_eq!(indexes, [0, 1, 2], "version {version}");
        for partition in partitions {
            assert_eq!(partition.error_code.err(), None);
            assert!(brokers.contains(&partition.leader_id), "{partition:?}");
            assert_eq!(partition.replica_nodes, [partition.leader_id]);
            assert_eq!(partition.isr_nodes, [partition.leader_id]);
            assert!(partition.offline_replicas.is_empty());
            if version >= 7 {
                assert!(
                    partition.leader_epoch >= 0,
                    "version {version}: {partition:?}"
                );
            }
        }
    }
}

/// The address that a client was given is the address that it is told, and one of the brokers is the controller.
#[tokio::test]
async fn brokers_cluster_and_controller_are_named() {
    let mut client = RawClient::connect().await;
    let answer = client
        .send(12, MetadataRequest::default().with_topics(Some(vec![])))
        .await;
    let addresses: Vec<_> = answer
        .brokers
        .iter()
        .map(|broker| format!("{}:{}", broker.host.as_str(), broker.port))
        .collect();
    assert!(
        broker()
            .await
            .split(',')
            .all(|address| addresses.iter().any(|known| known == address)),
        "{addresses:?}"
    );
    assert!(
        answer
            .brokers
            .iter()
            .any(|broker| broker.node_id == answer.controller_id),
        "{answer:?}"
    );
    assert!(answer.cluster_id.is_some_and(|id| !id.is_empty()));
}

/// "By unknown id => UNKNOWN_TOPIC_ID(100)"; a known id is answered with the name.
#[tokio::test]
async fn topics_are_found_by_id() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let by_id = |id| {
        let topic = MetadataRequestTopic::default()
            .with_topic_id(id)
            .with_name(None);
        MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(false)
    };
    let known = only(client.send(12, by_id(topic.id)).await.topics);
    assert_eq!(
        (known.error_code.err(), known.name, known.topic_id),
        (None, Some(topic.topic_name()), topic.id)
    );
    let unknown = Uuid::new_v4();
    let answer = only(client.send(12, by_id(unknown)).await.topics);
    assert_eq!(answer.error_code.err(), Some(ResponseError::UnknownTopicId));
    assert_eq!((answer.name, answer.topic_id), (None, unknown));
}

/// "Illegal name => INVALID_TOPIC_EXCEPTION(17)", whether or not the topic may be created.
#[tokio::test]
async fn illegal_names_are_named_as_such() {
    let mut client = RawClient::connect().await;
    let too_long = "x".repeat(250);
    for name in ["bad name", ".", "..", "a/b", "ünicode", too_long.as_str()] {
        for create in [false, true] {
            let answer = only(
                client
                    .send(12, about(name).with_allow_auto_topic_creation(create))
                    .await
                    .topics,
            );
            assert_eq!(
                answer.error_code.err(),
                Some(ResponseError::InvalidTopicException),
                "{name:?}"
            );
        }
    }
    let longest = unique(&"x".repeat(230));
    let longest = format!("{longest:x<249}");
    let answer = describe(&mut client, &longest).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::UnknownTopicOrPartition),
        "249 characters are legal"
    );
}

/// "Unknown name + allow_auto_topic_creation + auto-create on => create with num.partitions", here 3.
#[tokio::test]
async fn asking_may_create_a_topic() {
    let mut client = RawClient::connect().await;
    for version in [1, 4, 12] {
        let name = unique("asked");
        let request = about(&name).with_allow_auto_topic_creation(true);
        let created = eventually(DEADLINE, "the topic to be created", async || {
            let answer = only(client.send(version, request.clone()).await.topics);
            (answer.error_code == 0).then_some(answer)
        })
        .await;
        assert_eq!(created.partitions.len(), 3, "version {version}");
    }
}

/// "Else UNKNOWN_TOPIC_OR_PARTITION(3)", and nothing comes into being.
#[tokio::test]
async fn asking_without_permission_creates_nothing() {
    let mut client = RawClient::connect().await;
    let name = unique("unasked");
    for _ in 0..2 {
        let answer = describe(&mut client, &name).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::UnknownTopicOrPartition)
        );
        assert_eq!(answer.name, Some(topic_name(&name)));
        assert!(answer.partitions.is_empty());
        assert_eq!(answer.topic_id, Uuid::nil());
    }
}

/// Bits of Kafka's AclOperation: CREATE 5, ALTER 7, DESCRIBE 8, CLUSTER_ACTION 9, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11,
/// IDEMPOTENT_WRITE 12.
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// READ 3, WRITE 4, CREATE 5, DELETE 6, ALTER 7, DESCRIBE 8, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11.
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;

/// "`authorized_operations` = i32::MIN unless asked for"; without an authorizer everything is allowed.
#[tokio::test]
async fn authorized_operations_are_told_when_asked() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for version in [8, 10] {
        let answer = client.send(version, about(&topic.name)).await;
        assert_eq!(answer.cluster_authorized_operations, i32::MIN);
        assert_eq!(only(answer.topics).topic_authorized_operations, i32::MIN);
        let request = about(&topic.name)
            .with_include_cluster_authorized_operations(true)
            .with_include_topic_authorized_operations(true);
        let answer = client.send(version, request).await;
        assert_eq!(answer.cluster_authorized_operations, CLUSTER_OPERATIONS);
        assert_eq!(
            only(answer.topics).topic_authorized_operations,
            TOPIC_OPERATIONS
        );
    }
}

/// "A recreated topic gets a new id."
#[tokio::test]
async fn a_recreated_topic_has_a_new_id() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let delete = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic.topic_name()])
        .with_timeout_ms(10_000);
    assert_eq!(
        only(client.send(4, delete).await.responses)
            .error_code
            .err(),
        None
    );
    let create = kafka_protocol::messages::CreateTopicsRequest::default()
        .with_topics(vec![creatable(&topic.name, 1)])
        .with_timeout_ms(10_000);
    let created = only(client.send(7, create).await.topics);
    assert_eq!(created.error_code.err(), None);
    assert_ne!(created.topic_id, topic.id);
    eventually(DEADLINE, "metadata with the new id", async || {
        (describe(&mut client, &topic.name).await.topic_id == created.topic_id).then_some(())
    })
    .await;
}

/// Several names are answered each on its own: one that is missing does not hide another.
#[tokio::test]
async fn each_name_is_answered_on_its_own() {
    let topic = Topic::create(1).await;
    let missing = unique("missing");
    let mut client = RawClient::connect().await;
    let topics = [&missing, &topic.name]
        .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
        .to_vec();
    let request = MetadataRequest::default()
        .with_topics(Some(topics))
        .with_allow_auto_topic_creation(false);
    let answer = client.send(12, request).await;
    let error_of = |name: &str| {
        let topic = answer
            .topics
            .iter()
            .find(|topic| topic.name == Some(topic_name(name)))
            .expect("an answer");
        topic.error_code.err()
    };
    assert_eq!(answer.topics.len(), 2);
    assert_eq!(error_of(&topic.name), None);
    assert_eq!(
        error_of(&missing),
        Some(ResponseError::UnknownTopicOrPartition)
    );
}
