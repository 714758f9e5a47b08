//! Groups: members, offsets, and who looks at them.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, SyncGroupRequest, consumer_group_describe_response,
    describe_groups_response,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::fails_as_a_whole;
use crate::fault::request::{
    Parts, Refuse, Selector, message, replace, split_list, split_topics, whole,
};

fails_as_a_whole!(HeartbeatRequest, |request| (Some(&request.group_id), None));
fails_as_a_whole!(SyncGroupRequest, |request| (Some(&request.group_id), None));
fails_as_a_whole!(ListGroupsRequest, |_| (None, None));
fails_as_a_whole!(ConsumerGroupHeartbeatRequest, |request| (Some(&request.group_id), None), with message);

/// `key_type` of FindCoordinator.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From this version on FindCoordinator lists keys.
const FIRST_FIND_COORDINATOR_WITH_KEYS: i16 = 4;

impl Refuse for FindCoordinatorRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        let is_selected = |key: &StrBytes| match self.key_type {
            GROUP => selector.selects(Some(key), None),
            TRANSACTION => selector.selects(None, Some(key)),
            _ => selector.selects(None, None),
        };
        if selector.topic.is_some() {
            return None;
        }
        if self.coordinator_keys.is_empty() {
            return is_selected(&self.key).then(|| Parts {
                selected: self.clone(),
                rest: None,
            });
        }
        split_list(self, |request| &mut request.coordinator_keys, is_selected)
    }

    fn refused(&self, error: ResponseError, version: i16) -> FindCoordinatorResponse {
        if version < FIRST_FIND_COORDINATOR_WITH_KEYS {
            return FindCoordinatorResponse::default()
                .with_error_code(error.code())
                .with_error_message(message(error))
                .with_node_id(BrokerId(-1))
                .with_port(-1);
        }
        let coordinators = self.coordinator_keys.iter().map(|key| {
            Coordinator::default()
                .with_key(key.clone())
                .with_error_code(error.code())
                .with_error_message(message(error))
                .with_node_id(BrokerId(-1))
                .with_port(-1)
        });
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    }

    fn merge(answer: &mut FindCoordinatorResponse, refused: FindCoordinatorResponse) {
        if refused.coordinators.is_empty() {
            *answer = refused;
        } else {
            replace(&mut answer.coordinators, refused.coordinators, |found| {
                found.key.clone()
            });
        }
    }
}

/// Before this version JoinGroup's answer has a protocol name that cannot be null.
const FIRST_JOIN_WITHOUT_PROTOCOL_NAME: i16 = 7;

impl Refuse for JoinGroupRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        whole(self, selector, Some(&self.group_id), None)
    }

    fn refused(&self, error: ResponseError, version: i16) -> JoinGroupResponse {
        let no_name = (version < FIRST_JOIN_WITHOUT_PROTOCOL_NAME).then(StrBytes::new);
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_protocol_name(no_name)
            .with_member_id(self.member_id.clone())
    }
}

/// From this version on LeaveGroup lists members.
const FIRST_LEAVE_WITH_MEMBERS: i16 = 3;

impl Refuse for LeaveGroupRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        whole(self, selector, Some(&self.group_id), None)
    }

    fn refused(&self, error: ResponseError, version: i16) -> LeaveGroupResponse {
        let concerns_member = matches!(
            error,
            ResponseError::UnknownMemberId | ResponseError::FencedInstanceId
        );
        if version < FIRST_LEAVE_WITH_MEMBERS || !concerns_member {
            return LeaveGroupResponse::default().with_error_code(error.code());
        }
        let members = self.members.iter().map(|member| {
            MemberResponse::default()
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_error_code(error.code())
        });
        LeaveGroupResponse::default().with_members(members.collect())
    }
}

impl Refuse for OffsetCommitRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            (Some(&self.group_id), None),
            |request| &mut request.topics,
            |topic| (&topic.name, topic.topic_id),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> OffsetCommitResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error.code())
            });
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_topic_id(topic.topic_id)
                .with_partitions(partitions.collect())
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }

    fn merge(answer: &mut OffsetCommitResponse, refused: OffsetCommitResponse) {
        replace(&mut answer.topics, refused.topics, |topic| {
            (topic.name.clone(), topic.topic_id)
        });
    }
}

impl Refuse for OffsetDeleteRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            (Some(&self.group_id), None),
            |request| &mut request.topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> OffsetDeleteResponse {
        let concerns_topic = matches!(
            error,
            ResponseError::GroupSubscribedToTopic
                | ResponseError::UnknownTopicOrPartition
                | ResponseError::TopicAuthorizationFailed
        );
        if !concerns_topic {
            return OffsetDeleteResponse::default().with_error_code(error.code());
        }
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error.code())
            });
            OffsetDeleteResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        OffsetDeleteResponse::default().with_topics(topics.collect())
    }

    fn merge(answer: &mut OffsetDeleteResponse, refused: OffsetDeleteResponse) {
        if refused.error_code != 0 {
            *answer = refused;
        } else {
            replace(&mut answer.topics, refused.topics, |topic| {
                topic.name.clone()
            });
        }
    }
}

/// From this version on DescribeGroups has words for an error.
const FIRST_DESCRIBE_GROUPS_WITH_MESSAGE: i16 = 6;

impl Refuse for DescribeGroupsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        if selector.topic.is_some() || selector.transactional_id.is_some() {
            return None;
        }
        split_list(
            self,
            |request| &mut request.groups,
            |group| selector.selects_group(Some(group)),
        )
    }

    fn refused(&self, error: ResponseError, version: i16) -> DescribeGroupsResponse {
        let has_message = version >= FIRST_DESCRIBE_GROUPS_WITH_MESSAGE;
        let groups = self.groups.iter().map(|group| {
            describe_groups_response::DescribedGroup::default()
                .with_group_id(group.clone())
                .with_error_code(error.code())
                .with_error_message(message(error).filter(|_| has_message))
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }

    fn merge(answer: &mut DescribeGroupsResponse, refused: DescribeGroupsResponse) {
        replace(&mut answer.groups, refused.groups, |group| {
            group.group_id.clone()
        });
    }
}

impl Refuse for ConsumerGroupDescribeRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        if selector.topic.is_some() || selector.transactional_id.is_some() {
            return None;
        }
        split_list(
            self,
            |request| &mut request.group_ids,
            |group| selector.selects_group(Some(group)),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> ConsumerGroupDescribeResponse {
        let groups = self.group_ids.iter().map(|group| {
            consumer_group_describe_response::DescribedGroup::default()
                .with_group_id(group.clone())
                .with_error_code(error.code())
                .with_error_message(message(error))
        });
        ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
    }

    fn merge(answer: &mut ConsumerGroupDescribeResponse, refused: ConsumerGroupDescribeResponse) {
        replace(&mut answer.groups, refused.groups, |group| {
            group.group_id.clone()
        });
    }
}

impl Refuse for DeleteGroupsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        if selector.topic.is_some() || selector.transactional_id.is_some() {
            return None;
        }
        split_list(
            self,
            |request| &mut request.groups_names,
            |group| selector.selects_group(Some(group)),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> DeleteGroupsResponse {
        let results = self.groups_names.iter().map(|group| {
            DeletableGroupResult::default()
                .with_group_id(group.clone())
                .with_error_code(error.code())
        });
        DeleteGroupsResponse::default().with_results(results.collect())
    }

    fn merge(answer: &mut DeleteGroupsResponse, refused: DeleteGroupsResponse) {
        replace(&mut answer.results, refused.results, |group| {
            group.group_id.clone()
        });
    }
}
