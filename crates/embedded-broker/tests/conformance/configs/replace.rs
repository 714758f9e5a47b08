//! AlterConfigs, the old call, which replaces all that is set.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::AlterConfigsRequest;
use rdkafka::admin::{AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier};

use super::{Value, because, replacement};
use crate::support::clients::admin;
use crate::support::configs::{BROKER_LOGGER, DEFAULT, TOPIC, config, refusal, until_value};
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, only};
use crate::support::wait::{DEADLINE, eventually};

/// "Full replace": AlterConfigs takes away what it does not name, in every version.
#[tokio::test]
async fn the_old_call_replaces_everything() {
    let mut client = RawClient::connect().await;
    for version in 0..=2 {
        let topic = Topic::create_with(1, &[("retention.ms", "5"), ("segment.ms", "60000")]).await;
        let resource = replacement(&topic.name, &[("segment.ms", Some("70000"))]);
        let request = AlterConfigsRequest::default().with_resources(vec![resource]);
        let response = only(client.send(version, request).await.responses);
        assert_eq!(
            refusal(response.error_code, response.error_message),
            None,
            "version {version}"
        );
        until_value(&mut client, TOPIC, &topic.name, "segment.ms", "70000").await;
        let retention = config(&mut client, TOPIC, &topic.name, "retention.ms").await;
        assert_eq!(
            (retention.value.as_deref(), retention.config_source),
            (Some("604800000"), DEFAULT)
        );
    }
}

/// What the old call refuses.
#[tokio::test]
async fn the_old_call_refuses_as_the_new_one() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let invalid = ResponseError::InvalidRequest;
    let cases: &[(&[Value<'_>], ResponseError, &str)] = &[
        (
            &[("segment.ms", None)],
            invalid,
            "Null value not supported for : segment.ms",
        ),
        (
            &[("segment.ms", Some("1")), ("segment.ms", Some("2"))],
            invalid,
            "Error due to duplicate config keys",
        ),
        (
            &[("no.such.key", Some("1"))],
            ResponseError::InvalidConfig,
            "Unknown topic config name: no.such.key",
        ),
    ];
    for (values, error, message) in cases {
        let resources = vec![replacement(&topic.name, values)];
        let request = AlterConfigsRequest::default().with_resources(resources);
        let response = only(client.send(2, request).await.responses);
        assert_eq!(
            refusal(response.error_code, response.error_message),
            because(*error, message)
        );
    }
    let logger = replacement("0", &[]).with_resource_type(BROKER_LOGGER);
    let request = AlterConfigsRequest::default().with_resources(vec![logger]);
    let response = only(client.send(2, request).await.responses);
    assert_eq!(
        refusal(response.error_code, response.error_message),
        because(invalid, "Unknown resource type 8")
    );
}

/// Through librdkafka, as its users do it: describe a topic, replace its configuration, describe it again.
#[tokio::test]
async fn librdkafka_describes_and_alters() {
    let topic = Topic::create_with(1, &[("segment.ms", "60000")]).await;
    let admin = admin().await;
    let options = AdminOptions::new();
    let specifier = ResourceSpecifier::Topic(&topic.name);
    let change = AlterConfig::new(specifier).set("retention.ms", "86400000");
    let altered = admin.alter_configs(&[change], &options).await;
    let altered = only(altered.expect("alter"));
    altered.expect("the change is taken");
    let describe = async || {
        let described = admin.describe_configs([&specifier], &options).await;
        only(described.expect("describe")).expect("the topic is known")
    };
    let described = eventually(DEADLINE, "retention.ms=86400000", async || {
        let described = describe().await;
        let retention = described.get("retention.ms")?.value.clone();
        (retention.as_deref() == Some("86400000")).then_some(described)
    })
    .await;
    let retention = described.get("retention.ms").expect("retention.ms");
    assert_eq!(retention.source, ConfigSource::DynamicTopic);
    assert!(!retention.is_default && !retention.is_read_only && !retention.is_sensitive);
    let segment = described.get("segment.ms").expect("segment.ms");
    assert_eq!(segment.source, ConfigSource::Default, "replaced");
}
