//! Every API that is offered can be refused, in every version, in every place.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use uuid::Uuid;

use super::examine;
use crate::api::APIS;
use crate::fault::request::{Selector, TopicSelector};

/// The names in all requests: whatever can name two of a kind names both.
const ONE: &str = "one-of-two";
const TWO: &str = "two-of-two";
const ONE_ID: Uuid = Uuid::from_u128(1);
const TWO_ID: Uuid = Uuid::from_u128(2);

/// No error has this number, so that nothing else in an answer looks like it.
const STRANGE: ResponseError = ResponseError::Unknown(4242);

fn topics<T>(topic: impl Fn(TopicName) -> T) -> Vec<T> {
    [ONE, TWO]
        .map(|name| topic(TopicName(StrBytes::from_static_str(name))))
        .into()
}

fn groups() -> Vec<GroupId> {
    [ONE, TWO]
        .map(|id| GroupId(StrBytes::from_static_str(id)))
        .into()
}

fn group() -> GroupId {
    groups().remove(0)
}

fn transactional_id() -> TransactionalId {
    TransactionalId(StrBytes::from_static_str(ONE))
}

fn id_of(name: &TopicName) -> Uuid {
    if name.as_str() == ONE { ONE_ID } else { TWO_ID }
}

/// How a request is decoded, and how many places of its answer carry the error when all of it fails.
struct Example {
    body: Bytes,
    places: usize,
    /// How many places that are when a rule names the topic, the group or the transactional id [`ONE`].
    selected_places: usize,
    answer: fn(Bytes, i16) -> String,
}

fn example<R: Request<Response: std::fmt::Debug>>(
    version: i16,
    request: R,
    places: usize,
    selected_places: usize,
) -> Example {
    let mut body = BytesMut::new();
    request
        .encode(&mut body, version)
        .unwrap_or_else(|error| panic!("{:?} version {version}: {error}", R::KEY));
    Example {
        body: body.freeze(),
        places,
        selected_places,
        answer: |mut frame, version| {
            frame.advance(4);
            let api = ApiKey::try_from(R::KEY).expect("a key");
            let header = ResponseHeader::decode(&mut frame, api.response_header_version(version));
            assert_eq!(header.expect("a header").correlation_id, 7);
            let answer = R::Response::decode(&mut frame, version).expect("an answer");
            assert!(!frame.has_remaining(), "bytes follow {answer:?}");
            format!("{answer:?}")
        },
    }
}

