//! **SaslAuthenticate**, key 36, versions 0-2.
//!
//! Carries the tokens of the mechanism that the handshake chose (KIP-152). A client that is not let in is told
//! SASL_AUTHENTICATION_FAILED, and the connection is closed. Sessions do not end, so nobody authenticates again (KIP-368):
//! their lifetime is 0, and a token without a handshake before it is ILLEGAL_SASL_STATE.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct SaslAuthenticate;

impl Api for SaslAuthenticate {
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Request = SaslAuthenticateRequest;
    type Response = SaslAuthenticateResponse;

    fn handle(
        _: &mut State,
        cx: &Context,
        request: &mut SaslAuthenticateRequest,
    ) -> Outcome<SaslAuthenticateResponse> {
        let response = SaslAuthenticateResponse::default()
            // Apache Kafka says nothing by an empty text here, not by none.
            .with_error_message(Some(StrBytes::default()));
        Outcome::Reply(match cx.session.authenticate(&request.auth_bytes) {
            Ok(token) => response.with_auth_bytes(token),
            Err(refusal) => response
                .with_error_code(refusal.code())
                .with_error_message(refusal.message()),
        })
    }
}
