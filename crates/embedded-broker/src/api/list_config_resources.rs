//! **ListConfigResources**, key 74, versions 0-1.
//!
//! Lists what has configurations to describe (KIP-1142): topics, nodes and their loggers, and groups on which something is
//! set. Version 0 knew only client metrics, of which there are none.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ApiKey, ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct ListConfigResources;

impl Api for ListConfigResources {
    const KEY: ApiKey = ApiKey::ListConfigResources;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Request = ListConfigResourcesRequest;
    type Response = ListConfigResourcesResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut ListConfigResourcesRequest,
    ) -> Outcome<ListConfigResourcesResponse> {
        const ALL: &[i8] = &[TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
        let types = match &request.resource_types[..] {
            _ if cx.version == 0 => &[],
            [] => ALL,
            types => types,
        };
        if types
            .iter()
            .any(|resource_type| !ALL.contains(resource_type))
        {
            let error = ResponseError::UnsupportedVersion.code();
            return Outcome::Reply(ListConfigResourcesResponse::default().with_error_code(error));
        }
        let resources = types
            .iter()
            .flat_map(|resource_type| {
                names(state, *resource_type).into_iter().map(|name| {
                    ConfigResource::default()
                        .with_resource_type(*resource_type)
                        .with_resource_name(StrBytes::from_string(name))
                })
            })
            .collect();
        Outcome::Reply(ListConfigResourcesResponse::default().with_config_resources(resources))
    }
}

fn names(state: &State, resource_type: i8) -> Vec<String> {
    match resource_type {
        TOPIC => state
            .topics
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect(),
        BROKER | BROKER_LOGGER => {
            let nodes = state.cluster.nodes.iter();
            nodes.map(|node| node.id.to_string()).collect()
        }
        GROUP => state
            .configs
            .configured_groups()
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}
