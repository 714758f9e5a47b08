//! Configurations of brokers and groups, and how topics and groups follow the broker.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::AlterConfigsRequest;

use super::{because, replacement};
use crate::support::broker::unique;
use crate::support::configs::{
    APPEND, AT_START, BROKER, Change, DEFAULT, DELETE, GROUP, ON_ALL_BROKERS, ON_BROKER, ON_GROUP,
    ON_TOPIC, SET, TOPIC, alter, ask, chain, config, node, resource, set, until_value,
};
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, only};
use crate::support::wait::{DEADLINE, eventually};

/// A broker's own value stands before that of all brokers, that before what it was started with; topics without a value of
/// their own follow, and all of it is seen in their synonyms.
///
/// One case, because all tests share the broker: no other sets anything on it.
#[tokio::test]
async fn a_brokers_values_reach_its_topics() {
    const KEY: &str = "log.flush.interval.messages";
    const LARGEST: &str = "9223372036854775807";
    let topic = Topic::create(1).await;
    let own = Topic::create_with(1, &[("flush.messages", "7")]).await;
    let mut client = RawClient::connect().await;
    let node_id = node(&mut client).await;
    let initial = config(&mut client, BROKER, &node_id, KEY).await;
    assert_eq!(
        (
            initial.value.as_deref(),
            initial.config_source,
            initial.read_only
        ),
        (Some(LARGEST), DEFAULT, false)
    );

    set(&mut client, BROKER, "", &[(KEY, SET, Some("200"))]).await;
    let described = until_value(&mut client, BROKER, &node_id, KEY, "200").await;
    assert_eq!(described.config_source, ON_ALL_BROKERS);
    let of_all = config(&mut client, BROKER, "", KEY).await;
    assert_eq!(chain(&of_all), [(KEY, Some("200"), ON_ALL_BROKERS)]);

    set(&mut client, BROKER, &node_id, &[(KEY, SET, Some("100"))]).await;
    let described = until_value(&mut client, BROKER, &node_id, KEY, "100").await;
    let of_brokers = [
        (KEY, Some("100"), ON_BROKER),
        (KEY, Some("200"), ON_ALL_BROKERS),
        (KEY, Some(LARGEST), DEFAULT),
    ];
    assert_eq!(chain(&described), of_brokers);
    let follows = until_value(&mut client, TOPIC, &topic.name, "flush.messages", "100").await;
    assert_eq!(chain(&follows), of_brokers);
    assert_eq!(follows.config_source, ON_BROKER);
    let stays = config(&mut client, TOPIC, &own.name, "flush.messages").await;
    assert_eq!(stays.value.as_deref(), Some("7"));
    assert_eq!(chain(&stays)[0], ("flush.messages", Some("7"), ON_TOPIC));
    assert_eq!(chain(&stays)[1..], of_brokers);

    // What only a plug-in could know is kept, and shown to nobody.
    let unknown = "conformance.unknown";
    set(
        &mut client,
        BROKER,
        &node_id,
        &[(unknown, SET, Some("secret"))],
    )
    .await;
    let hidden = eventually(DEADLINE, "the unknown configuration", async || {
        let keys = Some(&[unknown][..]);
        let result = ask(&mut client, resource(BROKER, &node_id, keys)).await;
        result.configs.into_iter().next()
    })
    .await;
    assert_eq!((hidden.value.as_deref(), hidden.is_sensitive), (None, true));
    assert_eq!(chain(&hidden), [(unknown, None, ON_BROKER)]);

    // The old call takes away both, but not what the broker was started with.
    let nothing = replacement(&node_id, &[]).with_resource_type(BROKER);
    let request = AlterConfigsRequest::default().with_resources(vec![nothing]);
    assert_eq!(
        only(client.send(2, request).await.responses)
            .error_code
            .err(),
        None
    );
    until_value(&mut client, TOPIC, &topic.name, "flush.messages", "200").await;
    set(&mut client, BROKER, "", &[(KEY, DELETE, None)]).await;
    until_value(&mut client, BROKER, &node_id, KEY, LARGEST).await;
    let partitions = config(&mut client, BROKER, &node_id, "num.partitions").await;
    assert_eq!(
        chain(&partitions),
        [
            ("num.partitions", Some("3"), AT_START),
            ("num.partitions", Some("1"), DEFAULT)
        ]
    );
    assert!(partitions.read_only);
}

