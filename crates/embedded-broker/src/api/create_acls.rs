//! **CreateAcls**, key 30, versions 1-3.
//!
//! There is no authorizer that could keep them: SECURITY_DISABLED for each, as Apache Kafka answers without one.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::{ApiKey, CreateAclsRequest, CreateAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct CreateAcls;

impl Api for CreateAcls {
    const KEY: ApiKey = ApiKey::CreateAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    type Request = CreateAclsRequest;
    type Response = CreateAclsResponse;

    fn handle(
        _: &mut State,
        _: &Context,
        request: &mut CreateAclsRequest,
    ) -> Outcome<CreateAclsResponse> {
        let message = StrBytes::from_static_str("No Authorizer is configured.");
        let refused = AclCreationResult::default()
            .with_error_code(ResponseError::SecurityDisabled.code())
            .with_error_message(Some(message));
        let results = vec![refused; request.creations.len()];
        Outcome::Reply(CreateAclsResponse::default().with_results(results))
    }
}