/// A request that names two of everything.
fn example_of(api: ApiKey, version: i16) -> Example {
    // Two places if all fails, one if a rule is about one of the two.
    const EACH: (usize, usize) = (2, 1);
    // One place, whatever the rule.
    const WHOLE: (usize, usize) = (1, 1);
    macro_rules! request {
        ($request:expr, $places:expr) => {
            example(version, $request, $places.0, $places.1)
        };
    }
    match api {
        ApiKey::Produce => request!(
            ProduceRequest::default()
                .with_acks(-1)
                .with_topic_data(topics(|name| {
                    TopicProduceData::default()
                        .with_name(name)
                        .with_partition_data(vec![
                            PartitionProduceData::default().with_records(Some(Bytes::new())),
                        ])
                })),
            EACH
        ),
        ApiKey::Fetch => request!(
            FetchRequest::default().with_topics(topics(|name| {
                let partitions = vec![FetchPartition::default()];
                let topic = FetchTopic::default().with_partitions(partitions);
                match version {
                    ..=12 => topic.with_topic(name),
                    _ => topic.with_topic_id(id_of(&name)),
                }
            })),
            EACH
        ),
        ApiKey::ListOffsets => request!(
            ListOffsetsRequest::default().with_topics(topics(|name| {
                ListOffsetsTopic::default()
                    .with_name(name)
                    .with_partitions(vec![ListOffsetsPartition::default()])
            })),
            EACH
        ),
        ApiKey::Metadata => request!(
            MetadataRequest::default().with_topics(Some(topics(|name| {
                MetadataRequestTopic::default().with_name(Some(name))
            }))),
            EACH
        ),
        ApiKey::OffsetCommit => request!(
            OffsetCommitRequest::default()
                .with_group_id(group())
                .with_topics(topics(|name| {
                    OffsetCommitRequestTopic::default()
                        .with_name(name)
                        .with_partitions(vec![OffsetCommitRequestPartition::default()])
                })),
            EACH
        ),
        ApiKey::OffsetFetch if version < 8 => request!(
            OffsetFetchRequest::default()
                .with_group_id(group())
                .with_topics(Some(topics(|name| {
                    OffsetFetchRequestTopic::default()
                        .with_name(name)
                        .with_partition_indexes(vec![0])
                }))),
            if version < 2 { EACH } else { WHOLE }
        ),
        ApiKey::OffsetFetch => {
            let group = |id: GroupId| {
                OffsetFetchRequestGroup::default()
                    .with_group_id(id)
                    .with_topics(Some(topics(|name| {
                        OffsetFetchRequestTopics::default()
                            .with_name(name)
                            .with_partition_indexes(vec![0])
                    })))
            };
            request!(
                OffsetFetchRequest::default()
                    .with_groups(groups().into_iter().map(group).collect()),
                // Both groups ask for the topic, and the error is one of the group.
                (2, 2)
            )
        }
        ApiKey::FindCoordinator if version < 4 => request!(
            FindCoordinatorRequest::default().with_key(StrBytes::from_static_str(ONE)),
            WHOLE
        ),
        ApiKey::FindCoordinator => request!(
            FindCoordinatorRequest::default()
                .with_coordinator_keys([ONE, TWO].map(StrBytes::from_static_str).into()),
            EACH
        ),
        ApiKey::JoinGroup => request!(JoinGroupRequest::default().with_group_id(group()), WHOLE),
        ApiKey::Heartbeat => request!(HeartbeatRequest::default().with_group_id(group()), WHOLE),
        ApiKey::LeaveGroup if version < 3 => {
            request!(LeaveGroupRequest::default().with_group_id(group()), WHOLE)
        }
        ApiKey::LeaveGroup => request!(
            LeaveGroupRequest::default()
                .with_group_id(group())
                .with_members(vec![MemberIdentity::default()]),
            WHOLE
        ),
        ApiKey::SyncGroup => request!(SyncGroupRequest::default().with_group_id(group()), WHOLE),
        ApiKey::DescribeGroups => {
            request!(DescribeGroupsRequest::default().with_groups(groups()), EACH)
        }
        ApiKey::ListGroups => request!(ListGroupsRequest::default(), WHOLE),
        ApiKey::SaslHandshake => request!(SaslHandshakeRequest::default(), WHOLE),
        ApiKey::SaslAuthenticate => request!(SaslAuthenticateRequest::default(), WHOLE),
        ApiKey::ApiVersions => request!(ApiVersionsRequest::default(), WHOLE),
        ApiKey::CreateTopics => request!(
            CreateTopicsRequest::default()
                .with_topics(topics(|name| CreatableTopic::default().with_name(name))),
            EACH
        ),
        ApiKey::DeleteTopics if version < 6 => request!(
            DeleteTopicsRequest::default().with_topic_names(topics(|name| name)),
            EACH
        ),
        ApiKey::DeleteTopics => request!(
            DeleteTopicsRequest::default().with_topics(topics(|name| {
                let id = id_of(&name);
                DeleteTopicState::default()
                    .with_name(None)
                    .with_topic_id(id)
            })),
            EACH
        ),
        ApiKey::DeleteRecords => request!(
            DeleteRecordsRequest::default().with_topics(topics(|name| {
                DeleteRecordsTopic::default()
                    .with_name(name)
                    .with_partitions(vec![DeleteRecordsPartition::default()])
            })),
            EACH
        ),
        ApiKey::InitProducerId => request!(
            InitProducerIdRequest::default().with_transactional_id(Some(transactional_id())),
            WHOLE
        ),
        ApiKey::OffsetForLeaderEpoch => request!(
            OffsetForLeaderEpochRequest::default().with_topics(topics(|name| {
                OffsetForLeaderTopic::default()
                    .with_topic(name)
                    .with_partitions(vec![OffsetForLeaderPartition::default()])
            })),
            EACH
        ),
        ApiKey::AddPartitionsToTxn => request!(
            AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(transactional_id())
                .with_v3_and_below_topics(topics(|name| {
                    AddPartitionsToTxnTopic::default()
                        .with_name(name)
                        .with_partitions(vec![0])
                })),
            EACH
        ),
        ApiKey::AddOffsetsToTxn => request!(
            AddOffsetsToTxnRequest::default()
                .with_transactional_id(transactional_id())
                .with_group_id(group()),
            WHOLE
        ),
        ApiKey::EndTxn => request!(
            EndTxnRequest::default().with_transactional_id(transactional_id()),
            WHOLE
        ),
        ApiKey::TxnOffsetCommit => request!(
            TxnOffsetCommitRequest::default()
                .with_transactional_id(transactional_id())
                .with_group_id(group())
                .with_topics(topics(|name| {
                    TxnOffsetCommitRequestTopic::default()
                        .with_name(name)
                        .with_partitions(vec![TxnOffsetCommitRequestPartition::default()])
                })),
            EACH
        ),
        ApiKey::DescribeAcls => request!(
            DescribeAclsRequest::default().with_pattern_type_filter(3),
            WHOLE
        ),
        ApiKey::CreateAcls => request!(
            CreateAclsRequest::default().with_creations(vec![AclCreation::default()]),
            WHOLE
        ),
        ApiKey::DeleteAcls => request!(
            DeleteAclsRequest::default().with_filters(vec![DeleteAclsFilter::default()]),
            WHOLE
        ),
        ApiKey::DescribeConfigs => request!(
            DescribeConfigsRequest::default().with_resources(topics(|name| {
                DescribeConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(name.0)
            })),
            EACH
        ),
        ApiKey::AlterConfigs => request!(
            AlterConfigsRequest::default().with_resources(topics(|name| {
                alter_configs_request::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(name.0)
            })),
            EACH
        ),
        ApiKey::IncrementalAlterConfigs => request!(
            IncrementalAlterConfigsRequest::default().with_resources(topics(|name| {
                incremental_alter_configs_request::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(name.0)
            })),
            EACH
        ),
        ApiKey::DescribeLogDirs => request!(DescribeLogDirsRequest::default(), WHOLE),
        ApiKey::CreatePartitions => request!(
            CreatePartitionsRequest::default().with_topics(topics(|name| {
                CreatePartitionsTopic::default().with_name(name)
            })),
            EACH
        ),
        ApiKey::DeleteGroups => request!(
            DeleteGroupsRequest::default().with_groups_names(groups()),
            EACH
        ),
        ApiKey::ElectLeaders => request!(
            ElectLeadersRequest::default().with_topic_partitions(Some(topics(|name| {
                TopicPartitions::default()
                    .with_topic(name)
                    .with_partitions(vec![0])
            }))),
            // From version 1 on there is one more place, for all of it.
            if version == 0 { EACH } else { (3, 2) }
        ),
        ApiKey::ListPartitionReassignments => {
            request!(ListPartitionReassignmentsRequest::default(), WHOLE)
        }
        ApiKey::OffsetDelete => request!(
            OffsetDeleteRequest::default()
                .with_group_id(group())
                .with_topics(topics(|name| {
                    OffsetDeleteRequestTopic::default()
                        .with_name(name)
                        .with_partitions(vec![OffsetDeleteRequestPartition::default()])
                })),
            WHOLE
        ),
        ApiKey::DescribeCluster => request!(DescribeClusterRequest::default(), WHOLE),
        ApiKey::DescribeProducers => request!(
            DescribeProducersRequest::default().with_topics(topics(|name| {
                TopicRequest::default()
                    .with_name(name)
                    .with_partition_indexes(vec![0])
            })),
            EACH
        ),
        ApiKey::DescribeTransactions => request!(
            DescribeTransactionsRequest::default().with_transactional_ids(
                [ONE, TWO]
                    .map(|id| TransactionalId(StrBytes::from_static_str(id)))
                    .into()
            ),
            EACH
        ),
        ApiKey::ListTransactions => request!(ListTransactionsRequest::default(), WHOLE),
        ApiKey::ConsumerGroupHeartbeat => request!(
            ConsumerGroupHeartbeatRequest::default().with_group_id(group()),
            WHOLE
        ),
        ApiKey::ConsumerGroupDescribe => request!(
            ConsumerGroupDescribeRequest::default().with_group_ids(groups()),
            EACH
        ),
        ApiKey::ListConfigResources => request!(ListConfigResourcesRequest::default(), WHOLE),
        ApiKey::DescribeTopicPartitions => request!(
            DescribeTopicPartitionsRequest::default().with_topics(topics(|name| {
                describe_topic_partitions_request::TopicRequest::default().with_name(name)
            })),
            EACH
        ),
        _ => panic!("give an example of {api:?}, and teach faults its answer"),
    }
}

