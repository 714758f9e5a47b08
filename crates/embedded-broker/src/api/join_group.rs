//! **JoinGroup**, key 11, versions 0-9.
//!
//! Makes a client a member of a group, or part of its next generation. The answer waits until all members have joined, or
//! the time for it is up; the leader's answer lists them all.
//!
//! - Version 4 and later: a new dynamic member is sent back with an id of its own first (KIP-394).
//! - Version 5 and later: `group.instance.id` makes a static member (KIP-345).
//! - A session timeout outside `group.min.session.timeout.ms` and `group.max.session.timeout.ms` is refused.
//! - Left out: `group.max.size`; the reason (version 8) is not logged.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{ApiKey, JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::buf::ByteBufMut;
use kafka_protocol::protocol::{Encodable, StrBytes};
use tokio::sync::oneshot;

use super::{Api, Context, Outcome};
use crate::clock::millis;
use crate::group::{self, JoinAnswer, JoinRequest, Joined, Kind, MemberProtocol};
use crate::state::State;

/// Before this version there is no rebalance timeout: the session timeout is it.
const FIRST_VERSION_WITH_REBALANCE_TIMEOUT: i16 = 1;
const FIRST_VERSION_THAT_RETURNS_WITH_ID: i16 = 4;
/// Before this version the name of the protocol cannot be null.
const FIRST_VERSION_WITHOUT_PROTOCOL_NAME: i16 = 7;
const FIRST_VERSION_THAT_SKIPS_ASSIGNMENT: i16 = 9;

pub(super) struct JoinGroup;

impl Api for JoinGroup {
    const KEY: ApiKey = ApiKey::JoinGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=9;
    type Request = JoinGroupRequest;
    type Response = JoinAnswer;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut JoinGroupRequest,
    ) -> Outcome<JoinAnswer> {
        if let Err(error) = check(state, cx, request) {
            return Outcome::Reply(JoinAnswer::refused(error, &request.member_id));
        }
        let (sender, answer) = oneshot::channel();
        let joining = join_request(cx, request);
        let delay = state.settings.initial_rebalance_delay;
        let joined = state
            .groups
            .change_classic(&request.group_id, &mut state.timers, |classic| {
                classic.join(joining, delay, cx.now, sender);
            });
        match joined {
            Some(()) => Outcome::Later(answer),
            None => Outcome::Reply(JoinAnswer::refused(
                ResponseError::InconsistentGroupProtocol,
                &request.member_id,
            )),
        }
    }
}

/// Makes sure that there is a group to join.
fn check(state: &mut State, cx: &Context, request: &JoinGroupRequest) -> Result<(), ResponseError> {
    group::check_member_request(&state.cluster, cx, &request.group_id)?;
    let settings = &state.settings;
    let bounds = settings.min_session_timeout..=settings.max_session_timeout;
    if !bounds.contains(&millis(request.session_timeout_ms)) {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    if request.member_id.is_empty() {
        state.groups.create_classic(&request.group_id);
        return Ok(());
    }
    match state.groups.get(&request.group_id).map(|group| &group.kind) {
        None => Err(ResponseError::UnknownMemberId),
        Some(Kind::Consumer(consumer)) if consumer.is_empty() => {
            Err(ResponseError::UnknownMemberId)
        }
        Some(_) => Ok(()),
    }
}

fn join_request(cx: &Context, request: &JoinGroupRequest) -> JoinRequest {
    let rebalance_timeout_ms = match cx.version >= FIRST_VERSION_WITH_REBALANCE_TIMEOUT {
        true => request.rebalance_timeout_ms,
        false => request.session_timeout_ms,
    };
    let protocols = request.protocols.iter().map(|protocol| MemberProtocol {
        name: protocol.name.to_string(),
        // Copied, so that a member does not keep the whole frame in memory.
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    JoinRequest {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(StrBytes::to_string),
        client_id: cx.client_id.clone(),
        client_host: cx.client_host.clone(),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(rebalance_timeout_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
        returns_with_id: cx.version >= FIRST_VERSION_THAT_RETURNS_WITH_ID,
        skips_assignment: cx.version >= FIRST_VERSION_THAT_SKIPS_ASSIGNMENT,
    }
}

impl Encodable for JoinAnswer {
    fn encode<B: ByteBufMut>(&self, buffer: &mut B, version: i16) -> anyhow::Result<()> {
        response(self, version).encode(buffer, version)
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        response(self, version).compute_size(version)
    }
}

/// The answer as the protocol has it.
fn response(answer: &JoinAnswer, version: i16) -> JoinGroupResponse {
    let response = match answer {
        JoinAnswer::Joined(joined) => joined_response(joined),
        JoinAnswer::Refused { error, member_id } => JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_protocol_name(None)
            .with_member_id(text(member_id)),
    };
    if version >= FIRST_VERSION_WITHOUT_PROTOCOL_NAME || response.protocol_name.is_some() {
        return response;
    }
    response.with_protocol_name(Some(StrBytes::default()))
}

fn joined_response(joined: &Joined) -> JoinGroupResponse {
    let members = joined.members.iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance_id.as_deref().map(text))
            .with_metadata(member.metadata.clone())
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.as_deref().map(text))
        .with_protocol_name(joined.protocol_name.as_deref().map(text))
        .with_leader(text(&joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(&joined.member_id))
        .with_members(members.collect())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
