//! **ListPartitionReassignments**, key 46, version 0.
//!
//! Lists partitions that are on their way to other nodes (KIP-455). All replicas are this process, so a move is over at
//! once and the list is empty; tools ask for it before they describe a topic.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{
    ApiKey, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct ListPartitionReassignments;

impl Api for ListPartitionReassignments {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Request = ListPartitionReassignmentsRequest;
    type Response = ListPartitionReassignmentsResponse;

    fn handle(
        _: &mut State,
        _: &Context,
        _: &mut ListPartitionReassignmentsRequest,
    ) -> Outcome<ListPartitionReassignmentsResponse> {
        Outcome::Reply(ListPartitionReassignmentsResponse::default().with_error_message(None))
    }
}
