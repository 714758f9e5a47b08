//! CreateTopics and DeleteTopics.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest,
};
use uuid::Uuid;

use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::records::Batch;
use crate::support::topic::{EARLIEST, Topic, creatable, list_offset, only, produce, topic_name};
use crate::support::wait::{DEADLINE, eventually};

async fn create(client: &mut RawClient, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(10_000);
    client.send(7, request).await.topics
}

async fn error_of_creating(client: &mut RawClient, topic: CreatableTopic) -> Option<ResponseError> {
    only(create(client, vec![topic]).await).error_code.err()
}

fn config(name: &'static str, value: Option<&'static str>) -> CreatableTopicConfig {
    CreatableTopicConfig::default()
        .with_name(name.into())
        .with_value(value.map(Into::into))
}

async fn exists(client: &mut RawClient, name: &str) -> bool {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(false);
    only(client.send(12, request).await.topics).error_code == 0
}

async fn some_node(client: &mut RawClient) -> BrokerId {
    client
        .send(12, MetadataRequest::default().with_topics(Some(vec![])))
        .await
        .controller_id
}

/// Every version creates; "results in request order".
#[tokio::test]
async fn topics_are_created_in_every_version() {
    let mut client = RawClient::connect().await;
    for version in 2..=7 {
        let names: Vec<String> = ["zebra", "ant", "mole"]
            .iter()
            .map(|animal| unique(animal))
            .collect();
        let topics = names.iter().map(|name| creatable(name, 1)).collect();
        let request = CreateTopicsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(10_000);
        let results = client.send(version, request).await.topics;
        let answered: Vec<String> = results
            .iter()
            .map(|result| result.name.to_string())
            .collect();
        assert_eq!(answered, names, "version {version}");
        for result in results {
            assert_eq!(
                result.error_code.err(),
                None,
                "version {version}: {:?}",
                result.error_message
            );
        }
    }
}

/// From version 5 the answer tells what was made of the request: partitions, replicas and settings; from 7 also the id.
#[tokio::test]
async fn the_answer_describes_the_topic() {
    let mut client = RawClient::connect().await;
    let topic = creatable(&unique("described"), 2)
        .with_configs(vec![config("retention.ms", Some("60000"))]);
    let result = only(create(&mut client, vec![topic]).await);
    assert_eq!(result.error_code.err(), None);
    assert_eq!((result.num_partitions, result.replication_factor), (2, 1));
    assert_ne!(result.topic_id, Uuid::nil());
    let configs = result.configs.expect("settings");
    let retention = configs
        .iter()
        .find(|config| config.name.as_str() == "retention.ms")
        .expect("retention.ms");
    assert_eq!(retention.value.as_deref(), Some("60000"));
    assert_eq!(retention.config_source, 1, "set on the topic");
    let cleanup = configs
        .iter()
        .find(|config| config.name.as_str() == "cleanup.policy")
        .expect("cleanup.policy");
    assert_eq!(
        (cleanup.value.as_deref(), cleanup.config_source),
        (Some("delete"), 5),
        "the default"
    );
}

/// `-1` asks for the broker's defaults (version 4, KIP-464): 3 partitions, 1 replica.
#[tokio::test]
async fn minus_one_takes_the_defaults() {
    let mut client = RawClient::connect().await;
    let topic = creatable(&unique("default"), -1).with_replication_factor(-1);
    let result = only(create(&mut client, vec![topic]).await);
    assert_eq!(
        (
            result.error_code.err(),
            result.num_partitions,
            result.replication_factor
        ),
        (None, 3, 1)
    );
}

/// `validate_only` answers as if, and creates nothing.
#[tokio::test]
async fn validating_creates_nothing() {
    let mut client = RawClient::connect().await;
    let name = unique("validated");
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_validate_only(true);
    let good = only(
        client
            .send(7, request.clone().with_topics(vec![creatable(&name, 2)]))
            .await
            .topics,
    );
    assert_eq!((good.error_code.err(), good.num_partitions), (None, 2));
    let bad = only(
        client
            .send(7, request.with_topics(vec![creatable(&name, 0)]))
            .await
            .topics,
    );
    assert_eq!(bad.error_code.err(), Some(ResponseError::InvalidPartitions));
    assert!(!exists(&mut client, &name).await);
}

/// A name is taken once.
#[tokio::test]
async fn a_name_is_taken_once() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let again = error_of_creating(&mut client, creatable(&topic.name, 1)).await;
    assert_eq!(again, Some(ResponseError::TopicAlreadyExists));
}

