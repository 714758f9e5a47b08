//! IncrementalAlterConfigs on topics: what it changes, and what it refuses.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use kafka_protocol::messages::{
    AlterConfigsRequest, CreateTopicsRequest, IncrementalAlterConfigsRequest,
};

use super::{because, replacement};
use crate::support::broker::unique;
use crate::support::configs::{
    APPEND, BROKER, BROKER_LOGGER, Change, DEFAULT, DELETE, GROUP, ON_TOPIC, SET, SUBTRACT, TOPIC,
    alter, alter_all, changes, config, node, refusal, set, text, until_value,
};
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, creatable, only};

/// "SET/DELETE": a value is set and, deleted, goes back to what holds without it; in every version.
#[tokio::test]
async fn a_value_is_set_and_deleted() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for version in 0..=1 {
        let request = |operation, value| {
            IncrementalAlterConfigsRequest::default().with_resources(vec![changes(
                TOPIC,
                &topic.name,
                &[("segment.ms", operation, value)],
            )])
        };
        let response = only(
            client
                .send(version, request(SET, Some("60000")))
                .await
                .responses,
        );
        assert_eq!(refusal(response.error_code, response.error_message), None);
        let described = until_value(&mut client, TOPIC, &topic.name, "segment.ms", "60000").await;
        assert_eq!(described.config_source, ON_TOPIC);
        let response = only(client.send(version, request(DELETE, None)).await.responses);
        assert_eq!(refusal(response.error_code, response.error_message), None);
        let default = "604800000";
        let described = until_value(&mut client, TOPIC, &topic.name, "segment.ms", default).await;
        assert_eq!(described.config_source, DEFAULT);
    }
}

/// A list that is not set begins with its default: appending `compact` gives `delete,compact`. What is there already is not
/// added again, and one from which everything was taken is the empty list.
#[tokio::test]
async fn lists_grow_from_their_default_and_shrink() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let steps = [
        (APPEND, "compact", "delete,compact"),
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "compact", ""),
        (APPEND, "compact", "compact"),
        (SET, "compact, delete,compact", "compact,delete"),
    ];
    for (operation, value, result) in steps {
        let change = [("cleanup.policy", operation, Some(value))];
        set(&mut client, TOPIC, &topic.name, &change).await;
        until_value(&mut client, TOPIC, &topic.name, "cleanup.policy", result).await;
    }
}

/// Values are described as they were understood, not as they were written.
#[tokio::test]
async fn values_are_described_in_one_form() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let values = [
        ("preallocate", " TRUE ", "true"),
        ("min.cleanable.dirty.ratio", "1", "1.0"),
        ("retention.ms", "+5", "5"),
        (
            "leader.replication.throttled.replicas",
            "0:1,1:2",
            "0:1,1:2",
        ),
        ("follower.replication.throttled.replicas", "*", "*"),
    ];
    for (key, given, described) in values {
        set(&mut client, TOPIC, &topic.name, &[(key, SET, Some(given))]).await;
        until_value(&mut client, TOPIC, &topic.name, key, described).await;
    }
}

