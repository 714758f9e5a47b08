//! **DeleteAcls**, key 31, versions 1-3.
//!
//! There is no authorizer that could have any: SECURITY_DISABLED for each filter, as Apache Kafka answers without one.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{ApiKey, DeleteAclsRequest, DeleteAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct DeleteAcls;

impl Api for DeleteAcls {
    const KEY: ApiKey = ApiKey::DeleteAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    type Request = DeleteAclsRequest;
    type Response = DeleteAclsResponse;

    fn handle(
        _: &mut State,
        _: &Context,
        request: &mut DeleteAclsRequest,
    ) -> Outcome<DeleteAclsResponse> {
        let message = StrBytes::from_static_str("No Authorizer is configured.");
        let refused = DeleteAclsFilterResult::default()
            .with_error_code(ResponseError::SecurityDisabled.code())
            .with_error_message(Some(message));
        let results = vec![refused; request.filters.len()];
        Outcome::Reply(DeleteAclsResponse::default().with_filter_results(results))
    }
}
