//! **TxnOffsetCommit**, key 28, versions 0-4.
//!
//! Commits a group's offsets in the producer's transaction: they count when it is committed, and never were if it is
//! aborted. AddOffsetsToTxn comes before it.
//!
//! - Version 3 and later: the member, its generation and its instance id come along, so that a member of an earlier
//!   generation is fenced (KIP-447). A client that says nothing of them is believed.
//! - An unknown topic or partition and metadata beyond `offset.metadata.max.bytes` are errors of that partition alone.
//! - Left out: version 5, which adds the group to the transaction by itself (KIP-890).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{ApiKey, TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::{Api, Context, Outcome, code};
use crate::cluster::Cluster;
use crate::group::assignor::TopicPartition;
use crate::group::{self, CommittedOffset, Committer, Groups, Offsets};
use crate::state::State;
use crate::topic::Topics;
use crate::transaction::{self, Participant, ProducerIdAndEpoch, Transactions};

/// From this version on clients know TRANSACTION_ABORTABLE.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 4;

pub(super) struct TxnOffsetCommit;

impl Api for TxnOffsetCommit {
    const KEY: ApiKey = ApiKey::TxnOffsetCommit;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Request = TxnOffsetCommitRequest;
    type Response = TxnOffsetCommitResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut TxnOffsetCommitRequest,
    ) -> Outcome<TxnOffsetCommitResponse> {
        let exists = |topic: &str, index| state.topics.has(topic, index);
        let existing = existing_partitions(&state.topics, request);
        // As in Apache Kafka, a request without any partition that exists does not reach the group.
        let mut offsets = match existing.is_empty() {
            false => verify(&state.cluster, &mut state.transactions, cx, request)
                .and_then(|()| accept(&mut state.groups, cx, request, &existing)),
            true => Err(ResponseError::UnknownTopicOrPartition),
        };
        let producer_id = request.producer_id.0;
        let longest = state.settings.max_offset_metadata;
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let result = match &mut offsets {
                    _ if !exists(&topic.name, index) => Err(ResponseError::UnknownTopicOrPartition),
                    Ok(offsets) => stage(offsets, producer_id, &topic.name, partition, longest),
                    Err(error) => Err(*error),
                };
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(code(&result))
            });
            TxnOffsetCommitResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name.clone())
        });
        let topics = topics.collect();
        Outcome::Reply(TxnOffsetCommitResponse::default().with_topics(topics))
    }
}

/// Whether the producer has the group in its open transaction.
fn verify(
    cluster: &Cluster,
    transactions: &mut Transactions,
    cx: &Context,
    request: &TxnOffsetCommitRequest,
) -> Result<(), ResponseError> {
    group::check_member_request(cluster, cx, &request.group_id)?;
    let producer = ProducerIdAndEpoch {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let group = Participant::Group(request.group_id.to_string());
    transactions
        .verify(&request.transactional_id, producer, &group)
        .map_err(|error| {
            transaction::error_before_abortable(error, cx.version, FIRST_VERSION_WITH_ABORTABLE)
        })
}

/// The group's offsets, if it takes commits from this client.
fn accept<'a>(
    groups: &'a mut Groups,
    cx: &Context,
    request: &TxnOffsetCommitRequest,
    partitions: &[TopicPartition],
) -> Result<&'a mut Offsets, ResponseError> {
    let committer = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation_or_epoch: request.generation_id,
        transactional: true,
        version: cx.version,
        partitions,
    };
    groups.accept_commit(&request.group_id, committer, cx.now)
}

fn existing_partitions(topics: &Topics, request: &TxnOffsetCommitRequest) -> Vec<TopicPartition> {
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

fn stage(
    offsets: &mut Offsets,
    producer_id: i64,
    topic: &str,
    partition: &TxnOffsetCommitRequestPartition,
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
    offsets.stage(producer_id, topic, partition.partition_index, committed);
    Ok(())
}
