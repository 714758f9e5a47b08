//! **DeleteGroups**, key 42, versions 0-2.
//!
//! Deletes groups without members, offsets and all, each with a result of its own.

use std::ops::RangeInclusive;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{ApiKey, DeleteGroupsRequest, DeleteGroupsResponse};

use super::once::each_once;
use super::{Api, Context, Outcome, code};
use crate::group;
use crate::state::State;

pub(super) struct DeleteGroups;

impl Api for DeleteGroups {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Request = DeleteGroupsRequest;
    type Response = DeleteGroupsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut DeleteGroupsRequest,
    ) -> Outcome<DeleteGroupsResponse> {
        // As in Apache Kafka, a group that is named twice is deleted and answered once.
        let results = each_once(&request.groups_names, |id| id).map(|id| {
            let result = group::check_coordinator(&state.cluster, cx, id)
                .and_then(|()| state.groups.delete(id));
            DeletableGroupResult::default()
                .with_group_id(id.clone())
                .with_error_code(code(&result))
        });
        let results = results.collect();
        Outcome::Reply(DeleteGroupsResponse::default().with_results(results))
    }
}
