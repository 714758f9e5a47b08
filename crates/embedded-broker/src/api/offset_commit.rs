//! **OffsetCommit**, key 8, versions 2-9.
//!
//! Remembers how far a group has come. Members commit for the generation they are in; a client that is no member may
//! commit for a group that has none, which also creates the group.
//!
//! - An unknown topic or partition and metadata beyond `offset.metadata.max.bytes` are errors of that partition alone.
//! - Left out: the retention time of versions 2 to 4; all offsets have the broker's (`offsets.retention.minutes`).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{ApiKey, OffsetCommitRequest, OffsetCommitResponse};

use super::{Api, Context, Outcome, code};
use crate::cluster::Cluster;
use crate::group::assignor::TopicPartition;
use crate::group::{self, CommittedOffset, Committer, Groups, Offsets};
use crate::state::State;
use crate::topic::Topics;

pub(super) struct OffsetCommit;

impl Api for OffsetCommit {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    const VERSIONS: RangeInclusive<i16> = 2..=9;
    type Request = OffsetCommitRequest;
    type Response = OffsetCommitResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut OffsetCommitRequest,
    ) -> Outcome<OffsetCommitResponse> {
        let exists = |topic: &str, index| state.topics.has(topic, index);
        let existing = existing_partitions(&state.topics, request);
        // As in Apache Kafka, a request without any partition that exists does not reach the group.
        let mut offsets = match existing.is_empty() {
            false => accept(&state.cluster, &mut state.groups, cx, request, &existing),
            true => Err(ResponseError::UnknownTopicOrPartition),
        };
        let longest = state.settings.max_offset_metadata;
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let result = match &mut offsets {
                    _ if !exists(&topic.name, index) => Err(ResponseError::UnknownTopicOrPartition),
                    Ok(offsets) => commit(offsets, &topic.name, partition, longest),
                    Err(error) => Err(*error),
                };
                OffsetCommitResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(code(&result))
            });
            OffsetCommitResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name.clone())
        });
        let topics = topics.collect();
        Outcome::Reply(OffsetCommitResponse::default().with_topics(topics))
    }
}

/// The group's offsets, if it takes commits from this client.
fn accept<'a>(
    cluster: &Cluster,
    groups: &'a mut Groups,
    cx: &Context,
    request: &OffsetCommitRequest,
    partitions: &[TopicPartition],
) -> Result<&'a mut Offsets, ResponseError> {
    group::check_coordinator(cluster, cx, &request.group_id)?;
    let committer = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation_or_epoch: request.generation_id_or_member_epoch,
        transactional: false,
        version: cx.version,
        partitions,
    };
    groups.accept_commit(&request.group_id, committer, cx.now)
}

fn existing_partitions(topics: &Topics, request: &OffsetCommitRequest) -> Vec<TopicPartition> {
    let existing = request.topics.iter().filter_map(|topic| {
        let topic_id = topics.get(&topic.name)?.id;
        let indexes = topic.partitions.iter().map(|asked| asked.partition_index);
        let indexes = indexes.filter(|index| topics.has(&topic.name, *index));
        Some(indexes.map(move |partition| TopicPartition {
            topic_id,
            partition,
        }))
    });
    existing.flatten().collect()
}

fn commit(
    offsets: &mut Offsets,
    topic: &str,
    partition: &OffsetCommitRequestPartition,
    longest_metadata: usize,
) -> Result<(), ResponseError> {
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    if metadata.len() > longest_metadata {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let committed = CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.to_owned(),
    };
    offsets.commit(topic, partition.partition_index, committed);
    Ok(())
}
