//! **LeaveGroup**, key 13, versions 0-5.
//!
//! Removes members, so that the others take over their partitions without waiting for a session to end.
//!
//! - Version 3 and later: several members, each with a result of its own; a static member may be named by its instance id
//!   alone, which is how an administrator removes one (KIP-345).
//! - Left out: the reason (version 5) is not logged.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{ApiKey, LeaveGroupRequest, LeaveGroupResponse};

use super::{Api, Context, Outcome, code};
use crate::group::{self, Kind, LeavingMember};
use crate::state::State;

/// From this version on request and answer carry lists.
const FIRST_BATCHED_VERSION: i16 = 3;

pub(super) struct LeaveGroup;

impl Api for LeaveGroup {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Request = LeaveGroupRequest;
    type Response = LeaveGroupResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut LeaveGroupRequest,
    ) -> Outcome<LeaveGroupResponse> {
        let response = LeaveGroupResponse::default();
        if let Err(error) = group::check_member_request(&state.cluster, cx, &request.group_id) {
            return Outcome::Reply(response.with_error_code(error.code()));
        }
        if cx.version < FIRST_BATCHED_VERSION {
            let member = MemberIdentity::default().with_member_id(request.member_id.clone());
            let results = leave(state, cx, &request.group_id, &[member]);
            let error_code = results.first().map_or(0, code);
            return Outcome::Reply(response.with_error_code(error_code));
        }
        let results = leave(state, cx, &request.group_id, &request.members);
        let members = request.members.iter().zip(results).map(|(member, result)| {
            MemberResponse::default()
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_error_code(code(&result))
        });
        Outcome::Reply(response.with_members(members.collect()))
    }
}

fn leave(
    state: &mut State,
    cx: &Context,
    group_id: &str,
    members: &[MemberIdentity],
) -> Vec<Result<(), ResponseError>> {
    let leaving: Vec<_> = members
        .iter()
        .map(|member| LeavingMember {
            member_id: &member.member_id,
            instance_id: member.group_instance_id.as_deref(),
        })
        .collect();
    let results = state
        .groups
        .change(group_id, &mut state.timers, |group| match &mut group.kind {
            Kind::Classic(classic) => classic.leave(&leaving, cx.now),
            Kind::Consumer(consumer) => consumer.remove_members(&leaving),
        });
    results.unwrap_or_else(|| vec![Err(ResponseError::UnknownMemberId); members.len()])
}
