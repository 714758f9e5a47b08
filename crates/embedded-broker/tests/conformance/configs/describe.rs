//! DescribeConfigs and ListConfigResources: what there is to configure, and where each value comes from.

use embedded_broker::Broker;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeConfigsRequest, ListConfigResourcesRequest,
};

use super::because;
use crate::support::broker::unique;
use crate::support::configs::{
    BROKER, BROKER_LOGGER, DEFAULT, GROUP, ON_TOPIC, SET, TOPIC, ask, chain, describe, node,
    refusal, resource, set, until_value,
};
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, creatable, only};

/// The default at the end of a configuration's synonyms; a topic's own where no broker's stands behind it.
fn default(config: &DescribeConfigsResourceResult) -> Option<&str> {
    match config.synonyms.last() {
        Some(last) if last.source == DEFAULT => last.value.as_deref(),
        Some(_) => None,
        None => config.value.as_deref(),
    }
}

/// What no setting of the broker under test changes: name, type, whether it is read-only, and the default.
fn nature(config: &DescribeConfigsResourceResult) -> (&str, i8, bool, Option<&str>) {
    let default = default(config);
    (&config.name, config.config_type, config.read_only, default)
}

/// The embedded broker describes the same topic configurations as the broker under test, with the same types and defaults.
#[tokio::test]
async fn topics_have_apache_kafkas_configurations() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let described = describe(&mut client, TOPIC, &topic.name).await;
    let broker = Broker::builder().start().await.expect("start a broker");
    let mut embedded = RawClient::connect_to(&broker.bootstrap_servers()).await;
    let request = CreateTopicsRequest::default().with_topics(vec![creatable("topic", 1)]);
    assert_eq!(
        only(embedded.send(7, request).await.topics)
            .error_code
            .err(),
        None
    );
    let expected = describe(&mut embedded, TOPIC, "topic").await;
    assert_eq!(
        described.iter().map(nature).collect::<Vec<_>>(),
        expected.iter().map(nature).collect::<Vec<_>>(),
        "the broker under test (left) and the embedded broker (right)"
    );
    assert_eq!(described.len(), 33);
}

/// What the embedded broker describes of a broker is so on the broker under test; what that describes beyond belongs to
/// what the embedded broker does not have.
#[tokio::test]
async fn brokers_have_apache_kafkas_configurations() {
    const LEFT_OUT: &[&str] = &[
        "alter.config.policy.class.name",
        "authorizer.class.name",
        "client.quota.callback.class",
        "config.providers",
        "controller.",
        "cordoned.log.dirs",
        "create.topic.policy.class.name",
        "delegation.token.",
        "early.start.listeners",
        "follower.fetch.last.tiered.offset.enable",
        "group.share.",
        "group.streams.",
        "kafka.metrics.",
        // How the listener with SASL checks passwords.
        "listener.name.",
        // Internal, and described only where it is set.
        "log.initial.task.delay.ms",
        "metadata.",
        "metric.reporters",
        "principal.builder.class",
        "remote.",
        "replica.selector.class",
        "sasl.",
        "security.providers",
        "share.",
        "ssl.",
    ];
    let mut client = RawClient::connect().await;
    let node_id = node(&mut client).await;
    let described = describe(&mut client, BROKER, &node_id).await;
    let broker = Broker::builder().start().await.expect("start a broker");
    let mut embedded = RawClient::connect_to(&broker.bootstrap_servers()).await;
    let expected = describe(&mut embedded, BROKER, "0").await;
    assert!(expected.len() > 150, "{}", expected.len());
    for config in &expected {
        let same = described.iter().find(|other| other.name == config.name);
        assert_eq!(same.map(nature), Some(nature(config)), "{}", &*config.name);
    }
    let is_known = |name: &str| expected.iter().any(|config| &*config.name == name);
    let is_left_out = |name: &str| LEFT_OUT.iter().any(|family| name.starts_with(family));
    let is_of_a_test = |name: &str| name.starts_with("conformance.");
    for config in &described {
        let name = &*config.name;
        assert!(
            is_known(name) || is_left_out(name) || is_of_a_test(name),
            "{name} is described by the broker under test and nowhere else"
        );
    }
}

/// A group's configurations, of those that consumer groups have.
#[tokio::test]
async fn groups_have_apache_kafkas_configurations() {
    let mut client = RawClient::connect().await;
    let described = describe(&mut client, GROUP, &unique("group")).await;
    let natures: Vec<_> = described
        .iter()
        .filter(|config| config.name.starts_with("consumer."))
        .map(nature)
        .collect();
    let int = 3;
    assert_eq!(
        natures,
        [
            ("consumer.assignment.interval.ms", int, false, Some("1000")),
            ("consumer.heartbeat.interval.ms", int, false, Some("5000")),
            ("consumer.session.timeout.ms", int, false, Some("45000")),
        ]
    );
}