/// "Duplicate topic => INVALID_REQUEST(42)", answered once; the others are created.
#[tokio::test]
async fn a_name_given_twice_is_refused() {
    let mut client = RawClient::connect().await;
    let (twice, once) = (unique("twice"), unique("once"));
    let topics = vec![
        creatable(&twice, 1),
        creatable(&once, 1),
        creatable(&twice, 1),
    ];
    let results = create(&mut client, topics).await;
    assert_eq!(results.len(), 2, "{results:?}");
    let error_of = |name: &str| {
        results
            .iter()
            .find(|result| *result.name == *name)
            .expect("an answer")
            .error_code
            .err()
    };
    assert_eq!(error_of(&twice), Some(ResponseError::InvalidRequest));
    assert_eq!(error_of(&once), None);
    assert!(!exists(&mut client, &twice).await);
}

/// "Names: 1..249 of [a-zA-Z0-9._-], not "." / ".."."
#[tokio::test]
async fn illegal_names_are_refused() {
    let mut client = RawClient::connect().await;
    let too_long = "x".repeat(250);
    for name in [
        "",
        ".",
        "..",
        "a b",
        "a/b",
        "ünicode",
        "a\0b",
        too_long.as_str(),
    ] {
        let error = error_of_creating(&mut client, creatable(name, 1)).await;
        assert_eq!(
            error,
            Some(ResponseError::InvalidTopicException),
            "{name:?}"
        );
    }
}

/// "`.`/`_` collisions => INVALID_TOPIC_EXCEPTION": metric names cannot tell them apart.
#[tokio::test]
async fn names_that_differ_in_dot_and_underscore_collide() {
    let mut client = RawClient::connect().await;
    let stem = unique("collide");
    let first = error_of_creating(&mut client, creatable(&format!("{stem}.a_b"), 1)).await;
    assert_eq!(first, None);
    let second = error_of_creating(&mut client, creatable(&format!("{stem}_a.b"), 1)).await;
    assert_eq!(second, Some(ResponseError::InvalidTopicException));
}

/// Partitions must be at least 1, replicas at least 1 and at most as many as there are brokers.
#[tokio::test]
async fn impossible_counts_are_refused() {
    let mut client = RawClient::connect().await;
    for partitions in [0, -2] {
        let error = error_of_creating(&mut client, creatable(&unique("count"), partitions)).await;
        assert_eq!(
            error,
            Some(ResponseError::InvalidPartitions),
            "{partitions}"
        );
    }
    for replicas in [0, -2, 100] {
        let topic = creatable(&unique("count"), 1).with_replication_factor(replicas);
        let error = error_of_creating(&mut client, topic).await;
        assert_eq!(
            error,
            Some(ResponseError::InvalidReplicationFactor),
            "{replicas}"
        );
    }
}

/// A topic may say itself where its replicas live; "together with num_partitions != -1 => INVALID_REQUEST".
#[tokio::test]
async fn replicas_may_be_placed_by_hand() {
    let mut client = RawClient::connect().await;
    let node = some_node(&mut client).await;
    let place = |partition, nodes: Vec<BrokerId>| {
        CreatableReplicaAssignment::default()
            .with_partition_index(partition)
            .with_broker_ids(nodes)
    };
    let placed = |assignments| {
        creatable(&unique("placed"), -1)
            .with_replication_factor(-1)
            .with_assignments(assignments)
    };

    let both = placed(vec![place(1, vec![node]), place(0, vec![node])]);
    let result = only(create(&mut client, vec![both]).await);
    assert_eq!((result.error_code.err(), result.num_partitions), (None, 2));

    let counted = placed(vec![place(0, vec![node])]).with_num_partitions(1);
    assert_eq!(
        error_of_creating(&mut client, counted).await,
        Some(ResponseError::InvalidRequest)
    );
    let unknown_node = placed(vec![place(0, vec![BrokerId(4711)])]);
    assert_eq!(
        error_of_creating(&mut client, unknown_node).await,
        Some(ResponseError::InvalidReplicaAssignment)
    );
    let same_node_twice = placed(vec![place(0, vec![node, node])]);
    assert_eq!(
        error_of_creating(&mut client, same_node_twice).await,
        Some(ResponseError::InvalidReplicaAssignment)
    );
    let nowhere = placed(vec![place(0, vec![])]);
    assert_eq!(
        error_of_creating(&mut client, nowhere).await,
        Some(ResponseError::InvalidReplicaAssignment)
    );
    let gap = placed(vec![place(0, vec![node]), place(2, vec![node])]);
    assert_eq!(
        error_of_creating(&mut client, gap).await,
        Some(ResponseError::InvalidReplicaAssignment)
    );
}

