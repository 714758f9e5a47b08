//! CreatePartitions, ElectLeaders, ListPartitionReassignments, DescribeLogDirs, and ACLs without an authorizer.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateAclsRequest, CreatePartitionsRequest, DeleteAclsRequest, DescribeAclsRequest,
    DescribeLogDirsRequest, DescribeLogDirsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, MetadataRequest,
};
use rdkafka::admin::{AdminOptions, NewPartitions};

use crate::support::broker::unique;
use crate::support::clients::admin;
use crate::support::configs::{Refused, node, refusal, text};
use crate::support::raw::RawClient;
use crate::support::records::{Batch, decode};
use crate::support::topic::{Topic, append, fetch, only, produce, topic_name};
use crate::support::wait::{DEADLINE, eventually};

async fn partition_count(client: &mut RawClient, topic: &Topic) -> usize {
    let asked = MetadataRequestTopic::default().with_name(Some(topic.topic_name()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![asked]))
        .with_allow_auto_topic_creation(false);
    only(client.send(12, request).await.topics).partitions.len()
}

async fn until_count(client: &mut RawClient, topic: &Topic, count: usize) {
    eventually(DEADLINE, &format!("{count} partitions"), async || {
        (partition_count(client, topic).await == count).then_some(())
    })
    .await;
}

fn more(name: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic::default()
        .with_name(topic_name(name))
        .with_count(count)
        .with_assignments(None)
}

/// As many partitions, the new ones on these nodes.
fn placed(name: &str, count: i32, nodes: &[&[i32]]) -> CreatePartitionsTopic {
    let assignments = nodes.iter().map(|nodes| {
        let ids = nodes.iter().copied().map(BrokerId).collect();
        CreatePartitionsAssignment::default().with_broker_ids(ids)
    });
    more(name, count).with_assignments(Some(assignments.collect()))
}

fn create(topics: Vec<CreatePartitionsTopic>) -> CreatePartitionsRequest {
    CreatePartitionsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(10_000)
}

async fn refused(client: &mut RawClient, topic: CreatePartitionsTopic) -> Refused {
    let results = client.send(3, create(vec![topic])).await.results;
    let CreatePartitionsTopicResult {
        error_code,
        error_message,
        ..
    } = only(results);
    refusal(error_code, error_message)
}

fn because(error: ResponseError, message: &str) -> Refused {
    Some((error, message.to_owned()))
}

/// Every version adds partitions; the old ones keep their records, the new ones can be written and read.
#[tokio::test]
async fn partitions_are_added_in_every_version() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["before"])).await;
    for (version, count) in (0..=3).zip(2..) {
        let results = client
            .send(version, create(vec![more(&topic.name, count)]))
            .await
            .results;
        let result = only(results);
        assert_eq!(
            refusal(result.error_code, result.error_message),
            None,
            "version {version}"
        );
        until_count(&mut client, &topic, count as usize).await;
    }
    let batch = Batch::of(["after"]).encode();
    eventually(DEADLINE, "a leader for the new partition", async || {
        let answer = produce(&mut client, &topic, 4, batch.clone()).await;
        (answer.error_code == 0).then_some(())
    })
    .await;
    for partition in [0, 4] {
        let read = fetch(&mut client, &topic, partition, 0).await;
        assert_eq!(decode(read.records).len(), 1, "partition {partition}");
    }
}

/// "Count <= current => INVALID_PARTITIONS(37)", and other counts and topics that cannot be, with Apache Kafka's words.
#[tokio::test]
async fn a_topic_never_shrinks() {
    let topic = Topic::create(2).await;
    let name = &*topic.name;
    let mut client = RawClient::connect().await;
    assert_eq!(
        refused(&mut client, more(name, 2)).await,
        because(
            ResponseError::InvalidPartitions,
            "Topic already has 2 partition(s)."
        )
    );
    for count in [1, 0, -1] {
        let message = format!(
            "The topic {name} currently has 2 partition(s); {count} would not be an increase."
        );
        assert_eq!(
            refused(&mut client, more(name, count)).await,
            because(ResponseError::InvalidPartitions, &message)
        );
    }
    for missing in [&*unique("missing"), "a/b"] {
        assert_eq!(
            refused(&mut client, more(missing, 2)).await,
            because(ResponseError::UnknownTopicOrPartition, "")
        );
    }
    let twice = create(vec![more(name, 3), more(name, 4)]);
    let result = only(client.send(3, twice).await.results);
    assert_eq!(
        refusal(result.error_code, result.error_message),
        because(ResponseError::InvalidRequest, "Duplicate topic name.")
    );
    assert_eq!(partition_count(&mut client, &topic).await, 2);
}

