//! **OffsetCommit**, key 8, versions 2-9.
//!
//! Remembers how far a group has come. Members commit for the generation they are in; a client that is no member may
//! commit for a group that has none, which also creates the group.
//!
//! - An unknown topic or partition and metadata beyond `offset.metadata.max.bytes` are errors of that partition alone.
//! - Left out: the retention time of versions 2 to 4 (Apache Kafka follows it); offsets are kept until they are deleted.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{ApiKey, OffsetCommitRequest, OffsetCommitResponse};

use super::{Api, Context, Outcome, code};
use crate::group::{self, CommittedOffset, Committer};
use crate::state::State;

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
        let accepted = accept(state, cx, request);
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let result = commit(state, &request.group_id, &topic.name, partition, accepted);
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
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

/// Whether the group takes commits from this client; creates the group where there is none to be a member of.
fn accept(
    state: &mut State,
    cx: &Context,
    request: &OffsetCommitRequest,
) -> Result<(), ResponseError> {
    group::check_coordinator(&state.cluster, cx, &request.group_id)?;
    let committer = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation_or_epoch: request.generation_id_or_member_epoch,
        transactional: false,
        version: cx.version,
    };
    let known = request.topics.iter().any(|topic| {
        let mut partitions = topic.partitions.iter();
        partitions.any(|partition| state.topics.has(&topic.name, partition.partition_index))
    });
    // As in Apache Kafka, a request without any partition that exists does not reach the group.
    match known {
        true => state
            .groups
            .accept_commit(&request.group_id, committer, cx.now)
            .map(|_| ()),
        false => Ok(()),
    }
}

fn commit(
    state: &mut State,
    group_id: &str,
    topic: &str,
    partition: &OffsetCommitRequestPartition,
    accepted: Result<(), ResponseError>,
) -> Result<(), ResponseError> {
    if !state.topics.has(topic, partition.partition_index) {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    accepted?;
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    if metadata.len() > state.settings.max_offset_metadata {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let committed = CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.to_owned(),
    };
    state
        .groups
        .create(group_id)
        .offsets
        .commit(topic, partition.partition_index, committed);
    Ok(())
}
