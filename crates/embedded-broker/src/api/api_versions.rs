//! **ApiVersions**, key 18, versions 0-4.
//!
//! Tells a client which APIs and versions it may use; the answer is the registration table. A version from the future is
//! answered before it gets here (see `unsupported_api_versions`).
//!
//! - Of the features, `group.version` is at level 1: consumer groups assign on the broker (KIP-848). `transaction.version` is
//!   not among them: transactions are those before KIP-890.
//! - From version 4 on a feature may be supported that need not be on (KIP-1022): older clients are not told of one.
//!
//! Left out: telemetry (keys 71 and 72). Offering it makes clients push metrics on the connection that their fetches are
//! parked on, and a consumer's close waits for it.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{APIS, Api, Context, Outcome};
use crate::state::State;

const FIRST_VERSION_WITH_FEATURES: i16 = 3;
const GROUP_VERSION: StrBytes = StrBytes::from_static_str("group.version");

pub(super) struct ApiVersions;

impl Api for ApiVersions {
    const KEY: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Request = ApiVersionsRequest;
    type Response = ApiVersionsResponse;

    fn handle(
        _: &mut State,
        cx: &Context,
        request: &mut ApiVersionsRequest,
    ) -> Outcome<ApiVersionsResponse> {
        // KIP-511: from version 3 on a client says what it is, in a form that is safe to put into a metric's name.
        let named = is_software_name(&request.client_software_name)
            && is_software_name(&request.client_software_version);
        if cx.version >= 3 && !named {
            let error = ResponseError::InvalidRequest.code();
            return Outcome::Reply(ApiVersionsResponse::default().with_error_code(error));
        }
        cx.session.versions_told();
        Outcome::Reply(response(cx.version))
    }
}

/// The registration table and the features as this version carries them.
pub(super) fn response(version: i16) -> ApiVersionsResponse {
    let api_keys = APIS
        .iter()
        .map(|api| {
            ApiVersion::default()
                .with_api_key(api.key as i16)
                .with_min_version(advertised_minimum(api.key, *api.versions.start()))
                .with_max_version(*api.versions.end())
        })
        .collect();
    let response = ApiVersionsResponse::default().with_api_keys(api_keys);
    match version {
        ..FIRST_VERSION_WITH_FEATURES => response,
        FIRST_VERSION_WITH_FEATURES => finalized(response),
        _ => finalized(response).with_supported_features(vec![
            SupportedFeatureKey::default()
                .with_name(GROUP_VERSION)
                .with_min_version(0)
                .with_max_version(1),
        ]),
    }
}

/// As in a cluster that was created with the newest protocols for groups.
fn finalized(response: ApiVersionsResponse) -> ApiVersionsResponse {
    response
        .with_finalized_features_epoch(0)
        .with_finalized_features(vec![
            FinalizedFeatureKey::default()
                .with_name(GROUP_VERSION)
                .with_min_version_level(1)
                .with_max_version_level(1),
        ])
}

/// librdkafka up to 2.6 sends uncompressed batches to a broker that does not offer Produce version 0, so Apache Kafka
/// keeps advertising it although it is gone (KAFKA-18659).
fn advertised_minimum(key: ApiKey, minimum: i16) -> i16 {
    if key == ApiKey::Produce { 0 } else { minimum }
}

/// `[a-zA-Z0-9]([a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(name: &str) -> bool {
    let is_edge = |character: Option<char>| {
        character.is_some_and(|character| character.is_ascii_alphanumeric())
    };
    is_edge(name.chars().next())
        && is_edge(name.chars().next_back())
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || ['-', '.'].contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_letters_and_digits_with_dashes_and_dots_inside() {
        for good in ["librdkafka", "apache-kafka-java", "2.12.1", "x"] {
            assert!(is_software_name(good), "{good} is a name");
        }
        for bad in ["", "-x", "x.", "a b", "ü"] {
            assert!(!is_software_name(bad), "{bad:?} is no name");
        }
    }
}
