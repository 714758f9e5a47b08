//! **Heartbeat**, key 12, versions 0-4.
//!
//! Keeps a member's session alive. The answer is how a member learns that it has to join again (REBALANCE_IN_PROGRESS) or
//! that it is none any more.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, HeartbeatRequest, HeartbeatResponse};

use super::{Api, Context, Outcome, code};
use crate::group;
use crate::state::State;

pub(super) struct Heartbeat;

impl Api for Heartbeat {
    const KEY: ApiKey = ApiKey::Heartbeat;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Request = HeartbeatRequest;
    type Response = HeartbeatResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut HeartbeatRequest,
    ) -> Outcome<HeartbeatResponse> {
        let result = heartbeat(state, cx, request);
        Outcome::Reply(HeartbeatResponse::default().with_error_code(code(&result)))
    }
}

fn heartbeat(
    state: &mut State,
    cx: &Context,
    request: &HeartbeatRequest,
) -> Result<(), ResponseError> {
    group::check_member_request(&state.cluster, cx, &request.group_id)?;
    let result = state
        .groups
        .change_classic(&request.group_id, &mut state.timers, |classic| {
            classic.heartbeat(
                &request.member_id,
                request.group_instance_id.as_deref(),
                request.generation_id,
                cx.now,
            )
        });
    result.unwrap_or(Err(ResponseError::UnknownMemberId))
}
