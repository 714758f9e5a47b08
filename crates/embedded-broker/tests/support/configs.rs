//! Asking for configurations and altering them, frame by frame.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, MetadataRequest,
};
use kafka_protocol::messages::{
    incremental_alter_configs_request as incremental,
    incremental_alter_configs_response::AlterConfigsResourceResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::raw::RawClient;
use super::topic::only;
use super::wait::{DEADLINE, eventually};

/// `org.apache.kafka.common.config.ConfigResource.Type`.
pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const BROKER_LOGGER: i8 = 8;
#[allow(dead_code, reason = "only the embedded broker has none")]
pub(crate) const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;

/// `ConfigEntry.ConfigSource`: where a value comes from.
pub(crate) const ON_TOPIC: i8 = 1;
pub(crate) const ON_BROKER: i8 = 2;
pub(crate) const ON_ALL_BROKERS: i8 = 3;
pub(crate) const AT_START: i8 = 4;
pub(crate) const DEFAULT: i8 = 5;
pub(crate) const ON_GROUP: i8 = 8;

/// `AlterConfigOp.OpType`.
pub(crate) const SET: i8 = 0;
pub(crate) const DELETE: i8 = 1;
pub(crate) const APPEND: i8 = 2;
pub(crate) const SUBTRACT: i8 = 3;

/// One change of one configuration: its name, the operation, the value.
pub(crate) type Change<'a> = (&'a str, i8, Option<&'a str>);
/// Why something was refused, if it was: the error and its message.
pub(crate) type Refused = Option<(ResponseError, String)>;

pub(crate) fn text(text: &str) -> StrBytes {
    text.to_owned().into()
}

/// The name of the node that a client is connected to.
pub(crate) async fn node(client: &mut RawClient) -> String {
    let request = MetadataRequest::default().with_topics(Some(vec![]));
    let brokers = client.send(12, request).await.brokers;
    only(brokers).node_id.0.to_string()
}

/// A question about a resource: these configurations of it, or all.
pub(crate) fn resource(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys)
}

/// The answer about one resource, with synonyms.
pub(crate) async fn ask(
    client: &mut RawClient,
    resource: DescribeConfigsResource,
) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    only(client.send(4, request).await.results)
}

/// All configurations of a resource that must be known, in the order of their names.
pub(crate) async fn describe(
    client: &mut RawClient,
    kind: i8,
    name: &str,
) -> Vec<DescribeConfigsResourceResult> {
    let mut result = ask(client, resource(kind, name, None)).await;
    assert_eq!(
        result.error_code.err(),
        None,
        "describe {name}: {:?}",
        result.error_message
    );
    result.configs.sort_by(|a, b| a.name.cmp(&b.name));
    result.configs
}

/// One configuration of a resource.
pub(crate) async fn config(
    client: &mut RawClient,
    kind: i8,
    name: &str,
    key: &str,
) -> DescribeConfigsResourceResult {
    let result = ask(client, resource(kind, name, Some(&[key]))).await;
    assert_eq!(
        result.error_code.err(),
        None,
        "describe {name}: {:?}",
        result.error_message
    );
    only(result.configs)
}

/// Waits until a configuration has a value: Apache Kafka's brokers hear of a change a moment after it was answered.
pub(crate) async fn until_value(
    client: &mut RawClient,
    kind: i8,
    name: &str,
    key: &str,
    value: &str,
) -> DescribeConfigsResourceResult {
    let missing = format!("{key}={value} of {name:?}");
    eventually(DEADLINE, &missing, async || {
        let described = config(client, kind, name, key).await;
        (described.value.as_deref() == Some(value)).then_some(described)
    })
    .await
}

/// A configuration's synonyms: name, value and source, the strongest first.
pub(crate) fn chain(config: &DescribeConfigsResourceResult) -> Vec<(&str, Option<&str>, i8)> {
    config
        .synonyms
        .iter()
        .map(|synonym| (&*synonym.name, synonym.value.as_deref(), synonym.source))
        .collect()
}

/// Changes of one resource, as IncrementalAlterConfigs carries them.
pub(crate) fn changes(
    kind: i8,
    name: &str,
    changes: &[Change<'_>],
) -> incremental::AlterConfigsResource {
    let configs = changes.iter().map(|(name, operation, value)| {
        incremental::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    incremental::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

pub(crate) async fn alter_all(
    client: &mut RawClient,
    resources: Vec<incremental::AlterConfigsResource>,
) -> Vec<AlterConfigsResourceResponse> {
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    client.send(1, request).await.responses
}

/// Alters one resource, and returns why it was refused.
pub(crate) async fn alter(
    client: &mut RawClient,
    kind: i8,
    name: &str,
    change: &[Change<'_>],
) -> Refused {
    let responses = alter_all(client, vec![changes(kind, name, change)]).await;
    let response = only(responses);
    assert_eq!(
        (response.resource_type, &*response.resource_name),
        (kind, name)
    );
    refusal(response.error_code, response.error_message)
}

/// Alters one resource, which must be taken.
pub(crate) async fn set(client: &mut RawClient, kind: i8, name: &str, change: &[Change<'_>]) {
    let refused = alter(client, kind, name, change).await;
    assert_eq!(refused, None, "{change:?} of {name:?}");
}

/// An error with its message, if it is one.
pub(crate) fn refusal(code: i16, message: Option<StrBytes>) -> Refused {
    let message = message.map(|message| message.to_string());
    code.err().map(|error| (error, message.unwrap_or_default()))
}
