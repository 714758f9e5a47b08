//! **IncrementalAlterConfigs**, key 44, versions 0-1.
//!
//! Changes single configurations of topics, brokers and groups (KIP-339): sets one, deletes it, so that its default holds
//! again, appends to a list or subtracts from it. A list begins with what is set on the resource or, where nothing is, with
//! the default. Of one resource all changes are made or none.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    ApiKey, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::config_resource::{BROKER_LOGGER, check_logger, check_names, named_twice, to_alter};
use super::{Api, Context, Outcome};
use crate::config::alter::Change;
use crate::refusal::Refusal;
use crate::state::State;

/// `org.apache.kafka.clients.admin.AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) struct IncrementalAlterConfigs;

impl Api for IncrementalAlterConfigs {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Request = IncrementalAlterConfigsRequest;
    type Response = IncrementalAlterConfigsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut IncrementalAlterConfigsRequest,
    ) -> Outcome<IncrementalAlterConfigsResponse> {
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
        Outcome::Reply(IncrementalAlterConfigsResponse::default().with_responses(responses))
    }
}

fn alter(
    state: &mut State,
    cx: &Context,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refusal> {
    let configs = &resource.configs;
    let without_value =
        |config: &&AlterableConfig| config.config_operation != DELETE && config.value.is_none();
    check_names(
        configs.iter().map(|config| &*config.name),
        configs
            .iter()
            .filter(without_value)
            .map(|config| &*config.name)
            .collect(),
    )?;
    if resource.resource_type == BROKER_LOGGER {
        check_logger(cx, &resource.resource_name)?;
        return match configs.first() {
            Some(config) => {
                let message = format!("Logger {} does not exist!", &*config.name);
                Err(Refusal::new(ResponseError::InvalidConfig, message))
            }
            None => Ok(()),
        };
    }
    let target = to_alter(cx, resource.resource_type, &resource.resource_name)?;
    let changes = configs
        .iter()
        .map(change)
        .collect::<Result<Vec<_>, Refusal>>()?;
    let overrides = target.change(state.overrides(&target), changes)?;
    state.set_overrides(&target, overrides, validate_only)
}

fn change(config: &AlterableConfig) -> Result<(String, Change), Refusal> {
    let value = || {
        config
            .value
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    let change = match config.config_operation {
        SET => Change::Set(value()),
        DELETE => Change::Delete,
        APPEND => Change::Append(value()),
        SUBTRACT => Change::Subtract(value()),
        _ => return Err(ResponseError::UnknownServerError.into()),
    };
    Ok((config.name.to_string(), change))
}
