//! **OffsetFetch**, key 9, versions 1-9.
//!
//! Tells how far a group has come. A group or partition without a committed offset is no error: its offset is -1.
//!
//! - No topics (null) means all of the group's offsets.
//! - Version 7 and later: `require_stable` refuses to tell what an open transaction may yet change, partition by partition
//!   (KIP-447).
//! - Version 8 and later: several groups (KIP-709).
//! - Version 9 and later: a member of a consumer group says its epoch, and learns that it is behind (KIP-848).

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{ApiKey, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::once::each_once;
use super::{Api, Context, Outcome};
use crate::group::{self, CommittedOffset, Kind, Offsets};
use crate::state::State;

/// Before this version an error of the whole request is repeated in each partition.
const FIRST_VERSION_WITH_ERROR: i16 = 2;
/// From this version on request and answer carry lists of groups.
const FIRST_BATCHED_VERSION: i16 = 8;

pub(super) struct OffsetFetch;

impl Api for OffsetFetch {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    const VERSIONS: RangeInclusive<i16> = 1..=9;
    type Request = OffsetFetchRequest;
    type Response = OffsetFetchResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut OffsetFetchRequest,
    ) -> Outcome<OffsetFetchResponse> {
        let require_stable = request.require_stable;
        if cx.version < FIRST_BATCHED_VERSION {
            let asked = only_group(request);
            let found = fetch_group(state, cx, &asked, require_stable);
            return Outcome::Reply(only_answer(found, &asked, cx.version));
        }
        let groups = each_once(&request.groups, |asked| &asked.group_id)
            .map(|asked| fetch_group(state, cx, asked, require_stable))
            .collect();
        Outcome::Reply(OffsetFetchResponse::default().with_groups(groups))
    }
}

fn fetch_group(
    state: &State,
    cx: &Context,
    asked: &OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let answer = OffsetFetchResponseGroup::default().with_group_id(asked.group_id.clone());
    if let Err(error) = group::check_coordinator(&state.cluster, cx, &asked.group_id) {
        return answer.with_error_code(error.code());
    }
    let group = state.groups.get(&asked.group_id);
    if let Some(Kind::Consumer(consumer)) = group.map(|group| &group.kind)
        && let Err(error) = consumer.check_fetch(asked.member_id.as_deref(), asked.member_epoch)
    {
        return answer.with_error_code(error.code());
    }
    let offsets = group.map(|group| &group.offsets);
    let all;
    let topics = match &asked.topics {
        Some(topics) => topics,
        None => {
            all = all_partitions(offsets);
            &all
        }
    };
    let mut fetched = HashSet::new();
    let topics = topics.iter().map(|topic| {
        let partitions = topic
            .partition_indexes
            .iter()
            .filter(|index| fetched.insert((&topic.name, **index)))
            .map(|index| fetch_partition(offsets, &topic.name, *index, require_stable));
        OffsetFetchResponseTopics::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    answer.with_topics(topics.collect())
}

fn fetch_partition(
    offsets: Option<&Offsets>,
    topic: &str,
    index: i32,
    require_stable: bool,
) -> OffsetFetchResponsePartitions {
    let answer = OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()));
    let Some(offsets) = offsets else {
        return answer;
    };
    if require_stable && offsets.is_unstable(topic, index) {
        return answer.with_error_code(ResponseError::UnstableOffsetCommit.code());
    }
    match offsets.get(topic, index).cloned() {
        None => answer,
        Some(CommittedOffset {
            offset,
            leader_epoch,
            metadata,
        }) => answer
            .with_committed_offset(offset)
            .with_committed_leader_epoch(leader_epoch)
            .with_metadata(Some(StrBytes::from_string(metadata))),
    }
}

/// Every partition that the group has committed an offset for.
fn all_partitions(offsets: Option<&Offsets>) -> Vec<OffsetFetchRequestTopics> {
    let topics = offsets.into_iter().flat_map(Offsets::iter);
    topics
        .map(|(topic, partitions)| {
            OffsetFetchRequestTopics::default()
                .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
                .with_partition_indexes(partitions.collect())
        })
        .collect()
}

/// What the versions that ask for one group ask for, in the form of the later ones.
fn only_group(request: &OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.as_ref().map(|topics| {
        let topics = topics.iter().map(|topic| {
            OffsetFetchRequestTopics::default()
                .with_name(topic.name.clone())
                .with_partition_indexes(topic.partition_indexes.clone())
        });
        topics.collect()
    });
    OffsetFetchRequestGroup::default()
        .with_group_id(request.group_id.clone())
        .with_topics(topics)
}

/// The answer in the form of the versions that ask for one group.
fn only_answer(
    found: OffsetFetchResponseGroup,
    asked: &OffsetFetchRequestGroup,
    version: i16,
) -> OffsetFetchResponse {
    let failed = found.error_code != 0;
    if failed && version >= FIRST_VERSION_WITH_ERROR {
        return OffsetFetchResponse::default().with_error_code(found.error_code);
    }
    let found_topics = match failed {
        true => repeat_error(asked, found.error_code),
        false => found.topics,
    };
    let topics = found_topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn repeat_error(
    asked: &OffsetFetchRequestGroup,
    error_code: i16,
) -> Vec<OffsetFetchResponseTopics> {
    let topics = asked.topics.iter().flatten().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            fetch_partition(None, &topic.name, *index, false).with_error_code(error_code)
        });
        OffsetFetchResponseTopics::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    topics.collect()
}
