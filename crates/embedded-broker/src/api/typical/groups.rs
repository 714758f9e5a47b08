//! Requests of group members, and about groups.

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest,
    DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use uuid::Uuid;

use super::{CONSUMER_GROUP, GROUP, INSTANCE, MEMBER, Typical, both, filled, group, some, text};

/// A consumer's subscription of version 1, to one topic.
const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x01\0\x07typical\xFF\xFF\xFF\xFF\0\0\0\0";

pub(super) fn offset_commit(version: i16) -> Typical {
    filled::<OffsetCommitRequest>(
        version,
        &[
            &|request| {
                request.group_id = group(GROUP);
                request.generation_id_or_member_epoch = -1;
                request.topics = both(|name| {
                    let partition = |index| {
                        OffsetCommitRequestPartition::default()
                            .with_partition_index(index)
                            .with_committed_offset(5)
                            .with_committed_metadata(some("typical-metadata"))
                    };
                    OffsetCommitRequestTopic::default()
                        .with_name(name)
                        .with_partitions(vec![partition(0), partition(1)])
                });
            },
            &|request| request.retention_time_ms = 1_000,
            &|request| request.topics[0].partitions[0].committed_leader_epoch = 0,
        ],
    )
}

pub(super) fn offset_fetch(version: i16) -> Typical {
    filled::<OffsetFetchRequest>(
        version,
        &[
            &|request| request.group_id = group(GROUP),
            &|request| {
                request.topics = Some(both(|name| {
                    OffsetFetchRequestTopic::default()
                        .with_name(name)
                        .with_partition_indexes(vec![0, 1])
                }));
            },
            &|request| {
                let named = OffsetFetchRequestGroup::default()
                    .with_group_id(group(GROUP))
                    .with_topics(Some(both(|name| {
                        OffsetFetchRequestTopics::default()
                            .with_name(name)
                            .with_partition_indexes(vec![0, 1])
                    })));
                let all = OffsetFetchRequestGroup::default()
                    .with_group_id(group(CONSUMER_GROUP))
                    .with_topics(None);
                request.groups = vec![named, all];
            },
            &|request| {
                for group in &mut request.groups {
                    group.member_id = some(MEMBER);
                    group.member_epoch = 1;
                }
            },
            &|request| request.require_stable = true,
        ],
    )
}

pub(super) fn find_coordinator(version: i16) -> Typical {
    filled::<FindCoordinatorRequest>(
        version,
        &[
            &|request| request.key = text(GROUP),
            &|request| request.coordinator_keys = vec![text(GROUP), text(CONSUMER_GROUP)],
            &|request| request.key_type = 1,
        ],
    )
}

pub(super) fn join_group(version: i16) -> Typical {
    filled::<JoinGroupRequest>(
        version,
        &[
            &|request| {
                request.group_id = group(GROUP);
                request.session_timeout_ms = 10_000;
                request.protocol_type = text("consumer");
                let protocol = |name| {
                    JoinGroupRequestProtocol::default()
                        .with_name(text(name))
                        .with_metadata(Bytes::from_static(SUBSCRIPTION))
                };
                request.protocols = vec![protocol("range"), protocol("roundrobin")];
            },
            &|request| request.rebalance_timeout_ms = 60_000,
            &|request| request.group_instance_id = some(INSTANCE),
            &|request| request.reason = some("typical-reason"),
        ],
    )
}

pub(super) fn heartbeat(version: i16) -> Typical {
    filled::<HeartbeatRequest>(
        version,
        &[
            &|request| {
                request.group_id = group(GROUP);
                request.generation_id = 1;
                request.member_id = text(MEMBER);
            },
            &|request| request.group_instance_id = some(INSTANCE),
        ],
    )
}

pub(super) fn leave_group(version: i16) -> Typical {
    filled::<LeaveGroupRequest>(
        version,
        &[
            &|request| request.group_id = group(GROUP),
            &|request| request.member_id = text(MEMBER),
            &|request| {
                let by_id = MemberIdentity::default().with_member_id(text(MEMBER));
                let by_instance = MemberIdentity::default().with_group_instance_id(some(INSTANCE));
                request.members = vec![by_id, by_instance];
            },
            &|request| {
                for member in &mut request.members {
                    member.reason = some("typical-reason");
                }
            },
        ],
    )
}

pub(super) fn sync_group(version: i16) -> Typical {
    filled::<SyncGroupRequest>(
        version,
        &[
            &|request| {
                request.group_id = group(GROUP);
                request.generation_id = 1;
                request.member_id = text(MEMBER);
                let assigned = |member_id| {
                    SyncGroupRequestAssignment::default()
                        .with_member_id(text(member_id))
                        .with_assignment(Bytes::from_static(SUBSCRIPTION))
                };
                request.assignments = vec![assigned(MEMBER), assigned("another")];
            },
            &|request| request.group_instance_id = some(INSTANCE),
            &|request| request.protocol_type = some("consumer"),
            &|request| request.protocol_name = some("range"),
        ],
    )
}

pub(super) fn describe_groups(version: i16) -> Typical {
    filled::<DescribeGroupsRequest>(
        version,
        &[
            &|request| request.groups = vec![group(GROUP), group(CONSUMER_GROUP)],
            &|request| request.include_authorized_operations = true,
        ],
    )
}

pub(super) fn list_groups(version: i16) -> Typical {
    filled::<ListGroupsRequest>(
        version,
        &[
            &|request| request.states_filter = vec![text("Stable"), text("Empty")],
            &|request| request.types_filter = vec![text("classic"), text("consumer")],
        ],
    )
}

pub(super) fn delete_groups(version: i16) -> Typical {
    filled::<DeleteGroupsRequest>(
        version,
        &[&|request| request.groups_names = vec![group(GROUP), group("absent-group")]],
    )
}

pub(super) fn offset_delete(version: i16) -> Typical {
    filled::<OffsetDeleteRequest>(
        version,
        &[&|request| {
            request.group_id = group(GROUP);
            request.topics = both(|name| {
                let partition =
                    |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
                OffsetDeleteRequestTopic::default()
                    .with_name(name)
                    .with_partitions(vec![partition(0), partition(1)])
            });
        }],
    )
}

pub(super) fn consumer_group_heartbeat(version: i16, topic_id: Uuid) -> Typical {
    filled::<ConsumerGroupHeartbeatRequest>(
        version,
        &[
            &|request| {
                request.group_id = group(CONSUMER_GROUP);
                request.member_id = text(MEMBER);
                request.member_epoch = 0;
                request.instance_id = some(INSTANCE);
                request.rack_id = some("typical-rack");
                request.rebalance_timeout_ms = 60_000;
                request.subscribed_topic_names = Some(both(|name| name));
                request.server_assignor = some("uniform");
                request.topic_partitions = Some(Vec::new());
            },
            &|request| request.subscribed_topic_regex = some("typ.*"),
            // Refused of a member that joins; a mutation away from one that stays.
            &|request| {
                request.topic_partitions = Some(vec![
                    TopicPartitions::default()
                        .with_topic_id(topic_id)
                        .with_partitions(vec![0, 1]),
                ]);
            },
        ],
    )
}

pub(super) fn consumer_group_describe(version: i16) -> Typical {
    filled::<ConsumerGroupDescribeRequest>(
        version,
        &[&|request| {
            request.group_ids = vec![group(CONSUMER_GROUP), group(GROUP)];
            request.include_authorized_operations = true;
        }],
    )
}
