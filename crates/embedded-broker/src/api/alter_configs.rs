//! **AlterConfigs**, key 33, versions 0-2.
//!
//! Replaces all that is set on a topic, broker or group: what the request does not name goes back to its default. That is
//! why IncrementalAlterConfigs came (KIP-339); librdkafka's older calls still use this one.

use std::ops::RangeInclusive;

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse, ApiKey};

use super::config_resource::{check_names, named_twice, to_alter};
use super::{Api, Context, Outcome};
use crate::config::Overrides;
use crate::refusal::Refusal;
use crate::state::State;

pub(super) struct AlterConfigs;

impl Api for AlterConfigs {
    const KEY: ApiKey = ApiKey::AlterConfigs;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Request = AlterConfigsRequest;
    type Response = AlterConfigsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut AlterConfigsRequest,
    ) -> Outcome<AlterConfigsResponse> {
        let validate_only = request.validate_only;
        let resources = request.resources.iter();
        let check_once = named_twice(
            resources.map(|resource| (resource.resource_type, &*resource.resource_name)),
        );
        let responses = request.resources.iter().map(|resource| {
            let altered = check_once(resource.resource_type, &resource.resource_name)
                .and_then(|()| alter(state, cx, resource, validate_only));
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match altered {
                Ok(()) => response.with_error_message(None),
                Err(refusal) => response
                    .with_error_code(refusal.code())
                    .with_error_message(refusal.message()),
            }
        });
        let responses = responses.collect();
        Outcome::Reply(AlterConfigsResponse::default().with_responses(responses))
    }
}

fn alter(
    state: &mut State,
    cx: &Context,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refusal> {
    let configs = &resource.configs;
    let without_value = configs.iter().filter(|config| config.value.is_none());
    check_names(
        configs.iter().map(|config| &*config.name),
        without_value.map(|config| &*config.name).collect(),
    )?;
    let target = to_alter(cx, resource.resource_type, &resource.resource_name)?;
    let overrides: Overrides = configs
        .iter()
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect();
    state.set_overrides(&target, overrides, validate_only)
}