/// What a topic's configuration cannot be, with Apache Kafka's words, from IncrementalAlterConfigs and CreateTopics alike.
#[tokio::test]
async fn impossible_values_are_refused_with_a_reason() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let throttled = "leader.replication.throttled.replicas";
    let cases = [
        ("no.such.key", "1", "Unknown topic config name: no.such.key"),
        (
            "retention.ms",
            "soon",
            "Invalid value soon for configuration retention.ms: Not a number of type LONG",
        ),
        (
            "retention.ms",
            "",
            "Invalid value  for configuration retention.ms: Not a number of type LONG",
        ),
        (
            "retention.ms",
            "-2",
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (
            "max.message.bytes",
            "5000000000",
            "Invalid value 5000000000 for configuration max.message.bytes: Not a number of type INT",
        ),
        (
            "segment.bytes",
            "100",
            "Invalid value 100 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            "compression.zstd.level",
            "23",
            "Invalid value 23 for configuration compression.zstd.level: Value must be no more than 22",
        ),
        (
            "compression.gzip.level",
            "0",
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            "cleanup.policy",
            "shred",
            "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            "message.timestamp.type",
            "Now",
            "Invalid value Now for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
        ),
        (
            "compression.type",
            "zip",
            "Invalid value zip for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        ),
        (
            "min.cleanable.dirty.ratio",
            "2",
            "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            "preallocate",
            "perhaps",
            "Invalid value perhaps for configuration preallocate: Expected value to be either true or false",
        ),
        (
            "remote.storage.enable",
            "true",
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ),
        (
            throttled,
            "0:",
            "Invalid value [0:] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
    ];
    for (key, value, message) in cases {
        let expected = because(ResponseError::InvalidConfig, message);
        let refused = alter(&mut client, TOPIC, &topic.name, &[(key, SET, Some(value))]).await;
        assert_eq!(refused, expected);
        let config = CreatableTopicConfig::default()
            .with_name(text(key))
            .with_value(Some(text(value)));
        let topic = creatable(&unique("config"), 1).with_configs(vec![config]);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        let created = only(client.send(7, request).await.topics);
        assert_eq!(refusal(created.error_code, created.error_message), expected);
    }
}

/// Two values that contradict each other, even when they come one after the other.
#[tokio::test]
async fn contradictions_are_refused() {
    let topic = Topic::create_with(1, &[("min.compaction.lag.ms", "10")]).await;
    let mut client = RawClient::connect().await;
    let change = [("max.compaction.lag.ms", SET, Some("5"))];
    assert_eq!(
        alter(&mut client, TOPIC, &topic.name, &change).await,
        because(
            ResponseError::InvalidConfig,
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"
        )
    );
}

/// Requests that make no sense, with Apache Kafka's words.
#[tokio::test]
async fn senseless_changes_are_refused() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let invalid = ResponseError::InvalidRequest;
    let invalid_config = ResponseError::InvalidConfig;
    let cases: &[(&[Change<'_>], ResponseError, &str)] = &[
        (
            &[("retention.ms", SET, None)],
            invalid,
            "Null value not supported for : retention.ms",
        ),
        (
            &[("cleanup.policy", APPEND, None)],
            invalid,
            "Null value not supported for : cleanup.policy",
        ),
        (
            &[
                ("retention.ms", SET, Some("1")),
                ("retention.ms", DELETE, None),
            ],
            invalid,
            "Error due to duplicate config keys",
        ),
        (
            &[("retention.ms", APPEND, Some("1"))],
            invalid_config,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            &[("no.such.key", SUBTRACT, Some("1"))],
            invalid_config,
            "Can't SUBTRACT to key no.such.key because its type is not LIST.",
        ),
    ];
    for (change, error, message) in cases {
        let refused = alter(&mut client, TOPIC, &topic.name, change).await;
        assert_eq!(refused, because(*error, message));
    }
    // Deleting what is not there changes nothing, not even if it could not be there.
    set(
        &mut client,
        TOPIC,
        &topic.name,
        &[("no.such.key", DELETE, None)],
    )
    .await;
    set(&mut client, TOPIC, &topic.name, &[]).await;
}

/// What cannot be altered, with Apache Kafka's words.
#[tokio::test]
async fn what_cannot_be_altered_is_refused() {
    let mut client = RawClient::connect().await;
    let node_id = node(&mut client).await;
    let missing = unique("missing");
    let invalid = ResponseError::InvalidRequest;
    let cases = [
        (
            TOPIC,
            "",
            invalid,
            "Default topic resources are not allowed.".to_owned(),
        ),
        (
            GROUP,
            "",
            invalid,
            "Default group resources are not allowed.".to_owned(),
        ),
        (
            BROKER,
            "4711",
            invalid,
            format!("Unexpected broker id, expected {node_id}, but received 4711"),
        ),
        (
            BROKER,
            "x",
            invalid,
            "Node id must be an integer, but it is: x".to_owned(),
        ),
        (
            BROKER_LOGGER,
            "4711",
            invalid,
            format!("Unexpected node id. Expected {node_id}, but received 4711"),
        ),
        (
            BROKER_LOGGER,
            "",
            invalid,
            "Node id must be an integer, but it is: ".to_owned(),
        ),
        (
            BROKER_LOGGER,
            &*node_id,
            ResponseError::InvalidConfig,
            "Logger no.such.logger does not exist!".to_owned(),
        ),
        (3, "x", invalid, "Unknown resource type 3".to_owned()),
    ];
    for (kind, name, error, message) in cases {
        let refused = alter(
            &mut client,
            kind,
            name,
            &[("no.such.logger", SET, Some("1"))],
        )
        .await;
        assert_eq!(refused, because(error, &message), "type {kind}, {name:?}");
    }
    let change = [("retention.ms", SET, Some("1"))];
    assert_eq!(
        alter(&mut client, TOPIC, &missing, &change).await,
        because(
            ResponseError::UnknownTopicOrPartition,
            &format!("The topic '{missing}' does not exist.")
        )
    );
    let illegal = alter(&mut client, TOPIC, "a/b", &[]).await;
    assert_eq!(
        illegal.map(|(error, _)| error),
        Some(ResponseError::InvalidTopicException)
    );
    // All resources of one request are named once.
    let topic = Topic::create(1).await;
    let twice = vec![
        changes(TOPIC, &topic.name, &[("retention.ms", SET, Some("1"))]),
        changes(TOPIC, &topic.name, &[("segment.ms", SET, Some("1"))]),
    ];
    for response in alter_all(&mut client, twice).await {
        assert_eq!(
            refusal(response.error_code, response.error_message),
            because(invalid, "Each resource must appear at most once.")
        );
    }
}

/// Of one resource all changes are made or none; a bad resource does not hold up a good one.
#[tokio::test]
async fn each_resource_is_altered_whole() {
    let (good, bad) = (Topic::create(1).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    let resources = vec![
        changes(
            TOPIC,
            &bad.name,
            &[
                ("retention.ms", SET, Some("5")),
                ("segment.ms", SET, Some("x")),
            ],
        ),
        changes(TOPIC, &good.name, &[("retention.ms", SET, Some("5"))]),
    ];
    let responses = alter_all(&mut client, resources).await;
    let error_of = |name: &str| {
        let response = responses
            .iter()
            .find(|response| &*response.resource_name == name);
        response.expect("a response").error_code.err()
    };
    assert_eq!(error_of(&bad.name), Some(ResponseError::InvalidConfig));
    assert_eq!(error_of(&good.name), None);
    until_value(&mut client, TOPIC, &good.name, "retention.ms", "5").await;
    let unchanged = config(&mut client, TOPIC, &bad.name, "retention.ms").await;
    assert_eq!(unchanged.config_source, DEFAULT);
}

/// `validate_only` answers as if, and changes nothing.
#[tokio::test]
async fn validating_alters_nothing() {
    let topic = Topic::create_with(1, &[("segment.ms", "60000")]).await;
    let mut client = RawClient::connect().await;
    for (value, expected) in [("70000", None), ("x", Some(ResponseError::InvalidConfig))] {
        let change = changes(TOPIC, &topic.name, &[("segment.ms", SET, Some(value))]);
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(vec![change])
            .with_validate_only(true);
        let response = only(client.send(1, request).await.responses);
        assert_eq!(response.error_code.err(), expected);
        let request = AlterConfigsRequest::default()
            .with_resources(vec![replacement(
                &topic.name,
                &[("segment.ms", Some(value))],
            )])
            .with_validate_only(true);
        let response = only(client.send(2, request).await.responses);
        assert_eq!(response.error_code.err(), expected);
    }
    // A change that is made afterwards shows that the others were not.
    set(
        &mut client,
        TOPIC,
        &topic.name,
        &[("retention.ms", SET, Some("5"))],
    )
    .await;
    until_value(&mut client, TOPIC, &topic.name, "retention.ms", "5").await;
    let segment = config(&mut client, TOPIC, &topic.name, "segment.ms").await;
    assert_eq!(segment.value.as_deref(), Some("60000"));
}