/// "Unknown key or bad value => INVALID_CONFIG(40)."
#[tokio::test]
async fn impossible_settings_are_refused() {
    let mut client = RawClient::connect().await;
    let impossible = [
        config("no.such.setting", Some("1")),
        config("retention.ms", Some("soon")),
        config("retention.ms", Some("-2")),
        config("cleanup.policy", Some("shred")),
        config("cleanup.policy", None),
        config("message.timestamp.type", Some("SometimeTime")),
        config("compression.type", Some("zip")),
        config("max.message.bytes", Some("-1")),
        config("min.insync.replicas", Some("0")),
        config("segment.bytes", Some("1")),
        config("preallocate", Some("perhaps")),
    ];
    for config in impossible {
        let topic = creatable(&unique("config"), 1).with_configs(vec![config.clone()]);
        let error = error_of_creating(&mut client, topic).await;
        assert_eq!(error, Some(ResponseError::InvalidConfig), "{config:?}");
    }
}

/// Every version deletes by name; afterwards the topic is unknown to Metadata, Produce and ListOffsets.
#[tokio::test]
async fn topics_are_deleted_by_name() {
    let mut client = RawClient::connect().await;
    for version in 1..=6 {
        let topic = Topic::create(1).await;
        let request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
        let request = if version == 6 {
            request.with_topics(vec![
                DeleteTopicState::default().with_name(Some(topic.topic_name())),
            ])
        } else {
            request.with_topic_names(vec![topic.topic_name()])
        };
        let result = only(client.send(version, request).await.responses);
        assert_eq!(
            (result.error_code.err(), result.name),
            (None, Some(topic.topic_name())),
            "version {version}"
        );
        eventually(DEADLINE, "metadata without the topic", async || {
            (!exists(&mut client, &topic.name).await).then_some(())
        })
        .await;
        let produced = produce(&mut client, &topic, 0, Batch::of(["late"]).encode()).await;
        assert_eq!(
            produced.error_code.err(),
            Some(ResponseError::UnknownTopicOrPartition)
        );
        let listed = list_offset(&mut client, &topic, 0, EARLIEST).await;
        assert_eq!(
            listed.error_code.err(),
            Some(ResponseError::UnknownTopicOrPartition)
        );
    }
}

/// "v6 by id"; the answer names the topic.
#[tokio::test]
async fn topics_are_deleted_by_id() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let by_id = |id| {
        DeleteTopicState::default()
            .with_name(None)
            .with_topic_id(id)
    };
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
    let result = only(
        client
            .send(6, request.clone().with_topics(vec![by_id(topic.id)]))
            .await
            .responses,
    );
    assert_eq!(
        (result.error_code.err(), result.name, result.topic_id),
        (None, Some(topic.topic_name()), topic.id)
    );
    let unknown = only(
        client
            .send(6, request.with_topics(vec![by_id(Uuid::new_v4())]))
            .await
            .responses,
    );
    assert_eq!(
        unknown.error_code.err(),
        Some(ResponseError::UnknownTopicId)
    );
}

/// A name that is not there is told as such and stops no other.
#[tokio::test]
async fn a_missing_name_stops_no_other() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let names = vec![topic_name(&unique("missing")), topic.topic_name()];
    let request = DeleteTopicsRequest::default()
        .with_topic_names(names.clone())
        .with_timeout_ms(10_000);
    let results = client.send(5, request).await.responses;
    let error_of = |name| {
        results
            .iter()
            .find(|result| result.name.as_ref() == Some(name))
            .expect("result")
            .error_code
            .err()
    };
    assert_eq!(
        error_of(&names[0]),
        Some(ResponseError::UnknownTopicOrPartition)
    );
    assert_eq!(error_of(&names[1]), None);
}

/// Name and id together say two things: INVALID_REQUEST, and the topic stays.
#[tokio::test]
async fn name_and_id_together_are_refused() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let both = DeleteTopicState::default()
        .with_name(Some(topic.topic_name()))
        .with_topic_id(topic.id);
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![both])
        .with_timeout_ms(10_000);
    let result = only(client.send(6, request).await.responses);
    assert_eq!(result.error_code.err(), Some(ResponseError::InvalidRequest));
    assert!(exists(&mut client, &topic.name).await);
}
