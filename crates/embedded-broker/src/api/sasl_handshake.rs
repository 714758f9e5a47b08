//! **SaslHandshake**, key 17, versions 0-1.
//!
//! A client chooses the mechanism by which it proves who it is (KIP-43). An unknown one is answered with those that there
//! are, and the connection is closed. Where nobody has to prove anything, or has done so already, it is ILLEGAL_SASL_STATE.
//!
//! After version 1 tokens come in SaslAuthenticate. After version 0, of clients before Apache Kafka 1.0, they come as they are,
//! one a frame (see `net/bare_tokens.rs`).

use std::ops::RangeInclusive;

use kafka_protocol::messages::{ApiKey, SaslHandshakeRequest, SaslHandshakeResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome, code};
use crate::state::State;

pub(super) struct SaslHandshake;

impl Api for SaslHandshake {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Request = SaslHandshakeRequest;
    type Response = SaslHandshakeResponse;

    fn handle(
        _: &mut State,
        cx: &Context,
        request: &mut SaslHandshakeRequest,
    ) -> Outcome<SaslHandshakeResponse> {
        let mechanisms = cx.session.mechanisms().iter();
        let mechanisms = mechanisms.copied().map(StrBytes::from_static_str).collect();
        let chosen = cx.session.handshake(&request.mechanism, cx.version == 0);
        Outcome::Reply(
            SaslHandshakeResponse::default()
                .with_error_code(code(&chosen))
                .with_mechanisms(mechanisms),
        )
    }
}
