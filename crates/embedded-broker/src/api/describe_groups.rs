//! **DescribeGroups**, key 15, versions 0-6.
//!
//! Shows a classic group: its state, its members, what they said when they joined and what was assigned to them.
//!
//! - An unknown group is "Dead"; from version 6 on also GROUP_ID_NOT_FOUND, so that a tool can tell the two apart (KIP-1043).
//! - What members said is shown in the state Stable only: in between, it is not decided which of their protocols counts.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{ApiKey, DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::once::each_once;
use super::{Api, Context, Outcome};
use crate::group::{self, ClassicGroup, ClassicMember, Kind};
use crate::state::State;

/// From this version on an unknown group is an error.
const FIRST_VERSION_WITH_NOT_FOUND: i16 = 6;
/// `authorized_operations` when nobody asked for them.
pub(super) const NOT_ASKED: i32 = i32::MIN;
/// Everything that can be done to a group, for nobody is refused anything here: a bit for the code of each of READ,
/// DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS
/// (<https://kafka.apache.org/43/javadoc/org/apache/kafka/common/acl/AclOperation.html>).
pub(super) const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub(super) struct DescribeGroups;

impl Api for DescribeGroups {
    const KEY: ApiKey = ApiKey::DescribeGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    type Request = DescribeGroupsRequest;
    type Response = DescribeGroupsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut DescribeGroupsRequest,
    ) -> Outcome<DescribeGroupsResponse> {
        let authorized_operations = match request.include_authorized_operations {
            true => ALL_OPERATIONS,
            false => NOT_ASKED,
        };
        let groups = each_once(&request.groups, |id| id)
            .map(|id| describe(state, cx, id).with_authorized_operations(authorized_operations));
        let groups = groups.collect();
        Outcome::Reply(DescribeGroupsResponse::default().with_groups(groups))
    }
}

fn describe(state: &State, cx: &Context, id: &GroupId) -> DescribedGroup {
    let answer = DescribedGroup::default().with_group_id(id.clone());
    if let Err(error) = group::check_coordinator(&state.cluster, cx, id) {
        return answer.with_error_code(error.code());
    }
    match state.groups.get(id).map(|group| &group.kind) {
        Some(Kind::Classic(classic)) => describe_classic(answer, classic),
        Some(Kind::Consumer(_)) => not_found(
            answer,
            cx,
            format!("Group {} is not a classic group.", **id),
        ),
        None => not_found(answer, cx, format!("Group {} not found.", **id)),
    }
}

fn not_found(answer: DescribedGroup, cx: &Context, reason: String) -> DescribedGroup {
    let answer = answer.with_group_state(StrBytes::from_static_str("Dead"));
    match cx.version >= FIRST_VERSION_WITH_NOT_FOUND {
        true => answer
            .with_error_code(ResponseError::GroupIdNotFound.code())
            .with_error_message(Some(StrBytes::from_string(reason))),
        false => answer,
    }
}

fn describe_classic(answer: DescribedGroup, classic: &ClassicGroup) -> DescribedGroup {
    let protocol = match classic.is_stable() {
        true => classic.protocol_name(),
        false => None,
    };
    let members = classic.members().iter();
    let members = members.map(|member| describe_member(member, protocol));
    answer
        .with_group_state(StrBytes::from_static_str(classic.state()))
        .with_protocol_type(text(classic.protocol_type().unwrap_or_default()))
        .with_protocol_data(text(protocol.unwrap_or_default()))
        .with_members(members.collect())
}

fn describe_member(member: &ClassicMember, protocol: Option<&str>) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(text(&member.id))
        .with_group_instance_id(member.instance_id.as_deref().map(text))
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_member_metadata(member.metadata(protocol))
        .with_member_assignment(member.assignment.clone())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