/// What cannot be set on a broker while it runs, with Apache Kafka's words.
#[tokio::test]
async fn a_broker_refuses_what_it_was_started_with() {
    let mut client = RawClient::connect().await;
    let node_id = &*node(&mut client).await;
    let (invalid, invalid_config) = (ResponseError::InvalidRequest, ResponseError::InvalidConfig);
    let cases: &[(&str, &[Change<'_>], ResponseError, &str)] = &[
        (
            node_id,
            &[
                ("num.partitions", SET, Some("7")),
                ("node.id", SET, Some("7")),
            ],
            invalid,
            "Cannot update these configs dynamically: [node.id, num.partitions]",
        ),
        (
            "",
            &[("log.retention.hours", SET, Some("7"))],
            invalid,
            "Cannot update these configs dynamically: [log.retention.hours]",
        ),
        (
            "",
            &[("listeners", SET, Some("PLAINTEXT://:1"))],
            invalid,
            "Cannot update these configs at default cluster level, broker id must be specified: [listeners]",
        ),
        (
            node_id,
            &[("log.retention.ms", SET, Some("x"))],
            invalid,
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            node_id,
            &[("message.max.bytes", SET, Some("-1"))],
            invalid,
            "Invalid value -1 for configuration message.max.bytes: Value must be at least 0",
        ),
        (
            node_id,
            &[("log.retention.ms", APPEND, Some("1"))],
            invalid_config,
            "Config value append is not allowed for config key: log.retention.ms",
        ),
        (
            node_id,
            &[("min.insync.replicas", SET, Some("2"))],
            invalid_config,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        ),
        (
            "",
            &[("min.insync.replicas", DELETE, None)],
            invalid_config,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        ),
    ];
    for (name, change, error, message) in cases {
        let refused = alter(&mut client, BROKER, name, change).await;
        assert_eq!(refused, because(*error, message), "broker {name:?}");
    }
    // Where a node listens is its own affair, and nobody can have it listen on port 1.
    let listeners = [("listeners", SET, Some("PLAINTEXT://:1"))];
    let refused = alter(&mut client, BROKER, node_id, &listeners).await;
    assert_eq!(refused.map(|(error, _)| error), Some(invalid));
    // Deleting what is not set changes nothing.
    set(
        &mut client,
        BROKER,
        node_id,
        &[("num.partitions", DELETE, None)],
    )
    .await;
}

/// "GROUP resources (type 32) accept `consumer.session.timeout.ms`": within the broker's bounds, and before its value.
#[tokio::test]
async fn a_group_has_values_of_its_own() {
    const KEY: &str = "consumer.session.timeout.ms";
    let group = unique("group");
    let mut client = RawClient::connect().await;
    let before = config(&mut client, GROUP, &group, KEY).await;
    set(&mut client, GROUP, &group, &[(KEY, SET, Some("20000"))]).await;
    let described = until_value(&mut client, GROUP, &group, KEY, "20000").await;
    assert_eq!(
        (described.config_source, described.read_only),
        (ON_GROUP, false)
    );
    let synonyms = chain(&described);
    assert_eq!(synonyms[0], (KEY, Some("20000"), ON_GROUP));
    assert_eq!(synonyms[1..], chain(&before));
    assert_eq!(
        synonyms.last(),
        Some(&("group.consumer.session.timeout.ms", Some("45000"), DEFAULT))
    );
    let invalid = ResponseError::InvalidConfig;
    let cases: &[(&[Change<'_>], &str)] = &[
        (
            &[("no.such.key", SET, Some("1"))],
            "Unknown group config name: no.such.key",
        ),
        (
            &[(KEY, SET, Some("x"))],
            "Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT",
        ),
        (
            &[(KEY, SET, Some("0"))],
            "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1",
        ),
        (
            &[(KEY, SET, Some("1"))],
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            &[(KEY, SET, Some("70000"))],
            "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms",
        ),
        (
            &[("consumer.heartbeat.interval.ms", SET, Some("5"))],
            "consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
        ),
        (
            &[("consumer.heartbeat.interval.ms", SET, Some("100000"))],
            "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
        ),
        (
            &[
                (KEY, SET, Some("9000")),
                ("consumer.heartbeat.interval.ms", SET, Some("9000")),
            ],
            "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms",
        ),
        (
            &[(KEY, APPEND, Some("1"))],
            "Can't APPEND to key consumer.session.timeout.ms because its type is not LIST.",
        ),
    ];
    for (change, message) in cases {
        let refused = alter(&mut client, GROUP, &group, change).await;
        assert_eq!(refused, because(invalid, message));
    }
    set(&mut client, GROUP, &group, &[(KEY, DELETE, None)]).await;
    let value = before.value.as_deref().expect("a value");
    until_value(&mut client, GROUP, &group, KEY, value).await;
}
