//! **SyncGroup**, key 14, versions 0-5.
//!
//! Brings the leader's assignment to the members: the leader sends it, the others' answers wait for it.
//!
//! - Version 3 and later: static members (KIP-345).
//! - Version 5: client and broker make sure that they mean the same protocol (KIP-559).

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::buf::ByteBufMut;
use kafka_protocol::protocol::{Encodable, StrBytes};
use tokio::sync::oneshot;

use super::{Api, Context, Outcome};
use crate::group::{self, SyncAnswer, SyncRequest};
use crate::state::State;

/// From this version on a client has to say which protocol it means.
const FIRST_VERSION_WITH_PROTOCOL: i16 = 5;

pub(super) struct SyncGroup;

impl Api for SyncGroup {
    const KEY: ApiKey = ApiKey::SyncGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Request = SyncGroupRequest;
    type Response = SyncAnswer;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut SyncGroupRequest,
    ) -> Outcome<SyncAnswer> {
        if let Err(error) = check(state, cx, request) {
            return Outcome::Reply(SyncAnswer::Refused(error));
        }
        let (sender, answer) = oneshot::channel();
        let syncing = sync_request(request);
        let found = state
            .groups
            .change_classic(&request.group_id, &mut state.timers, |classic| {
                classic.sync(syncing, cx.now, sender);
            });
        match found {
            Some(()) => Outcome::Later(answer),
            None => Outcome::Reply(SyncAnswer::Refused(ResponseError::UnknownMemberId)),
        }
    }
}

fn check(state: &State, cx: &Context, request: &SyncGroupRequest) -> Result<(), ResponseError> {
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if cx.version >= FIRST_VERSION_WITH_PROTOCOL && !names_protocol {
        return Err(ResponseError::InconsistentGroupProtocol);
    }
    group::check_member_request(&state.cluster, cx, &request.group_id)
}

fn sync_request(request: &SyncGroupRequest) -> SyncRequest {
    let assignments = request.assignments.iter().map(|assigned| {
        // Copied, so that a member does not keep the whole frame in memory.
        let assignment = Bytes::copy_from_slice(&assigned.assignment);
        (assigned.member_id.to_string(), assignment)
    });
    SyncRequest {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(StrBytes::to_string),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(StrBytes::to_string),
        protocol_name: request.protocol_name.as_ref().map(StrBytes::to_string),
        assignments: assignments.collect(),
    }
}

impl Encodable for SyncAnswer {
    fn encode<B: ByteBufMut>(&self, buffer: &mut B, version: i16) -> anyhow::Result<()> {
        response(self).encode(buffer, version)
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        response(self).compute_size(version)
    }
}

/// The answer as the protocol has it.
fn response(answer: &SyncAnswer) -> SyncGroupResponse {
    let text = |text: &String| StrBytes::from_string(text.clone());
    match answer {
        SyncAnswer::Assigned {
            protocol_type,
            protocol_name,
            assignment,
        } => SyncGroupResponse::default()
            .with_protocol_type(protocol_type.as_ref().map(text))
            .with_protocol_name(protocol_name.as_ref().map(text))
            .with_assignment(assignment.clone()),
        SyncAnswer::Refused(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}
