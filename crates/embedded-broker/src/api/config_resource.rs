//! What the APIs of configurations (keys 32, 33, 44 and 74) name: a type and a name.

use std::collections::{HashMap, HashSet};

use kafka_protocol::error::ResponseError;

use super::Context;
use crate::config::alter::Resource;
use crate::refusal::Refusal;
use crate::topic::check_name;

/// `org.apache.kafka.common.config.ConfigResource.Type`.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
/// Nothing can be set on it: no telemetry is collected.
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// The resource that is to be altered. Whether there is such a topic is asked when its values have been checked.
///
/// # Errors
/// INVALID_REQUEST or INVALID_TOPIC_EXCEPTION, with Apache Kafka's message.
pub(super) fn to_alter(cx: &Context, resource_type: i8, name: &str) -> Result<Resource, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ResponseError::InvalidRequest, message));
    match resource_type {
        TOPIC if name.is_empty() => invalid("Default topic resources are not allowed.".to_owned()),
        TOPIC => {
            check_name(name)
                .map_err(|reason| Refusal::new(ResponseError::InvalidTopicException, reason))?;
            Ok(Resource::Topic(name.to_owned()))
        }
        BROKER if name.is_empty() => Ok(Resource::Cluster),
        BROKER => match node_id(name) {
            Ok(id) if id == cx.node_id => Ok(Resource::Node(id)),
            Ok(id) => invalid(format!(
                "Unexpected broker id, expected {}, but received {id}",
                cx.node_id
            )),
            Err(message) => invalid(message),
        },
        GROUP if name.is_empty() => invalid("Default group resources are not allowed.".to_owned()),
        GROUP => Ok(Resource::Group(name.to_owned())),
        other => invalid(format!("Unknown resource type {other}")),
    }
}

/// Whether the loggers of the broker `name` are this node's.
///
/// # Errors
/// INVALID_REQUEST, with Apache Kafka's message.
pub(super) fn check_logger(cx: &Context, name: &str) -> Result<(), Refusal> {
    let message = match node_id(name) {
        Ok(id) if id == cx.node_id => return Ok(()),
        Ok(id) => format!(
            "Unexpected node id. Expected {}, but received {id}",
            cx.node_id
        ),
        Err(message) => message,
    };
    Err(Refusal::new(ResponseError::InvalidRequest, message))
}

fn node_id(name: &str) -> Result<i32, String> {
    name.parse()
        .map_err(|_| format!("Node id must be an integer, but it is: {name}"))
}

/// A check that a resource is named once; of those that are named more often none is altered.
pub(super) fn named_twice<'a>(
    resources: impl Iterator<Item = (i8, &'a str)> + Clone,
) -> impl Fn(i8, &str) -> Result<(), Refusal> {
    let mut times = HashMap::new();
    for (resource_type, name) in resources {
        *times
            .entry((resource_type, name.to_owned()))
            .or_insert(0_usize) += 1;
    }
    move |resource_type, name| match times.get(&(resource_type, name.to_owned())) {
        Some(2..) => Err(Refusal::new(
            ResponseError::InvalidRequest,
            "Each resource must appear at most once.",
        )),
        _ => Ok(()),
    }
}

/// Whether no configuration is named twice, and none that needs a value is `without_value`.
///
/// # Errors
/// INVALID_REQUEST, with Apache Kafka's message.
pub(super) fn check_names<'a>(
    names: impl Iterator<Item = &'a str>,
    without_value: Vec<&str>,
) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let message = if !names.into_iter().all(|name| seen.insert(name)) {
        "Error due to duplicate config keys".to_owned()
    } else if !without_value.is_empty() {
        format!("Null value not supported for : {}", without_value.join(","))
    } else {
        return Ok(());
    };
    Err(Refusal::new(ResponseError::InvalidRequest, message))
}
