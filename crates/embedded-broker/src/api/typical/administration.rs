//! Requests about topics, partitions and the cluster.

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeLogDirsRequest,
    DescribeTopicPartitionsRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest,
    MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use uuid::Uuid;

use super::{ABSENT, TOPIC, Typical, both, filled, some, text, topic};

pub(super) fn metadata(version: i16, topic_id: Uuid) -> Typical {
    filled::<MetadataRequest>(
        version,
        &[
            &|request| {
                request.allow_auto_topic_creation = true;
                request.topics = Some(both(|name| {
                    MetadataRequestTopic::default().with_name(Some(name))
                }));
            },
            &|request| request.allow_auto_topic_creation = false,
            &|request| {
                let by_id = MetadataRequestTopic::default()
                    .with_topic_id(topic_id)
                    .with_name(None);
                request.topics.get_or_insert_default().push(by_id);
            },
            &|request| request.include_topic_authorized_operations = true,
            &|request| request.include_cluster_authorized_operations = true,
        ],
    )
}

pub(super) fn api_versions(version: i16) -> Typical {
    filled::<ApiVersionsRequest>(
        version,
        &[&|request| {
            request.client_software_name = text("typical-software");
            request.client_software_version = text("1.0");
        }],
    )
}

pub(super) fn sasl_handshake(version: i16) -> Typical {
    filled::<SaslHandshakeRequest>(version, &[&|request| request.mechanism = text("PLAIN")])
}

pub(super) fn sasl_authenticate(version: i16) -> Typical {
    filled::<SaslAuthenticateRequest>(
        version,
        &[&|request| request.auth_bytes = b"\0user\0password"[..].into()],
    )
}

pub(super) fn create_topics(version: i16) -> Typical {
    filled::<CreateTopicsRequest>(
        version,
        &[&|request| {
            let assigned = |index| {
                CreatableReplicaAssignment::default()
                    .with_partition_index(index)
                    .with_broker_ids(vec![BrokerId(0)])
            };
            let config = CreatableTopicConfig::default()
                .with_name(text("segment.bytes"))
                .with_value(some("1048576"));
            let counted = CreatableTopic::default()
                .with_name(topic(TOPIC))
                .with_num_partitions(3)
                .with_replication_factor(1)
                .with_configs(vec![config.clone()]);
            let refused = counted
                .clone()
                .with_name(topic("refused"))
                .with_configs(vec![config.clone(), config.with_name(text("no.such"))]);
            let placed = CreatableTopic::default()
                .with_name(topic("placed"))
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_assignments(vec![assigned(0), assigned(1)]);
            request.topics = vec![counted, refused, placed];
            request.timeout_ms = 1_000;
            request.validate_only = false;
        }],
    )
}

pub(super) fn delete_topics(version: i16, topic_id: Uuid) -> Typical {
    filled::<DeleteTopicsRequest>(
        version,
        &[
            &|request| request.timeout_ms = 1_000,
            &|request| request.topic_names = vec![topic("placed"), topic(ABSENT)],
            &|request| {
                let by_name = DeleteTopicState::default().with_name(Some(topic("placed")));
                let by_id = DeleteTopicState::default()
                    .with_name(None)
                    .with_topic_id(topic_id);
                request.topics = vec![by_name, by_id];
            },
        ],
    )
}

pub(super) fn describe_log_dirs(version: i16) -> Typical {
    filled::<DescribeLogDirsRequest>(
        version,
        &[&|request| {
            request.topics = Some(both(|name| {
                DescribableLogDirTopic::default()
                    .with_topic(name)
                    .with_partitions(vec![0, 1])
            }));
        }],
    )
}

pub(super) fn create_partitions(version: i16) -> Typical {
    filled::<CreatePartitionsRequest>(
        version,
        &[&|request| {
            let assignment =
                || CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(0)]);
            let placed = CreatePartitionsTopic::default()
                .with_name(topic(TOPIC))
                .with_count(5)
                .with_assignments(Some(vec![assignment(), assignment()]));
            let spread = CreatePartitionsTopic::default()
                .with_name(topic(ABSENT))
                .with_count(4)
                .with_assignments(None);
            request.topics = vec![placed, spread];
            request.timeout_ms = 1_000;
            request.validate_only = true;
        }],
    )
}

pub(super) fn elect_leaders(version: i16) -> Typical {
    filled::<ElectLeadersRequest>(
        version,
        &[
            &|request| {
                request.timeout_ms = 1_000;
                request.topic_partitions = Some(both(|name| {
                    TopicPartitions::default()
                        .with_topic(name)
                        .with_partitions(vec![0, 1])
                }));
            },
            &|request| request.election_type = 1,
        ],
    )
}

pub(super) fn list_partition_reassignments(version: i16) -> Typical {
    filled::<ListPartitionReassignmentsRequest>(
        version,
        &[&|request| {
            request.timeout_ms = 1_000;
            request.topics = Some(both(|name| {
                ListPartitionReassignmentsTopics::default()
                    .with_name(name)
                    .with_partition_indexes(vec![0, 1])
            }));
        }],
    )
}

pub(super) fn describe_cluster(version: i16) -> Typical {
    filled::<DescribeClusterRequest>(
        version,
        &[
            &|request| request.include_cluster_authorized_operations = true,
            &|request| request.endpoint_type = 1,
            &|request| request.include_fenced_brokers = true,
        ],
    )
}

pub(super) fn describe_topic_partitions(version: i16) -> Typical {
    filled::<DescribeTopicPartitionsRequest>(
        version,
        &[&|request| {
            request.topics = both(|name| TopicRequest::default().with_name(name));
            request.response_partition_limit = 2_000;
            let start = Cursor::default().with_topic_name(topic(TOPIC));
            request.cursor = Some(start);
        }],
    )
}
