//! **ConsumerGroupDescribe**, key 69, versions 0-1.
//!
//! Shows consumer groups (KIP-848): what each is doing, and of each member what it said, what it has and what it shall have.
//! A classic group is not found here, nor a consumer group by DescribeGroups: tools try both.
//!
//! - From version 1 on a member has a type; all are members of the new protocol (1).
//! - Partitions of topics that are gone are not shown.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::describe_groups::{ALL_OPERATIONS, NOT_ASKED};
use super::once::each_once;
use super::{Api, Context, Outcome};
use crate::group;
use crate::group::assignor::TopicPartition;
use crate::group::consumer::{self, Rejected};
use crate::state::State;
use crate::topic::Topics;

/// `member_type` of a member that speaks the new protocol.
const SPEAKS_NEW_PROTOCOL: i8 = 1;
/// `member_type` where the version does not have it.
const NO_MEMBER_TYPE: i8 = -1;
const FIRST_VERSION_WITH_MEMBER_TYPE: i16 = 1;

pub(super) struct ConsumerGroupDescribe;

impl Api for ConsumerGroupDescribe {
    const KEY: ApiKey = ApiKey::ConsumerGroupDescribe;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Request = ConsumerGroupDescribeRequest;
    type Response = ConsumerGroupDescribeResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut ConsumerGroupDescribeRequest,
    ) -> Outcome<ConsumerGroupDescribeResponse> {
        let authorized_operations = match request.include_authorized_operations {
            true => ALL_OPERATIONS,
            false => NOT_ASKED,
        };
        let groups = each_once(&request.group_ids, |id| id).map(|id| {
            let described = describe(state, cx, id);
            described
                .map(|group| group.with_authorized_operations(authorized_operations))
                .unwrap_or_else(|rejected| {
                    DescribedGroup::default()
                        .with_error_code(rejected.error.code())
                        .with_error_message(Some(StrBytes::from_string(rejected.message)))
                })
                .with_group_id(id.clone())
        });
        let groups = groups.collect();
        Outcome::Reply(ConsumerGroupDescribeResponse::default().with_groups(groups))
    }
}

fn describe(state: &State, cx: &Context, id: &GroupId) -> Result<DescribedGroup, Rejected> {
    group::check_coordinator(&state.cluster, cx, id)
        .map_err(|error| Rejected::new(error, error.to_string()))?;
    let group = state.groups.consumer(id)?;
    let member_type = match cx.version >= FIRST_VERSION_WITH_MEMBER_TYPE {
        true => SPEAKS_NEW_PROTOCOL,
        false => NO_MEMBER_TYPE,
    };
    let members = group.members().map(|(id, member, target)| {
        describe_member(id, member, &state.topics)
            .with_target_assignment(assignment(target.into_iter().flatten(), &state.topics))
            .with_member_type(member_type)
    });
    Ok(DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str(group.state().name()))
        .with_group_epoch(group.epoch())
        .with_assignment_epoch(group.assignment_epoch())
        .with_assignor_name(StrBytes::from_static_str(group.assignor().name()))
        .with_members(members.collect()))
}

fn describe_member(id: &str, member: &consumer::Member, topics: &Topics) -> Member {
    let optional = |value: &Option<String>| value.as_deref().map(text);
    let names = member.subscription.names.iter();
    Member::default()
        .with_member_id(text(id))
        .with_instance_id(optional(&member.instance_id))
        .with_rack_id(optional(&member.rack_id))
        .with_member_epoch(member.current.epoch)
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_subscribed_topic_names(names.map(|name| TopicName(text(name))).collect())
        .with_subscribed_topic_regex(Some(text(&member.subscription.pattern)))
        // What it has to give up is its own until it has.
        .with_assignment(assignment(member.current.held(), topics))
}

fn assignment<'a>(
    partitions: impl Iterator<Item = &'a TopicPartition>,
    topics: &Topics,
) -> Assignment {
    let mut by_topic: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        let partitions = by_topic.entry(partition.topic_id).or_default();
        partitions.push(partition.partition);
    }
    let topics = by_topic.into_iter().filter_map(|(topic_id, partitions)| {
        let name = topics.name_of(topic_id)?;
        let topic = TopicPartitions::default()
            .with_topic_id(topic_id)
            .with_topic_name(TopicName(text(name)))
            .with_partitions(partitions);
        Some(topic)
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
