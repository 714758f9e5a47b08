//! OffsetFetch, whose versions have three forms: topics of one group, the same with an error for all, and several groups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::fault::request::{Parts, Refuse, Selector, replace, split_topics, whole};

/// From this version on there is an error for all of it.
const FIRST_VERSION_WITH_ERROR: i16 = 2;
/// From this version on there are several groups (KIP-709).
const FIRST_VERSION_WITH_GROUPS: i16 = 8;
/// There is no committed offset.
const NO_OFFSET: i64 = -1;
const NO_EPOCH: i32 = -1;

/// What is wrong with a partition is not wrong with its group.
fn concerns_partition(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::UnstableOffsetCommit
            | ResponseError::UnknownTopicOrPartition
            | ResponseError::TopicAuthorizationFailed
    )
}

impl Refuse for OffsetFetchRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        if !self.groups.is_empty() {
            return split_groups(self, selector);
        }
        match &self.topics {
            None => whole(self, selector, Some(&self.group_id), None),
            Some(_) => split_topics(
                self,
                selector,
                (Some(&self.group_id), None),
                |request| request.topics.get_or_insert_default(),
                |topic| (&topic.name, Uuid::nil()),
            ),
        }
    }

    fn refused(&self, error: ResponseError, version: i16) -> OffsetFetchResponse {
        if version >= FIRST_VERSION_WITH_GROUPS {
            let groups = self.groups.iter().map(|group| refused_group(group, error));
            return OffsetFetchResponse::default().with_groups(groups.collect());
        }
        if version >= FIRST_VERSION_WITH_ERROR && !concerns_partition(error) {
            return OffsetFetchResponse::default().with_error_code(error.code());
        }
        let topics = self.topics.iter().flatten();
        let refused = topics.map(|topic| refused_topic(topic, error));
        OffsetFetchResponse::default().with_topics(refused.collect())
    }

    fn merge(answer: &mut OffsetFetchResponse, refused: OffsetFetchResponse) {
        if refused.error_code != 0 {
            *answer = refused;
            return;
        }
        replace(&mut answer.topics, refused.topics, |topic| {
            topic.name.clone()
        });
        for group in refused.groups {
            match answer
                .groups
                .iter_mut()
                .find(|known| known.group_id == group.group_id)
            {
                Some(known) if group.error_code == 0 => {
                    replace(&mut known.topics, group.topics, |topic| {
                        (topic.name.clone(), topic.topic_id)
                    });
                }
                Some(known) => *known = group,
                None => answer.groups.push(group),
            }
        }
    }
}

fn split_groups(
    request: &OffsetFetchRequest,
    selector: &Selector,
) -> Option<Parts<OffsetFetchRequest>> {
    let (mut selected, mut rest) = (Vec::new(), Vec::new());
    for group in &request.groups {
        let parts = match &group.topics {
            None => whole(group, selector, Some(&group.group_id), None),
            Some(_) => split_topics(
                group,
                selector,
                (Some(&group.group_id), None),
                |group| group.topics.get_or_insert_default(),
                |topic: &OffsetFetchRequestTopics| (&topic.name, topic.topic_id),
            ),
        };
        match parts {
            Some(parts) => {
                selected.push(parts.selected);
                rest.extend(parts.rest);
            }
            None => rest.push(group.clone()),
        }
    }
    let rest = (!rest.is_empty()).then(|| request.clone().with_groups(rest));
    (!selected.is_empty()).then(|| Parts {
        selected: request.clone().with_groups(selected),
        rest,
    })
}

fn refused_group(
    group: &OffsetFetchRequestGroup,
    error: ResponseError,
) -> OffsetFetchResponseGroup {
    let refused = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
    if !concerns_partition(error) {
        return refused.with_error_code(error.code());
    }
    let topics = group.topics.iter().flatten().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(*index)
                .with_error_code(error.code())
                .with_committed_offset(NO_OFFSET)
                .with_committed_leader_epoch(NO_EPOCH)
                .with_metadata(Some(StrBytes::new()))
        });
        OffsetFetchResponseTopics::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(partitions.collect())
    });
    refused.with_topics(topics.collect())
}

fn refused_topic(
    topic: &OffsetFetchRequestTopic,
    error: ResponseError,
) -> OffsetFetchResponseTopic {
    let partitions = topic.partition_indexes.iter().map(|index| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(*index)
            .with_error_code(error.code())
            .with_committed_offset(NO_OFFSET)
            .with_committed_leader_epoch(NO_EPOCH)
            .with_metadata(Some(StrBytes::new()))
    });
    OffsetFetchResponseTopic::default()
        .with_name(topic.name.clone())
        .with_partitions(partitions.collect())
}
