//! **OffsetDelete**, key 47, version 0.
//!
//! Forgets committed offsets of a group, partition by partition (KIP-496). Those of a topic that its members are
//! subscribed to are kept: a member would commit them again.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{ApiKey, OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Api, Context, Outcome, code};
use crate::group::{self, Group, Subscribed};
use crate::state::State;
use crate::topic::Topics;

pub(super) struct OffsetDelete;

impl Api for OffsetDelete {
    const KEY: ApiKey = ApiKey::OffsetDelete;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Request = OffsetDeleteRequest;
    type Response = OffsetDeleteResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut OffsetDeleteRequest,
    ) -> Outcome<OffsetDeleteResponse> {
        let answer = OffsetDeleteResponse::default();
        let State {
            cluster,
            groups,
            topics,
            ..
        } = state;
        let group = group::check_coordinator(cluster, cx, &request.group_id)
            .and_then(|()| groups.with_deletable_offsets(&request.group_id));
        let group = match group {
            Ok(group) => group,
            Err(error) => return Outcome::Reply(answer.with_error_code(error.code())),
        };
        let subscribed = group.kind.subscribed();
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let result = delete(group, &subscribed, topics, &topic.name, index);
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(code(&result))
            });
            OffsetDeleteResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        Outcome::Reply(answer.with_topics(topics.collect()))
    }
}

fn delete(
    group: &mut Group,
    subscribed: &Subscribed,
    topics: &Topics,
    topic: &str,
    partition: i32,
) -> Result<(), ResponseError> {
    if !topics.has(topic, partition) {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    if subscribed.contains(topic) {
        return Err(ResponseError::GroupSubscribedToTopic);
    }
    group.offsets.remove(topic, partition);
    Ok(())
}
