//! **DescribeConfigs**, key 32, versions 1-4.
//!
//! Describes configurations of topics, brokers and groups: value, type, where the value comes from, and what would hold if
//! it were not set. The broker with the empty name is all brokers: of it only what was set while they run is described.
//! The list comes in the order of the names; names that do not exist are passed over.
//!
//! Left out: the documentation of each configuration, which is always null; loggers, of which there are none to set; and
//! client metrics.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{ApiKey, DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::config_resource::{BROKER, BROKER_LOGGER, GROUP, TOPIC};
use super::once::each_once;
use super::{Api, Context, Outcome};
use crate::config::describe::Description;
use crate::refusal::Refusal;
use crate::state::State;
use crate::topic::check_name;

pub(super) struct DescribeConfigs;

impl Api for DescribeConfigs {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    type Request = DescribeConfigsRequest;
    type Response = DescribeConfigsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut DescribeConfigsRequest,
    ) -> Outcome<DescribeConfigsResponse> {
        let question = |resource: &DescribeConfigsResource| {
            let keys = resource.configuration_keys.clone();
            (resource.resource_type, resource.resource_name.clone(), keys)
        };
        let results = each_once(&request.resources, question).map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match describe(state, cx, resource) {
                Ok(described) => {
                    let configs = described
                        .into_iter()
                        .filter(|description| is_wanted(resource, description))
                        .map(|description| config(description, request.include_synonyms));
                    result
                        .with_error_message(Some(StrBytes::default()))
                        .with_configs(configs.collect())
                }
                Err(refusal) => result
                    .with_error_code(refusal.code())
                    .with_error_message(refusal.message()),
            }
        });
        let results = results.collect();
        Outcome::Reply(DescribeConfigsResponse::default().with_results(results))
    }
}

fn describe(
    state: &State,
    cx: &Context,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Description>, Refusal> {
    let name = &*resource.resource_name;
    let own = cx.node_id;
    let invalid = |message: String| Refusal::new(ResponseError::InvalidRequest, message);
    let check_node = |expected: &str| match name.parse::<i32>() {
        Ok(id) if id == own => Ok(()),
        Ok(id) => Err(invalid(format!(
            "Unexpected broker id, expected {expected} but received {id}"
        ))),
        Err(_) => Err(invalid(format!(
            "Broker id must be an integer, but it is: {name}"
        ))),
    };
    match resource.resource_type {
        TOPIC => {
            check_name(name)
                .map_err(|reason| Refusal::new(ResponseError::InvalidTopicException, reason))?;
            let unknown = || Refusal::new(ResponseError::UnknownTopicOrPartition, "");
            let topic = state.topics.get(name).ok_or_else(unknown)?;
            Ok(state.configs.describe_topic(&topic.config, own))
        }
        BROKER if name.is_empty() => Ok(state.configs.describe_cluster()),
        BROKER => check_node(&format!("{own} or empty string,"))
            .map(|()| state.configs.describe_node(own)),
        BROKER_LOGGER if name.is_empty() => Err(invalid("Broker id must not be empty".to_owned())),
        BROKER_LOGGER => check_node(&own.to_string()).map(|()| Vec::new()),
        GROUP if name.is_empty() => Err(invalid("Group name must not be empty".to_owned())),
        GROUP => Ok(state.configs.describe_group(name, own)),
        other => Err(invalid(format!("Unknown resource type {other}"))),
    }
}

/// No list of keys, and an empty one, ask for all of them.
fn is_wanted(resource: &DescribeConfigsResource, description: &Description) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| **key == *description.name),
        _ => true,
    }
}

fn config(description: Description, include_synonyms: bool) -> DescribeConfigsResourceResult {
    let is_sensitive = description.is_sensitive();
    let synonyms = description.synonyms.into_iter().map(|synonym| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_string(synonym.name))
            .with_value(synonym.value.map(StrBytes::from_string))
            .with_source(synonym.source as i8)
    });
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(description.name))
        .with_value(description.value.map(StrBytes::from_string))
        .with_read_only(description.read_only)
        .with_config_source(description.source as i8)
        .with_is_sensitive(is_sensitive)
        .with_synonyms(match include_synonyms {
            true => synonyms.collect(),
            false => Vec::new(),
        })
        .with_config_type(description.kind.map_or(0, |kind| kind as i8))
        .with_documentation(None)
}
