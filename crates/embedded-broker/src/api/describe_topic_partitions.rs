//! **DescribeTopicPartitions**, key 75, version 0.
//!
//! Describes the partitions of topics page by page (KIP-966): of the topics that are named, or of all, in the order of
//! their names. A page ends after so many partitions; its cursor says where the next begins.
//!
//! A replica that falls behind is in no list of eligible leaders: both lists are always empty.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::metadata::{ALL_TOPIC_OPERATIONS, NOT_ASKED};
use super::{Api, Context, Outcome};
use crate::cluster::Cluster;
use crate::state::State;
use crate::topic::{NO_LEADER, Partition};

/// `max.request.partition.size.limit`
const MAX_PAGE: i32 = 2_000;

pub(super) struct DescribeTopicPartitions;

impl Api for DescribeTopicPartitions {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Request = DescribeTopicPartitionsRequest;
    type Response = DescribeTopicPartitionsResponse;

    fn handle(
        state: &mut State,
        _: &Context,
        request: &mut DescribeTopicPartitionsRequest,
    ) -> Outcome<DescribeTopicPartitionsResponse> {
        let names = names(state, request);
        let (first_topic, first_partition) = match &request.cursor {
            Some(cursor) => (&**cursor.topic_name, cursor.partition_index),
            None => ("", 0),
        };
        let is_lost = !request.topics.is_empty()
            && request.cursor.is_some()
            && names.iter().all(|name| name != first_topic);
        if is_lost || first_partition < 0 {
            let refused = |name: String| failed(name, ResponseError::InvalidRequest, NOT_ASKED);
            let topics = names.into_iter().map(refused).collect();
            return Outcome::Reply(DescribeTopicPartitionsResponse::default().with_topics(topics));
        }
        let limit = request.response_partition_limit.clamp(1, MAX_PAGE);
        let mut left = usize::try_from(limit).unwrap_or(1);
        let mut topics = Vec::new();
        let mut next = None;
        for name in names.into_iter().filter(|name| &**name >= first_topic) {
            let Some(topic) = state.topics.get(&name) else {
                let error = ResponseError::UnknownTopicOrPartition;
                topics.push(failed(name, error, ALL_TOPIC_OPERATIONS));
                continue;
            };
            let start = match name == first_topic {
                true => usize::try_from(first_partition).unwrap_or(0),
                false => 0,
            };
            if left == 0 {
                next = Some(cursor(&name, start));
                break;
            }
            let partitions: Vec<_> = (0..)
                .zip(&topic.partitions)
                .skip(start)
                .take(left)
                .map(|(index, found)| partition(index, found, &state.cluster))
                .collect();
            left -= partitions.len();
            let end = start + partitions.len();
            let is_cut = end < topic.partitions.len();
            topics.push(
                DescribeTopicPartitionsResponseTopic::default()
                    .with_name(Some(topic_name(&name)))
                    .with_topic_id(topic.id)
                    .with_partitions(partitions)
                    .with_topic_authorized_operations(ALL_TOPIC_OPERATIONS),
            );
            if is_cut {
                next = Some(cursor(&name, end));
                break;
            }
        }
        Outcome::Reply(
            DescribeTopicPartitionsResponse::default()
                .with_topics(topics)
                .with_next_cursor(next),
        )
    }
}

/// The topics that are asked about, sorted, each once.
fn names(state: &State, request: &DescribeTopicPartitionsRequest) -> Vec<String> {
    let mut names: Vec<String> = match &request.topics[..] {
        [] => state
            .topics
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect(),
        topics => topics.iter().map(|topic| topic.name.to_string()).collect(),
    };
    names.sort_unstable();
    names.dedup();
    names
}

fn failed(
    name: String,
    error: ResponseError,
    operations: i32,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(topic_name(&name)))
        .with_topic_authorized_operations(operations)
}

fn partition(
    index: i32,
    partition: &Partition,
    cluster: &Cluster,
) -> DescribeTopicPartitionsResponsePartition {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    let replicas = partition.replicas.iter().copied();
    let offline: Vec<i32> = replicas.filter(|id| !cluster.is_running(*id)).collect();
    let error = match partition.leader {
        NO_LEADER => ResponseError::LeaderNotAvailable.code(),
        _ => 0,
    };
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(index)
        .with_leader_id(BrokerId(partition.leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.in_sync))
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(ids(&offline))
}

fn cursor(topic: &str, partition: usize) -> Cursor {
    Cursor::default()
        .with_topic_name(topic_name(topic))
        .with_partition_index(i32::try_from(partition).unwrap_or(i32::MAX))
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
