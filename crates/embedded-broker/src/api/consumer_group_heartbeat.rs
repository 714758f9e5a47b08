//! **ConsumerGroupHeartbeat**, key 68, versions 0-1.
//!
//! All that a member of a consumer group ever says to its coordinator (KIP-848): it joins with epoch 0, stays with the epoch
//! it was last told, leaves with -1, or with -2 for a while if it is a static member. The answer tells it what to read.
//!
//! - The assignors are `uniform`, the default, and `range`. A subscription may be by regular expression.
//! - From version 1 on the member chooses its id; before, the coordinator gives one to a member that has none.
//! - Left out: `group.consumer.max.size`; racks are remembered and shown, and do not matter to the assignors, as in Apache
//!   Kafka; a classic group with members is not taken over while it runs, as with `group.consumer.migration.policy=disabled`.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Api, Context, Outcome};
use crate::clock::millis;
use crate::group;
use crate::group::assignor::{self, Assignor, TopicPartition};
use crate::group::consumer::{Answer, Heartbeat, JOINING, LEAVING, LEAVING_FOR_A_WHILE, Rejected};
use crate::state::State;

/// From this version on the member chooses its id.
const FIRST_VERSION_WITH_OWN_IDS: i16 = 1;
/// The rebalance timeout of a member that does not say it again.
const NOT_SAID: i32 = -1;

pub(super) struct ConsumerGroupHeartbeat;

impl Api for ConsumerGroupHeartbeat {
    const KEY: ApiKey = ApiKey::ConsumerGroupHeartbeat;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Request = ConsumerGroupHeartbeatRequest;
    type Response = ConsumerGroupHeartbeatResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut ConsumerGroupHeartbeatRequest,
    ) -> Outcome<ConsumerGroupHeartbeatResponse> {
        let result = match check(state, cx, request) {
            Err(rejected) => Err(rejected),
            Ok(assignor) if request.member_epoch >= JOINING => {
                heartbeat(state, cx, request, assignor)
            }
            Ok(_) => leave(state, request),
        };
        Outcome::Reply(result.unwrap_or_else(|rejected| {
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(rejected.error.code())
                .with_error_message(Some(StrBytes::from_string(rejected.message)))
        }))
    }
}

/// Whether the request makes sense, before anybody looks at the group. Returns the assignor that it asks for.
fn check(
    state: &State,
    cx: &Context,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<Option<Assignor>, Rejected> {
    let epoch = request.member_epoch;
    let has_id = cx.version >= FIRST_VERSION_WITH_OWN_IDS || epoch > JOINING || epoch == LEAVING;
    let is_empty = |text: &Option<StrBytes>| text.as_ref().is_some_and(|text| text.is_empty());
    let owns_nothing = request.topic_partitions.as_ref().map(Vec::is_empty);
    let has_subscription =
        request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    let joins = epoch == JOINING;
    let mistakes = [
        (
            has_id && request.member_id.is_empty(),
            "MemberId can't be empty.",
        ),
        (request.group_id.is_empty(), "GroupId can't be empty."),
        (is_empty(&request.instance_id), "InstanceId can't be empty."),
        (is_empty(&request.rack_id), "RackId can't be empty."),
        (
            joins && request.rebalance_timeout_ms == NOT_SAID,
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            joins && owns_nothing != Some(true),
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            joins && !has_subscription,
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (
            epoch == LEAVING_FOR_A_WHILE && request.instance_id.is_none(),
            "InstanceId can't be null.",
        ),
        (epoch < LEAVING_FOR_A_WHILE, "MemberEpoch is invalid."),
    ];
    if let Some((_, mistake)) = mistakes.iter().find(|(is_made, _)| *is_made) {
        return Err(Rejected::new(ResponseError::InvalidRequest, *mistake));
    }
    let assignor = request.server_assignor.as_deref().map(find_assignor);
    let assignor = assignor.transpose()?;
    group::check_coordinator(&state.cluster, cx, &request.group_id)
        .map_err(|error| Rejected::new(error, error.to_string()))?;
    Ok(assignor)
}

fn find_assignor(name: &str) -> Result<Assignor, Rejected> {
    Assignor::named(name).ok_or_else(|| {
        let supported = Assignor::ALL.map(Assignor::name).join(", ");
        Rejected::new(
            ResponseError::UnsupportedAssignor,
            format!("ServerAssignor {name} is not supported. Supported assignors: {supported}."),
        )
    })
}

fn heartbeat(
    state: &mut State,
    cx: &Context,
    request: &ConsumerGroupHeartbeatRequest,
    assignor: Option<Assignor>,
) -> Result<ConsumerGroupHeartbeatResponse, Rejected> {
    let config = state.configs.group(&request.group_id);
    let heartbeat = read(cx, request, assignor);
    let answer = state.groups.consumer_heartbeat(
        &request.group_id,
        &heartbeat,
        (cx.now, &mut state.timers),
        config,
        &state.topics,
    )?;
    let interval_ms = i32::try_from(config.heartbeat_interval.as_millis()).unwrap_or(i32::MAX);
    Ok(response(heartbeat.member_id, answer).with_heartbeat_interval_ms(interval_ms))
}

fn leave(
    state: &mut State,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Rejected> {
    let consumer = state.groups.consumer_mut(&request.group_id)?;
    consumer.leave(
        &request.member_id,
        request.instance_id.as_deref(),
        request.member_epoch,
    )?;
    Ok(ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(request.member_id.clone()))
        .with_member_epoch(request.member_epoch))
}

fn read(
    cx: &Context,
    request: &ConsumerGroupHeartbeatRequest,
    assignor: Option<Assignor>,
) -> Heartbeat {
    let text = |text: &Option<StrBytes>| text.as_ref().map(StrBytes::to_string);
    let names = request.subscribed_topic_names.as_ref();
    let owned = request.topic_partitions.as_ref().map(|topics| {
        let partitions = topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| TopicPartition {
                topic_id: topic.topic_id,
                partition: *partition,
            })
        });
        partitions.collect()
    });
    let member_id = match request.member_id.is_empty() {
        true => Uuid::new_v4().to_string(),
        false => request.member_id.to_string(),
    };
    Heartbeat {
        member_id,
        member_epoch: request.member_epoch,
        instance_id: text(&request.instance_id),
        rack_id: text(&request.rack_id),
        rebalance_timeout: (request.rebalance_timeout_ms != NOT_SAID)
            .then(|| millis(request.rebalance_timeout_ms)),
        topic_names: names.map(|names| names.iter().map(|name| name.to_string()).collect()),
        topic_pattern: text(&request.subscribed_topic_regex),
        assignor,
        owned,
        client_id: cx.client_id.clone(),
        client_host: cx.client_host.clone(),
    }
}

fn response(member_id: String, answer: Answer) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(StrBytes::from_string(member_id)))
        .with_member_epoch(answer.member_epoch)
        .with_assignment(answer.assignment.as_ref().map(assignment))
}

fn assignment(partitions: &assignor::Assignment) -> Assignment {
    let mut topics: Vec<TopicPartitions> = Vec::new();
    // They come sorted: those of one topic follow one another.
    for TopicPartition {
        topic_id,
        partition,
    } in partitions
    {
        match topics.last_mut() {
            Some(topic) if topic.topic_id == *topic_id => topic.partitions.push(*partition),
            _ => topics.push(
                TopicPartitions::default()
                    .with_topic_id(*topic_id)
                    .with_partitions(vec![*partition]),
            ),
        }
    }
    Assignment::default().with_topic_partitions(topics)
}
