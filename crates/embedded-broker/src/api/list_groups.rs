//! **ListGroups**, key 16, versions 0-5.
//!
//! Lists the groups that this node coordinates, in the order of their ids.
//!
//! - Version 4 and later: only those in certain states (KIP-518); version 5: only those of certain types (KIP-848). Upper
//!   and lower case are the same. A state or type that does not exist matches nothing.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ApiKey, GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct ListGroups;

impl Api for ListGroups {
    const KEY: ApiKey = ApiKey::ListGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Request = ListGroupsRequest;
    type Response = ListGroupsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut ListGroupsRequest,
    ) -> Outcome<ListGroupsResponse> {
        let (states, types) = (lower(&request.states_filter), lower(&request.types_filter));
        let groups = state
            .groups
            .iter()
            .filter(|(id, _)| state.cluster.is_coordinator(cx.node_id, id))
            .filter(|(_, group)| passes(&states, group.kind.state()))
            .filter(|(_, group)| passes(&types, group.kind.name()))
            .map(|(id, group)| {
                ListedGroup::default()
                    .with_group_id(GroupId(text(id)))
                    .with_protocol_type(text(group.kind.protocol_type()))
                    .with_group_state(text(group.kind.state()))
                    .with_group_type(text(group.kind.name()))
            });
        let groups = groups.collect();
        Outcome::Reply(ListGroupsResponse::default().with_groups(groups))
    }
}

fn lower(filter: &[StrBytes]) -> HashSet<String> {
    let wanted = filter.iter();
    wanted
        .map(|wanted| wanted.trim().to_ascii_lowercase())
        .collect()
}

/// Whether `value` is in the filter; no filter passes all.
fn passes(filter: &HashSet<String>, value: &str) -> bool {
    filter.is_empty() || filter.contains(&value.to_ascii_lowercase())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