/// "Synonyms, type (v3), source, read_only, sensitive": a value of the topic's own stands before the default, in every
/// version.
#[tokio::test]
async fn a_topics_own_value_stands_before_the_default() {
    let topic = Topic::create_with(1, &[("segment.bytes", " 2000000 ")]).await;
    let mut client = RawClient::connect().await;
    for version in 1..=4 {
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource(TOPIC, &topic.name, None)])
            .with_include_synonyms(true);
        let result = only(client.send(version, request).await.results);
        assert_eq!(result.error_code.err(), None, "version {version}");
        assert_eq!(
            (result.resource_type, &*result.resource_name),
            (TOPIC, &*topic.name)
        );
        let find = |name: &str| {
            let named = |config: &&DescribeConfigsResourceResult| &*config.name == name;
            result.configs.iter().find(named).expect("a configuration")
        };
        let segment = find("segment.bytes");
        assert_eq!(segment.value.as_deref(), Some("2000000"), "without blanks");
        assert_eq!(
            (
                segment.config_source,
                segment.read_only,
                segment.is_sensitive
            ),
            (ON_TOPIC, false, false)
        );
        assert_eq!(
            chain(segment),
            [
                ("segment.bytes", Some("2000000"), ON_TOPIC),
                ("log.segment.bytes", Some("1073741824"), DEFAULT),
            ]
        );
        let cleanup = find("cleanup.policy");
        assert_eq!(
            (cleanup.value.as_deref(), cleanup.config_source),
            (Some("delete"), DEFAULT)
        );
        // The broker has the retention in hours, so milliseconds have no synonym.
        let retention = find("retention.ms");
        assert_eq!(retention.value.as_deref(), Some("604800000"));
        assert_eq!(chain(retention), []);
        let (int, list) = if version >= 3 { (3, 7) } else { (0, 0) };
        assert_eq!(
            (segment.config_type, cleanup.config_type),
            (int, list),
            "version {version}"
        );
    }
}

/// No list of keys and an empty one ask for all; of a list, names that do not exist are passed over.
#[tokio::test]
async fn keys_are_chosen() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let all = ask(&mut client, resource(TOPIC, &topic.name, Some(&[]))).await;
    assert_eq!(all.configs.len(), 33);
    let keys = ["retention.ms", "no.such.key", "internal.segment.bytes"];
    let one = ask(&mut client, resource(TOPIC, &topic.name, Some(&keys))).await;
    assert_eq!(&*only(one.configs).name, "retention.ms");
    let request = DescribeConfigsRequest::default().with_resources(vec![
        resource(TOPIC, &topic.name, Some(&["retention.ms"])),
        resource(TOPIC, &topic.name, Some(&["segment.ms"])),
    ]);
    let results = client.send(4, request).await.results;
    let names: Vec<&str> = results
        .iter()
        .map(|result| &*result.configs[0].name)
        .collect();
    assert_eq!(names, ["retention.ms", "segment.ms"]);
    assert!(
        results[0].configs[0].synonyms.is_empty() && results[0].configs[0].documentation.is_none(),
        "nobody asked for them"
    );
}

/// What cannot be described, with Apache Kafka's words.
#[tokio::test]
async fn what_cannot_be_described_is_refused() {
    let mut client = RawClient::connect().await;
    let node_id = node(&mut client).await;
    let invalid = ResponseError::InvalidRequest;
    let other_broker =
        format!("Unexpected broker id, expected {node_id} or empty string, but received 4711");
    let other_logger = format!("Unexpected broker id, expected {node_id} but received 4711");
    let no_integer = "Broker id must be an integer, but it is: x";
    let cases = [
        (
            TOPIC,
            "",
            ResponseError::InvalidTopicException,
            "Topic name is invalid: the empty string is not allowed",
        ),
        (BROKER, "4711", invalid, &*other_broker),
        (BROKER, "x", invalid, no_integer),
        (BROKER_LOGGER, "4711", invalid, &*other_logger),
        (BROKER_LOGGER, "", invalid, "Broker id must not be empty"),
        (BROKER_LOGGER, "x", invalid, no_integer),
        (GROUP, "", invalid, "Group name must not be empty"),
    ];
    for (kind, name, error, message) in cases {
        let result = ask(&mut client, resource(kind, name, None)).await;
        assert_eq!(
            refusal(result.error_code, result.error_message),
            because(error, message),
            "type {kind}, {name:?}"
        );
        assert!(result.configs.is_empty());
    }
    let unknown = ask(&mut client, resource(TOPIC, &unique("missing"), None)).await;
    assert_eq!(
        unknown.error_code.err(),
        Some(ResponseError::UnknownTopicOrPartition)
    );
    for kind in [0, 1, 3, 99] {
        let result = ask(&mut client, resource(kind, "x", None)).await;
        assert_eq!(result.error_code.err(), Some(invalid), "type {kind}");
    }
}

/// ListConfigResources: version 0 lists client metrics only; from 1 on all types, or those that are asked for.
#[tokio::test]
async fn resources_are_listed() {
    let topic = Topic::create(1).await;
    let group = unique("group");
    let mut client = RawClient::connect().await;
    let node_id = node(&mut client).await;
    let change = [("consumer.session.timeout.ms", SET, Some("20000"))];
    set(&mut client, GROUP, &group, &change).await;
    until_value(
        &mut client,
        GROUP,
        &group,
        "consumer.session.timeout.ms",
        "20000",
    )
    .await;
    let list = async |client: &mut RawClient, version, types: Vec<i8>| {
        let request = ListConfigResourcesRequest::default().with_resource_types(types);
        let answer = client.send(version, request).await;
        let listed: Vec<(i8, String)> = answer
            .config_resources
            .into_iter()
            .map(|resource| (resource.resource_type, resource.resource_name.to_string()))
            .collect();
        (answer.error_code.err(), listed)
    };
    assert_eq!(list(&mut client, 0, vec![]).await, (None, vec![]));
    let (error, all) = list(&mut client, 1, vec![]).await;
    assert_eq!(error, None);
    let expected = [
        (TOPIC, topic.name.clone()),
        (BROKER, node_id.clone()),
        (BROKER_LOGGER, node_id.clone()),
        (GROUP, group.clone()),
    ];
    for resource in expected {
        assert!(all.contains(&resource), "{resource:?} in {all:?}");
    }
    let (_, brokers) = list(&mut client, 1, vec![BROKER]).await;
    assert_eq!(brokers, [(BROKER, node_id)]);
    let (error, _) = list(&mut client, 1, vec![TOPIC, 99]).await;
    assert_eq!(error, Some(ResponseError::UnsupportedVersion));
}
