//! **FindCoordinator**, key 10, versions 0-5.
//!
//! Tells which node coordinates a group (key type 0) or a transactional id (key type 1). From version 4 on one request asks
//! for several keys (KIP-699).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{ApiKey, BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::state::State;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From this version on the request and the answer carry lists.
const FIRST_BATCHED_VERSION: i16 = 4;

pub(super) struct FindCoordinator;

impl Api for FindCoordinator {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Request = FindCoordinatorRequest;
    type Response = FindCoordinatorResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut FindCoordinatorRequest,
    ) -> Outcome<FindCoordinatorResponse> {
        if cx.version >= FIRST_BATCHED_VERSION {
            let keys = &request.coordinator_keys;
            let coordinators = keys
                .iter()
                .map(|key| coordinator(state, cx, request.key_type, key))
                .collect();
            return Outcome::Reply(
                FindCoordinatorResponse::default().with_coordinators(coordinators),
            );
        }
        let found = coordinator(state, cx, request.key_type, &request.key);
        Outcome::Reply(
            FindCoordinatorResponse::default()
                .with_error_code(found.error_code)
                .with_error_message(found.error_message)
                .with_node_id(found.node_id)
                .with_host(found.host)
                .with_port(found.port),
        )
    }
}

fn coordinator(state: &State, cx: &Context, key_type: i8, key: &StrBytes) -> Coordinator {
    let answer = Coordinator::default().with_key(key.clone());
    let failed = |error: ResponseError| {
        Coordinator::default()
            .with_key(key.clone())
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(error.to_string())))
    };
    if key_type != GROUP && key_type != TRANSACTION {
        return failed(ResponseError::InvalidRequest);
    }
    match state.cluster.coordinator(key) {
        Some(node) => {
            let (host, port) = node.endpoint(cx.session.listener);
            answer
                .with_node_id(BrokerId(node.id))
                .with_host(StrBytes::from_string(host.to_owned()))
                .with_port(port)
        }
        None => failed(ResponseError::CoordinatorNotAvailable),
    }
}