/// Every API and version that clients are offered.
fn offered() -> impl Iterator<Item = (ApiKey, i16)> {
    APIS.iter()
        .flat_map(|api| api.versions.clone().map(move |version| (api.key, version)))
}

/// How many places of the answer carry the error.
fn places(example: &Example, api: ApiKey, version: i16, selector: &Selector) -> Option<usize> {
    let asked = examine(api, version, &example.body)
        .unwrap_or_else(|error| panic!("{api:?} version {version}: {error}"));
    let frame = asked
        .split(selector)?
        .refuse(STRANGE, 7, None)
        .unwrap_or_else(|error| panic!("{api:?} version {version}: {error}"));
    let answer = (example.answer)(frame.expect("the request has an answer"), version);
    Some(answer.matches("error_code: 4242").count())
}

#[test]
fn every_offered_request_can_fail_in_every_place() {
    for (api, version) in offered() {
        let example = example_of(api, version);
        assert_eq!(
            places(&example, api, version, &Selector::default()),
            Some(example.places),
            "{api:?} version {version}"
        );
    }
}

#[test]
fn a_rule_about_a_name_fails_what_has_that_name_and_leaves_the_rest() {
    let topic = Selector {
        topic: Some(TopicSelector {
            name: ONE.to_owned(),
            id: Some(ONE_ID),
        }),
        ..Selector::default()
    };
    let group = Selector {
        group: Some(ONE.to_owned()),
        ..Selector::default()
    };
    let transactional_id = Selector {
        transactional_id: Some(ONE.to_owned()),
        ..Selector::default()
    };
    for (api, version) in offered() {
        let example = example_of(api, version);
        let asked = examine(api, version, &example.body).expect("decoded above");
        let by_name = [&topic, &group, &transactional_id];
        let named = by_name
            .iter()
            .find_map(|selector| Some((asked.split(selector)?, *selector)));
        let Some((selected, selector)) = named else {
            assert_eq!(example.places, 1, "{api:?} names nothing");
            continue;
        };
        assert_eq!(
            places(&example, api, version, selector),
            Some(example.selected_places),
            "{api:?} version {version}"
        );
        let rest = selected.rest().expect("what is left can be encoded");
        if example.places > 1 {
            let rest = rest.unwrap_or_else(|| panic!("{api:?} version {version}: nothing is left"));
            let rest = examine(api, version, &rest).expect("what is left is a request");
            assert!(
                rest.split(selector).is_none_or(
                    |again| api == ApiKey::Metadata && !format!("{again:?}").contains(ONE)
                ),
                "{api:?} version {version}: {ONE} is still in {rest:?}"
            );
        }
    }
}

#[test]
fn a_rule_about_another_name_is_not_about_the_request() {
    let other = || Some("nobody".to_owned());
    let selectors = [
        Selector {
            topic: other().map(|name| TopicSelector { name, id: None }),
            ..Selector::default()
        },
        Selector {
            group: other(),
            ..Selector::default()
        },
        Selector {
            transactional_id: other(),
            ..Selector::default()
        },
    ];
    for (api, version) in offered() {
        let example = example_of(api, version);
        for selector in &selectors {
            assert_eq!(
                places(&example, api, version, selector),
                None,
                "{api:?} version {version}: {selector:?}"
            );
        }
    }
}