/// New partitions go where the request says, if they can.
#[tokio::test]
async fn new_partitions_may_be_placed_by_hand() {
    let topic = Topic::create(1).await;
    let name = &*topic.name;
    let mut client = RawClient::connect().await;
    let node: i32 = node(&mut client).await.parse().expect("a node id");
    let invalid = ResponseError::InvalidReplicaAssignment;
    let cases: &[(&[&[i32]], String)] = &[
        (&[], "Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified.".to_owned()),
        (&[&[node], &[node]], "Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified.".to_owned()),
        (&[&[]], "The manual partition assignment includes an empty replica list.".to_owned()),
        (&[&[4711]], "The manual partition assignment includes broker 4711, but no such broker is registered.".to_owned()),
        (&[&[node, node]], format!("The manual partition assignment includes the broker {node} more than once.")),
    ];
    for (nodes, message) in cases {
        assert_eq!(
            refused(&mut client, placed(name, 2, nodes)).await,
            because(invalid, message)
        );
    }
    assert_eq!(
        refused(&mut client, placed(name, 2, &[&[node]])).await,
        None
    );
    until_count(&mut client, &topic, 2).await;
}

/// `validate_only` answers as if, and adds nothing; a topic that cannot grow does not hold up another.
#[tokio::test]
async fn validating_adds_nothing() {
    let (first, second) = (Topic::create(1).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    let request = create(vec![more(&first.name, 2), more(&second.name, 1)]);
    let results = client
        .send(3, request.clone().with_validate_only(true))
        .await
        .results;
    let error_of = |results: &[CreatePartitionsTopicResult], topic: &Topic| {
        let result = results.iter().find(|result| *result.name == *topic.name);
        result.expect("a result").error_code.err()
    };
    assert_eq!(error_of(&results, &first), None);
    assert_eq!(
        error_of(&results, &second),
        Some(ResponseError::InvalidPartitions)
    );
    let results = client.send(3, request).await.results;
    assert_eq!(
        error_of(&results, &first),
        None,
        "only one partition so far"
    );
    until_count(&mut client, &first, 2).await;
}

/// Through librdkafka, as its users do it.
#[tokio::test]
async fn librdkafka_adds_partitions() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let admin = admin().await;
    let options = AdminOptions::new();
    let added = admin
        .create_partitions(&[NewPartitions::new(&topic.name, 3)], &options)
        .await;
    assert_eq!(only(added.expect("an answer")), Ok(topic.name.clone()));
    until_count(&mut client, &topic, 3).await;
    let added = admin
        .create_partitions(&[NewPartitions::new(&topic.name, 3)], &options)
        .await;
    let (name, error) = only(added.expect("an answer")).expect_err("no increase");
    assert_eq!(
        (name, error.to_string()),
        (
            topic.name,
            "InvalidPartitions (Broker: Invalid number of partitions)".to_owned()
        )
    );
}

async fn elect(
    client: &mut RawClient,
    version: i16,
    election: i8,
    partitions: Option<Vec<(&str, Vec<i32>)>>,
) -> ElectLeadersResponse {
    let partitions = partitions.map(|topics| {
        let topics = topics.into_iter().map(|(topic, partitions)| {
            TopicPartitions::default()
                .with_topic(topic_name(topic))
                .with_partitions(partitions)
        });
        topics.collect()
    });
    let request = ElectLeadersRequest::default()
        .with_election_type(election)
        .with_topic_partitions(partitions)
        .with_timeout_ms(10_000);
    client.send(version, request).await
}

/// Topic, partition, error and message of each result.
fn elections(response: ElectLeadersResponse) -> Vec<(String, i32, Refused)> {
    let topics = response.replica_election_results.into_iter();
    topics
        .flat_map(|topic| {
            let name = topic.topic.to_string();
            topic.partition_result.into_iter().map(move |result| {
                (
                    name.clone(),
                    result.partition_id,
                    refusal(result.error_code, result.error_message),
                )
            })
        })
        .collect()
}

/// "Single node: ELECTION_NOT_NEEDED(84)", for preferred and unclean elections, in every version.
#[tokio::test]
async fn a_leader_in_its_place_stays() {
    let topic = Topic::create(2).await;
    let missing = unique("missing");
    let mut client = RawClient::connect().await;
    let not_needed = because(
        ResponseError::ElectionNotNeeded,
        "Leader election not needed for topic partition.",
    );
    let unknown = |what: String| because(ResponseError::UnknownTopicOrPartition, &what);
    for (version, election) in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)] {
        let partitions = vec![(&*topic.name, vec![0, 1, 9]), (&*missing, vec![0])];
        let response = elect(&mut client, version, election, Some(partitions)).await;
        assert_eq!(response.error_code.err(), None);
        assert_eq!(
            elections(response),
            [
                (topic.name.clone(), 0, not_needed.clone()),
                (topic.name.clone(), 1, not_needed.clone()),
                (
                    topic.name.clone(),
                    9,
                    unknown(format!("No such partition as {}-9", topic.name))
                ),
                (
                    missing.clone(),
                    0,
                    unknown(format!("No such topic as {missing}"))
                ),
            ],
            "version {version}, election {election}"
        );
    }
}

