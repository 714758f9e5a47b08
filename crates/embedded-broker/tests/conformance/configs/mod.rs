//! Configurations of topics, brokers and groups.

mod alter;
mod brokers;
mod describe;
mod effects;
mod replace;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};

use crate::support::configs::{Refused, TOPIC, text};

/// A configuration as AlterConfigs carries it: its name and the value.
type Value<'a> = (&'a str, Option<&'a str>);

/// A refusal, for this reason.
fn because(error: ResponseError, message: &str) -> Refused {
    Some((error, message.to_owned()))
}

/// What AlterConfigs sets on a topic in place of everything.
fn replacement(topic: &str, values: &[Value<'_>]) -> AlterConfigsResource {
    let configs = values.iter().map(|(name, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_value(value.map(text))
    });
    AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(configs.collect())
}
