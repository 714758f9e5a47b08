//! **SaslHandshake**, key 17, version 1.
//!
//! A client chooses the mechanism by which it proves who it is (KIP-43). An unknown one is answered with those that there
//! are, and the connection is closed. Where nobody has to prove anything, or has done so already, it is ILLEGAL_SASL_STATE.
//!
//! Left out: version 0, after which clients before Apache Kafka 1.0 send their tokens without a header.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{ApiKey, SaslHandshakeRequest, SaslHandshakeResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome, code};
use crate::state::State;

pub(super) struct SaslHandshake;

impl Api for SaslHandshake {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    const VERSIONS: RangeInclusive<i16> = 1..=1;
    type Request = SaslHandshakeRequest;
    type Response = SaslHandshakeResponse;

    fn handle(
        _: &mut State,
        cx: &Context,
        request: &mut SaslHandshakeRequest,
    ) -> Outcome<SaslHandshakeResponse> {
        let mechanisms = cx.session.mechanisms().iter();
        let mechanisms = mechanisms.copied().map(StrBytes::from_static_str).collect();
        let chosen = cx.session.handshake(&request.mechanism);
        Outcome::Reply(
            SaslHandshakeResponse::default()
                .with_error_code(code(&chosen))
                .with_mechanisms(mechanisms),
        )
    }
}