/// Without names all partitions are looked at, and those that need no election are not mentioned.
#[tokio::test]
async fn all_leaders_in_their_place_stay() {
    Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for election in [0, 1] {
        let response = elect(&mut client, 2, election, None).await;
        assert_eq!(response.error_code.err(), None);
        assert_eq!(elections(response), []);
    }
    let response = elect(&mut client, 2, 7, None).await;
    assert_eq!(
        response.error_code.err(),
        Some(ResponseError::InvalidRequest)
    );
    let response = elect(&mut client, 2, 7, Some(vec![("topic", vec![0])])).await;
    assert_eq!(
        elections(response),
        [(
            "topic".to_owned(),
            0,
            because(ResponseError::InvalidRequest, "Unknown election type 7")
        )]
    );
}

/// No partition is on its way: the list is empty, whatever is asked for.
#[tokio::test]
async fn nothing_is_reassigned() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let asked = |name: &str| {
        ListPartitionReassignmentsTopics::default()
            .with_name(topic_name(name))
            .with_partition_indexes(vec![0, 9])
    };
    let some = vec![asked(&topic.name), asked(&unique("missing"))];
    for topics in [None, Some(some)] {
        let request = ListPartitionReassignmentsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(10_000);
        let response = client.send(0, request).await;
        assert_eq!(refusal(response.error_code, response.error_message), None);
        assert!(response.topics.is_empty());
    }
}

/// Partition and size of what is listed for a topic; the topic of another name is not asked about.
fn sizes(response: DescribeLogDirsResponse, topic: &Topic) -> Vec<(i32, i64)> {
    assert_eq!(response.error_code.err(), None);
    let directory = only(response.results);
    assert_eq!(directory.error_code.err(), None);
    assert!(!directory.log_dir.is_empty());
    let mut sizes: Vec<(i32, i64)> = directory
        .topics
        .iter()
        .filter(|listed| *listed.name == *topic.name)
        .flat_map(|listed| &listed.partitions)
        .map(|partition| {
            assert_eq!((partition.offset_lag, partition.is_future_key), (0, false));
            (partition.partition_index, partition.partition_size)
        })
        .collect();
    sizes.sort_unstable();
    sizes
}

/// A partition takes the bytes that were written to it, in every version; what does not exist is not listed.
#[tokio::test]
async fn log_directories_tell_sizes() {
    let topic = Topic::create(2).await;
    let mut client = RawClient::connect().await;
    let batch = Batch::of(["value"]);
    append(&mut client, &topic, 1, &batch).await;
    let size = i64::try_from(batch.encode().len()).expect("a size");
    for version in 1..=4 {
        let all = DescribeLogDirsRequest::default().with_topics(None);
        assert_eq!(
            sizes(client.send(version, all).await, &topic),
            [(0, 0), (1, size)],
            "version {version}"
        );
        let asked = |name: &str| {
            DescribableLogDirTopic::default()
                .with_topic(topic_name(name))
                .with_partitions(vec![1, 9])
        };
        let topics = vec![asked(&topic.name), asked(&unique("missing"))];
        let some = DescribeLogDirsRequest::default().with_topics(Some(topics));
        let response = client.send(version, some).await;
        assert_eq!(only(response.results.clone()).topics.len(), 1);
        assert_eq!(sizes(response, &topic), [(1, size)], "version {version}");
    }
    let none = DescribeLogDirsRequest::default().with_topics(Some(vec![]));
    assert_eq!(sizes(client.send(4, none).await, &topic), []);
}

/// "ACL calls answered SECURITY_DISABLED(54) like Apache Kafka without authorizer", in every version.
#[tokio::test]
async fn without_an_authorizer_there_are_no_acls() {
    let mut client = RawClient::connect().await;
    let disabled = |message| because(ResponseError::SecurityDisabled, message);
    let (any, allow, read, topic, literal) = (1, 3, 3, 2, 3);
    for version in 1..=3 {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(any)
            .with_pattern_type_filter(any)
            .with_operation(any)
            .with_permission_type(any);
        let described = client.send(version, request).await;
        assert_eq!(
            refusal(described.error_code, described.error_message),
            disabled("No Authorizer is configured on the broker")
        );
        assert!(described.resources.is_empty());

        let creation = AclCreation::default()
            .with_resource_type(topic)
            .with_resource_name(text("orders"))
            .with_resource_pattern_type(literal)
            .with_principal(text("User:alice"))
            .with_host(text("*"))
            .with_operation(read)
            .with_permission_type(allow);
        let request = CreateAclsRequest::default().with_creations(vec![creation; 2]);
        let results = client.send(version, request).await.results;
        assert_eq!(results.len(), 2);
        for result in results {
            assert_eq!(
                refusal(result.error_code, result.error_message),
                disabled("No Authorizer is configured.")
            );
        }

        let filter = DeleteAclsFilter::default()
            .with_resource_type_filter(any)
            .with_pattern_type_filter(any)
            .with_operation(any)
            .with_permission_type(any);
        let request = DeleteAclsRequest::default().with_filters(vec![filter; 2]);
        let results = client.send(version, request).await.filter_results;
        assert_eq!(results.len(), 2);
        for result in results {
            assert_eq!(
                refusal(result.error_code, result.error_message),
                disabled("No Authorizer is configured.")
            );
            assert!(result.matching_acls.is_empty());
        }
    }
}
