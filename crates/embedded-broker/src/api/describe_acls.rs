//! **DescribeAcls**, key 29, versions 1-3.
//!
//! There is no authorizer, so nobody has rights to list: SECURITY_DISABLED, as Apache Kafka answers without one.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, DescribeAclsRequest, DescribeAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct DescribeAcls;

impl Api for DescribeAcls {
    const KEY: ApiKey = ApiKey::DescribeAcls;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    type Request = DescribeAclsRequest;
    type Response = DescribeAclsResponse;

    fn handle(
        _: &mut State,
        _: &Context,
        _: &mut DescribeAclsRequest,
    ) -> Outcome<DescribeAclsResponse> {
        let message = StrBytes::from_static_str("No Authorizer is configured on the broker");
        Outcome::Reply(
            DescribeAclsResponse::default()
                .with_error_code(ResponseError::SecurityDisabled.code())
                .with_error_message(Some(message)),
        )
    }
}
