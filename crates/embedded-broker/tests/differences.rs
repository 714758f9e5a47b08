//! Where the embedded broker differs from Apache Kafka on purpose: a test for each line of its README's list. What both do
//! is in the conformance suite.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the conformance suite needs more of it")]
mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use embedded_broker::Broker;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, ApiVersionsRequest,
    ConsumerGroupDescribeRequest, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteRecordsRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeTransactionsRequest, EndTxnRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, MetadataRequest, OffsetFetchRequest,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use support::broker::unique;
use support::configs::{
    self, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, SET, TOPIC, alter, ask, config, resource,
};
use support::consumer_group::{Consumer, Partitions, describe};
use support::group::{JOIN, LONG_MS, Member, group_id};
use support::raw::{RawClient, request_frame};
use support::records::{Batch, altered, decode, now, values};
use support::topic::{
    EARLIEST, FETCH_BY_NAME, PRODUCE, Topic, append, creatable, fetch_partition, fetch_request,
    fetched, list_offsets_request, only, produce, produce_request, topic_name,
};
use support::wait::{DEADLINE, eventually};

/// Where a batch's records begin.
const RECORDS: usize = 61;
/// A wait that no test sits out.
const LONG_WAIT_MS: i32 = 60_000;

/// A broker of its own, whatever broker other tests ask.
async fn start() -> (Broker, RawClient) {
    let broker = Broker::builder().start().await.expect("start a broker");
    let client = RawClient::connect_to(&broker.bootstrap_servers()).await;
    (broker, client)
}

async fn create_topic(client: &mut RawClient) -> Topic {
    create_topic_with(client, &[]).await
}

async fn create_topic_with(
    client: &mut RawClient,
    configs: &[(&'static str, &'static str)],
) -> Topic {
    let name = unique("topic");
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name((*name).into())
            .with_value(Some((*value).into()))
    });
    let topic = creatable(&name, 1).with_configs(configs.collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let result = only(client.send(7, request).await.topics);
    assert_eq!(result.error_code.err(), None);
    Topic {
        name,
        id: result.topic_id,
    }
}

/// Someone the coordinator of this broker has not heard of yet.
async fn stranger(broker: &Broker, group: &str) -> Member {
    Member {
        client: RawClient::connect_to(&broker.bootstrap_servers()).await,
        group: group.to_owned(),
        id: "".into(),
        instance: None,
        generation: -1,
        session_timeout_ms: LONG_MS,
        rebalance_timeout_ms: LONG_MS,
        protocols: vec![("plan", "metadata")],
    }
}

/// Someone of the new group protocol who wants these topics and has not joined yet.
async fn newcomer(broker: &Broker, group: &str, topics: &[&str]) -> Consumer {
    Consumer {
        client: RawClient::connect_to(&broker.bootstrap_servers()).await,
        group: group.to_owned(),
        id: unique("member").into(),
        instance: None,
        epoch: 0,
        assigned: Partitions::new(),
        names: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        pattern: None,
        assignor: None,
        rebalance_timeout_ms: LONG_MS,
    }
}

/// What Apache Kafka 4.3.1 answers to ApiVersions on a listener for clients: key, oldest and newest version.
#[rustfmt::skip] // A table, to be read by its rows.
const OFFERED_BY_APACHE_KAFKA: &[(i16, i16, i16)] = &[
    (0, 0, 13), (1, 4, 18), (2, 1, 11), (3, 0, 13), (8, 2, 10), (9, 1, 10),
    (10, 0, 6), (11, 0, 9), (12, 0, 4), (13, 0, 5), (14, 0, 5), (15, 0, 6),
    (16, 0, 5), (17, 0, 1), (18, 0, 4), (19, 2, 7), (20, 1, 6), (21, 0, 2),
    (22, 0, 5), (23, 2, 4), (24, 0, 5), (25, 0, 4), (26, 0, 5), (27, 1, 2),
    (28, 0, 5), (29, 1, 3), (30, 1, 3), (31, 1, 3), (32, 1, 4), (33, 0, 2),
    (34, 1, 2), (35, 1, 5), (36, 0, 2), (37, 0, 3), (38, 1, 3), (39, 1, 2),
    (40, 1, 2), (41, 1, 3), (42, 0, 2), (43, 0, 2), (44, 0, 1), (45, 0, 1),
    (46, 0, 0), (47, 0, 0), (48, 0, 1), (49, 0, 1), (50, 0, 0), (51, 0, 0),
    (55, 0, 2), (57, 0, 2), (60, 0, 2), (61, 0, 0), (64, 0, 0), (65, 0, 0),
    (66, 0, 2), (68, 0, 1), (69, 0, 1), (74, 0, 1), (75, 0, 0), (76, 1, 1),
    (77, 1, 1), (78, 1, 2), (79, 1, 2), (80, 0, 1), (81, 0, 0), (83, 0, 0),
    (84, 0, 0), (85, 0, 1), (86, 0, 0), (87, 0, 1), (88, 0, 0), (89, 0, 0),
    (90, 0, 1), (91, 0, 0), (92, 0, 0),
];

/// "Some APIs, and the newest versions of some others, are left out."
#[tokio::test]
async fn some_apis_and_versions_are_left_out() {
    let (_broker, mut client) = start().await;
    let offered = client.send(0, ApiVersionsRequest::default()).await.api_keys;
    let (mut apis, mut newest, mut oldest) = (Vec::new(), Vec::new(), Vec::new());
    for (key, min, max) in OFFERED_BY_APACHE_KAFKA {
        match offered.iter().find(|api| api.api_key == *key) {
            None => apis.push(*key),
            Some(api) => {
                if api.max_version != *max {
                    newest.push((*key, api.max_version + 1, *max));
                }
                if api.min_version != *min {
                    oldest.push(*key);
                }
            }
        }
    }
    #[rustfmt::skip] // A row for what belongs together.
    let left_out: &[i16] = &[
        27, // WriteTxnMarkers
        34, // AlterReplicaLogDirs
        38, 39, 40, 41, // delegation tokens
        45, // AlterPartitionReassignments
        48, 49, // client quotas
        50, 51, // SCRAM credentials
        55, // DescribeQuorum
        57, // UpdateFeatures
        64, // UnregisterBroker
        76, 77, 78, 79, // share groups
        80, 81, // voters of the quorum
        83, 84, 85, 86, 87, // the state of share groups
        88, 89, // streams groups
        90, 91, 92, // the offsets of share groups
    ];
    assert_eq!(apis, left_out);
    assert_eq!(
        newest,
        [
            (0, 12, 13), // Produce
            (1, 17, 18), // Fetch
            (2, 9, 11),  // ListOffsets
            (8, 10, 10), // OffsetCommit
            (9, 10, 10), // OffsetFetch
            (10, 6, 6),  // FindCoordinator
            (22, 5, 5),  // InitProducerId
            (24, 4, 5),  // AddPartitionsToTxn
            (25, 4, 4),  // AddOffsetsToTxn
            (26, 5, 5),  // EndTxn
            (28, 5, 5),  // TxnOffsetCommit
            (35, 5, 5),  // DescribeLogDirs
            (66, 2, 2),  // ListTransactions
        ]
    );
    assert_eq!(oldest, [] as [i16; 0]);
    let known = |key| OFFERED_BY_APACHE_KAFKA.iter().any(|api| api.0 == key);
    assert!(offered.iter().all(|api| known(api.api_key)), "{offered:?}");
}

/// "A client that says nothing is closed only before it has authenticated, after 30 s." `tests/security/timeouts.rs` has who
/// must authenticate; here nobody must.
#[tokio::test]
async fn an_idle_client_is_not_closed() {
    let timeout = Duration::from_millis(20);
    let builder = Broker::builder().authentication_timeout(timeout);
    let broker = builder.start().await.expect("start a broker");
    let mut client = RawClient::connect_to(&broker.bootstrap_servers()).await;
    client.no_response_within(10 * timeout).await;
    client.send(0, ApiVersionsRequest::default()).await;
}

/// "A waiting fetch is answered as soon as another request arrives on its connection."
#[tokio::test]
async fn a_request_behind_a_waiting_fetch_ends_the_wait() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0)])
        .with_min_bytes(1)
        .with_max_wait_ms(LONG_WAIT_MS);
    let parked = client.write(FETCH_BY_NAME, &request).await;
    client.no_response_within(Duration::from_millis(50)).await;
    let versions = client.write(0, &ApiVersionsRequest::default()).await;
    let answer = fetched(client.read(parked).await);
    assert_eq!(answer.error_code.err(), None);
    assert!(decode(answer.records).is_empty());
    client.read(versions).await;
}

/// "A fetch that names an unknown partition does not wait for the others."
#[tokio::test]
async fn an_unknown_partition_ends_the_wait() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0), fetch_partition(9, 0)])
        .with_min_bytes(1)
        .with_max_wait_ms(LONG_WAIT_MS);
    let answer = only(client.send(FETCH_BY_NAME, request).await.responses).partitions;
    let errors: Vec<_> = answer
        .iter()
        .map(|partition| partition.error_code.err())
        .collect();
    assert_eq!(errors, [None, Some(ResponseError::UnknownTopicOrPartition)]);
}

/// "Fetch sessions (KIP-227) are declined."
#[tokio::test]
async fn no_fetch_session_is_kept() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    append(&mut client, &topic, 0, &Batch::of(["one"])).await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0)]).with_session_epoch(0);
    let answer = client.send(FETCH_BY_NAME, request).await;
    assert_eq!(answer.session_id, 0);
    assert_eq!(values(&decode(fetched(answer).records)), ["one"]);
}

/// "While answers of 256 MiB wait for clients to read them, a fetch gets one batch."
#[tokio::test]
async fn clients_that_do_not_read_leave_little_for_others() {
    let (broker, mut client) = start().await;
    let name = unique("large");
    let request = CreateTopicsRequest::default()
        .with_topics(vec![creatable(&name, 30)])
        .with_timeout_ms(10_000);
    let id = only(client.send(7, request).await.topics).topic_id;
    let topic = Topic { name, id };
    let batch = Batch::of_size(1_000_000);
    for partition in 0..30 {
        append(&mut client, &topic, partition, &batch).await;
    }
    let partitions = (0..30).map(|index| {
        let partition = fetch_partition(index, 0);
        partition.with_partition_max_bytes(i32::MAX)
    });
    let request = fetch_request(&topic, partitions.collect());
    let batches = async |client: &mut RawClient| {
        let topics = client.send(FETCH_BY_NAME, request.clone()).await.responses;
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        let records = partitions.filter_map(|partition| partition.records.as_ref());
        records.filter(|records| !records.is_empty()).count()
    };
    assert_eq!(batches(&mut client).await, 30);
    let mut silent = Vec::new();
    eventually(DEADLINE, "a fetch that gets one batch", async || {
        // One that comes while the room is taken for a moment gets little: then the next one fills it.
        let mut one_more = RawClient::connect_with_small_buffer(&broker.bootstrap_servers()).await;
        let _never_read = one_more.write(FETCH_BY_NAME, &request).await;
        silent.push(one_more);
        (batches(&mut client).await == 1).then_some(())
    })
    .await;
    drop(silent);
    eventually(DEADLINE, "a fetch that gets all batches", async || {
        (batches(&mut client).await == 30).then_some(())
    })
    .await;
}

/// "The first join of an empty group waits 100 ms for others.": two members that start together are in one generation.
#[tokio::test]
async fn members_that_start_together_are_in_one_generation() {
    let (broker, _client) = start().await;
    let group = unique("together");
    let mut one = stranger(&broker, &group).await;
    let mut two = stranger(&broker, &group).await;
    one.introduce().await;
    two.introduce().await;
    let start = Instant::now();
    let first = one.start_join().await;
    let second = two.join().await;
    let first = one.finish_join(first).await;
    assert!(
        start.elapsed() >= Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.members.len() + second.members.len(), 2);
}

/// "Sessions may be as short as 100 ms."
#[tokio::test]
async fn sessions_may_be_short() {
    let (broker, _client) = start().await;
    let mut member = stranger(&broker, &unique("short")).await;
    member.session_timeout_ms = 99;
    assert_eq!(
        member.join().await.error_code.err(),
        Some(ResponseError::InvalidSessionTimeout)
    );
    member.session_timeout_ms = 100;
    assert_eq!(
        member.join().await.error_code.err(),
        Some(ResponseError::MemberIdRequired)
    );
}

/// "Records are opened only where the topic's configuration asks for it.": nonsense behind a right checksum is kept.
#[tokio::test]
async fn records_are_kept_unread() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let nonsense = altered(&Batch::of(["value"]).encode(), RECORDS, &[0xFF; 8]);
    let answer = produce(&mut client, &topic, 0, nonsense).await;
    assert_eq!((answer.error_code.err(), answer.base_offset), (None, 0));
}

/// "Compaction leaves a batch alone whose records make no sense."
#[tokio::test]
async fn nonsense_is_no_reason_to_stop_compacting() {
    let (_broker, mut client) = start().await;
    // Opened when it arrives only where the topic is compacted already.
    let topic = create_topic_with(&mut client, &[("segment.ms", "1")]).await;
    let nonsense = altered(&Batch::of(["value"]).encode(), RECORDS, &[0xFF; 8]);
    produce(&mut client, &topic, 0, nonsense).await;
    for later in [10, 20, 30] {
        let batch = Batch::keyed(&[(Some("key"), Some("value"))]).made_at(now() + later);
        append(&mut client, &topic, 0, &batch).await;
    }
    let policy = AlterableConfig::default()
        .with_name("cleanup.policy".into())
        .with_value(Some("compact".into()));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2) // a topic
        .with_resource_name(topic.name.clone().into())
        .with_configs(vec![policy]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let altered = only(client.send(1, request).await.responses);
    assert_eq!(altered.error_code.err(), None);
    eventually(DEADLINE, "a record to be compacted away", async || {
        let request = fetch_request(&topic, vec![fetch_partition(0, 1)]);
        let left = fetched(client.send(FETCH_BY_NAME, request).await);
        (decode(left.records).first()?.offset == 2).then_some(())
    })
    .await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0)]);
    let kept = fetched(client.send(FETCH_BY_NAME, request).await).records;
    assert_eq!(kept.expect("records")[RECORDS..][..8], [0xFF; 8]);
}

/// "Logs are looked through a second after they changed."
#[tokio::test]
async fn old_records_go_within_seconds() {
    let (_broker, mut client) = start().await;
    let topic = create_topic_with(&mut client, &[("retention.ms", "1000")]).await;
    let old = Batch::of(["old"]).made_at(now() - 60_000);
    append(&mut client, &topic, 0, &old).await;
    let appended = Instant::now();
    eventually(DEADLINE, "the old record to go", async || {
        let request = list_offsets_request(&topic, 0, EARLIEST);
        let answer = only(only(client.send(8, request).await.topics).partitions);
        (answer.offset == 1).then_some(())
    })
    .await;
    let took = appended.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
}

/// "Deleted records give their memory back at once."
#[tokio::test]
async fn deleted_records_take_no_room() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    append(&mut client, &topic, 0, &Batch::of(["one", "two"])).await;
    assert!(size_of_all_logs(&mut client).await > 0);
    let everything = DeleteRecordsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![DeleteRecordsPartition::default().with_offset(-1)]);
    let request = DeleteRecordsRequest::default().with_topics(vec![everything]);
    let deleted = only(only(client.send(2, request).await.topics).partitions);
    assert_eq!(deleted.error_code.err(), None);
    assert_eq!(size_of_all_logs(&mut client).await, 0);
}

/// "The records of all topics take at most 1 GiB (`--max-memory`)."
#[tokio::test]
async fn beyond_the_limit_the_oldest_records_go() {
    let broker = Broker::builder().max_memory(16 << 20).start().await;
    let broker = broker.expect("start a broker");
    let mut client = RawClient::connect_to(&broker.bootstrap_servers()).await;
    let topic = create_topic(&mut client).await;
    let batch = Batch::of_size(500_000);
    for _ in 0..60 {
        append(&mut client, &topic, 0, &batch).await;
    }
    let size = size_of_all_logs(&mut client).await;
    assert!((14 << 20..=16 << 20).contains(&size), "{size}");
}

async fn size_of_all_logs(client: &mut RawClient) -> i64 {
    let request = DescribeLogDirsRequest::default().with_topics(None);
    let directory = only(client.send(4, request).await.results);
    let partitions = directory.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.partition_size).sum()
}

/// "A consumer's join is answered even if its subscription is nonsense."
#[tokio::test]
async fn a_subscription_is_opaque() {
    let (broker, _client) = start().await;
    let mut member = stranger(&broker, &unique("opaque")).await;
    member.introduce().await;
    let mut request = member.join_request().with_protocol_type("consumer".into());
    request.protocols[0].metadata = Bytes::from_static(b"no subscription");
    let answer = member.client.send(JOIN, request).await;
    assert_eq!(answer.error_code.err(), None);
}

/// "A topic has at most 10,000 partitions, and all topics 100,000."
#[tokio::test]
async fn partitions_are_limited() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let grown_to = |count| {
        let topic = CreatePartitionsTopic::default()
            .with_name(topic.topic_name())
            .with_count(count)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default().with_validate_only(true);
        request.with_topics(vec![topic])
    };
    let largest = only(client.send(3, grown_to(10_000)).await.results);
    assert_eq!(largest.error_code.err(), None);
    let larger = only(client.send(3, grown_to(10_001)).await.results);
    let refused = larger.error_code.err();
    assert_eq!(refused, Some(ResponseError::PolicyViolation));

    // The first topic has one.
    for (room, expected) in [(10, None), (1, Some(ResponseError::PolicyViolation))] {
        for _ in 0..room {
            let partitions = if expected.is_none() { 9_999 } else { 10 };
            let request = CreateTopicsRequest::default()
                .with_topics(vec![creatable(&unique("topic"), partitions)]);
            let result = only(client.send(7, request).await.topics);
            assert_eq!(result.error_code.err(), expected);
        }
    }
    let request = MetadataRequest::default()
        .with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(topic_name(&unique("topic")))),
        ]))
        .with_allow_auto_topic_creation(true);
    let automatic = only(client.send(12, request).await.topics);
    assert_eq!(automatic.error_code.err(), None, "9 are left");
}

/// "Configurations are described without their documentation."
#[tokio::test]
async fn configurations_are_not_explained() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource(TOPIC, &topic.name, None)])
        .with_include_documentation(true);
    let described = only(client.send(4, request).await.results).configs;
    assert!(!described.is_empty());
    assert!(
        described
            .iter()
            .all(|config| config.documentation.is_none())
    );
}

/// "Some families of configurations are left out."
#[tokio::test]
async fn families_of_configurations_are_left_out() {
    let (_broker, mut client) = start().await;
    let loggers = configs::describe(&mut client, BROKER_LOGGER, "0").await;
    assert!(loggers.is_empty());
    let metrics = ask(&mut client, resource(CLIENT_METRICS, "metrics", None)).await;
    assert_eq!(
        metrics.error_code.err(),
        Some(ResponseError::InvalidRequest)
    );
    let share_group = [("share.session.timeout.ms", SET, Some("50000"))];
    let refused = alter(&mut client, GROUP, "group", &share_group).await;
    let message = "Unknown group config name: share.session.timeout.ms".to_owned();
    assert_eq!(refused, Some((ResponseError::InvalidConfig, message)));
    let broker = configs::describe(&mut client, BROKER, "0").await;
    for family in ["ssl.", "sasl.", "controller.", "remote.", "group.share."] {
        let of_family = |name: &str| name.starts_with(family);
        assert!(
            broker.iter().all(|config| !of_family(&config.name)),
            "{family}"
        );
    }
}

/// "A node listens where it was started to listen."
#[tokio::test]
async fn listeners_are_not_altered() {
    let (broker, mut client) = start().await;
    let listeners = format!("PLAINTEXT://{}", broker.bootstrap_servers());
    let change = [("listeners", SET, Some(&*listeners))];
    let refused = alter(&mut client, BROKER, "0", &change).await;
    assert_eq!(
        refused.map(|(error, _)| error),
        Some(ResponseError::InvalidRequest)
    );
    let described = config(&mut client, BROKER, "0", "listeners").await;
    assert!(!described.read_only);
}

/// "What a request asks about twice is answered once."
#[tokio::test]
async fn a_name_is_described_once() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let group = group_id(&unique("group"));

    let request = DescribeGroupsRequest::default().with_groups(vec![group.clone(); 2]);
    only(client.send(6, request).await.groups);
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group.clone(); 2]);
    only(client.send(1, request).await.groups);
    let request = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![TransactionalId("transaction".into()); 2]);
    only(client.send(0, request).await.transaction_states);
    let about = TopicRequest::default()
        .with_name(topic.topic_name())
        .with_partition_indexes(vec![0, 0]);
    let request = DescribeProducersRequest::default().with_topics(vec![about.clone(), about]);
    let answer = client.send(0, request).await.topics;
    let partitions = answer.iter().map(|topic| topic.partitions.len());
    assert_eq!(partitions.sum::<usize>(), 1);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(topic.name.clone().into())
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource; 2]);
    only(client.send(4, request).await.results);

    let about = OffsetFetchRequestTopics::default()
        .with_name(topic.topic_name())
        .with_partition_indexes(vec![0, 0]);
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group)
        .with_topics(Some(vec![about.clone(), about]));
    let request = OffsetFetchRequest::default().with_groups(vec![asked; 2]);
    let answer = only(client.send(8, request).await.groups).topics;
    let partitions = answer.iter().map(|topic| topic.partitions.len());
    assert_eq!(partitions.sum::<usize>(), 1);
}

/// "A request has at most 131,072 fields, and 4 MiB unless it is Produce."
#[tokio::test]
async fn requests_are_limited() {
    let (broker, _client) = start().await;
    let connect = async || RawClient::connect_to(&broker.bootstrap_servers()).await;
    let keys =
        |count| FindCoordinatorRequest::default().with_coordinator_keys(vec!["".into(); count]);
    // Each key has a length and its letters, of which there are none.
    let answer = connect().await.send(4, keys(65_000)).await;
    assert_eq!(answer.coordinators.len(), 65_000);
    let mut client = connect().await;
    client
        .write_bytes(&request_frame(4, 1, &keys(66_000)))
        .await;
    client.is_closed().await;

    let long = |letters| {
        FindCoordinatorRequest::default().with_coordinator_keys(vec!["x".repeat(letters).into(); 2])
    };
    let answer = connect().await.send(4, long(2_000_000)).await;
    assert_eq!(answer.coordinators.len(), 2);
    let mut client = connect().await;
    // The length alone: what follows may be lost when the connection is closed.
    client
        .write_bytes(&request_frame(4, 1, &long(2_100_000))[..6])
        .await;
    client.is_closed().await;
}

/// "A produce request's answer lists at most 10,000 records at fault."
#[tokio::test]
async fn records_at_fault_are_listed_up_to_a_limit() {
    let (_broker, mut client) = start().await;
    let compacted = CreatableTopicConfig::default()
        .with_name("cleanup.policy".into())
        .with_value(Some("compact".into()));
    let name = unique("topic");
    let request = CreateTopicsRequest::default()
        .with_topics(vec![creatable(&name, 1).with_configs(vec![compacted])]);
    let result = only(client.send(7, request).await.topics);
    assert_eq!(result.error_code.err(), None);
    let topic = Topic {
        name,
        id: result.topic_id,
    };
    let without_keys = Batch::of(vec!["value"; 10_001]);
    let answer = produce(&mut client, &topic, 0, without_keys.encode()).await;
    let refused = answer.error_code.err();
    assert_eq!(refused, Some(ResponseError::InvalidRecord));
    assert_eq!(answer.record_errors.len(), 10_000);
    let message = answer.error_message.expect("a message");
    assert!(message.contains("10001 record errors"), "{}", &*message);
}

/// "A tagged field's number is at most the count of bytes that follow it."
#[tokio::test]
async fn a_large_number_of_a_tagged_field_is_refused() {
    let (_broker, mut client) = start().await;
    let mut request = MetadataRequest::default().with_topics(Some(vec![]));
    request
        .unknown_tagged_fields
        .insert(4711, Bytes::from_static(b"tag"));
    client.write_bytes(&request_frame(12, 1, &request)).await;
    client.is_closed().await;
}

/// "Members of consumer groups (KIP-848) report every 200 ms and are waited for 10 s."
#[tokio::test]
async fn members_report_often() {
    let (broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let mut member = newcomer(&broker, &unique("often"), &[&topic.name]).await;
    let answer = member.send(member.joining()).await;
    assert_eq!(answer.heartbeat_interval_ms, 200);
    member.leave(-1).await;
    let mut silent = newcomer(&broker, &member.group, &[&topic.name]).await;
    silent.join().await;
    let silence = Instant::now();
    eventually(DEADLINE, "the silent member to be expelled", async || {
        let described = describe(&mut client, &silent.group).await;
        (described.group_state.as_str() == "Empty").then_some(())
    })
    .await;
    let waited = silence.elapsed();
    assert!(waited > Duration::from_secs(9), "{waited:?}");
}

/// "Every change of a consumer group is answered by a new assignment at once."
#[tokio::test]
async fn assignments_follow_at_once() {
    let (broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let group = unique("at-once");
    for count in 1..=5 {
        let mut member = newcomer(&broker, &group, &[&topic.name]).await;
        member.join().await;
        let described = describe(&mut client, &group).await;
        assert_eq!(described.assignment_epoch, described.group_epoch, "{count}");
    }
}

/// "A new topic is matched with subscribed regular expressions at once."
#[tokio::test]
async fn new_topics_are_matched_at_once() {
    let (broker, mut client) = start().await;
    let mut member = newcomer(&broker, &unique("pattern"), &[]).await;
    member.names = None;
    member.pattern = Some("topic-.*".to_owned());
    member.join().await;
    member.beat().await;
    for count in 1..=3 {
        create_topic(&mut client).await;
        // One heartbeat finds it, the next brings its partitions.
        member.obey().await;
        member.obey().await;
        assert_eq!(member.assigned.len(), count);
    }
}

/// "A subscribed regular expression has at most 64 KiB, and 256 KiB when compiled."
#[tokio::test]
async fn regular_expressions_are_limited() {
    let (broker, _client) = start().await;
    let mut member = newcomer(&broker, &unique("large"), &[]).await;
    let long = |length: usize| format!("[{}]", "a".repeat(length - 2));
    for (pattern, error) in [
        (long(64 * 1024), None),
        (
            long(64 * 1024 + 1),
            Some(ResponseError::InvalidRegularExpression),
        ),
        (
            "((a{100}){100}){100}".to_owned(),
            Some(ResponseError::InvalidRegularExpression),
        ),
    ] {
        member.pattern = Some(pattern);
        let answer = member.send(member.joining()).await;
        assert_eq!(answer.error_code.err(), error);
    }
}

/// "A group with members stays classic, or a consumer group."
#[tokio::test]
async fn groups_with_members_are_not_converted() {
    let (broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let mut classic = stranger(&broker, &unique("classic")).await;
    classic.introduce().await;
    let request = classic.join_request().with_protocol_type("consumer".into());
    let joined = classic.client.send(JOIN, request).await;
    assert_eq!(joined.error_code.err(), None);
    let mut member = newcomer(&broker, &classic.group, &[&topic.name]).await;
    let refused = member.refused(member.joining()).await;
    assert_eq!(refused, ResponseError::GroupIdNotFound);

    let mut member = newcomer(&broker, &unique("consumer"), &[&topic.name]).await;
    member.join().await;
    let mut classic = stranger(&broker, &member.group).await;
    let request = classic.join_request().with_protocol_type("consumer".into());
    let refused = classic.client.send(JOIN, request).await;
    assert_eq!(
        refused.error_code.err(),
        Some(ResponseError::InconsistentGroupProtocol)
    );
}

/// Initialises a transactional id that nobody else uses: what its further requests say.
async fn transactional_id(client: &mut RawClient, timeout_ms: i32) -> EndTxnRequest {
    let id = TransactionalId(unique("transactional").into());
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id.clone()))
        .with_transaction_timeout_ms(timeout_ms);
    let answer = client.send(4, request).await;
    assert_eq!(answer.error_code.err(), None);
    EndTxnRequest::default()
        .with_transactional_id(id)
        .with_producer_id(answer.producer_id)
        .with_producer_epoch(answer.producer_epoch)
        .with_committed(true)
}

/// Begins a transaction of one record in partition 0.
async fn begin(client: &mut RawClient, producer: &EndTxnRequest, topic: &Topic) {
    let partitions = AddPartitionsToTxnTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(producer.transactional_id.clone())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(vec![partitions]);
    let topics = client.send(3, request).await.results_by_topic_v3_and_below;
    let added = only(only(topics).results_by_partition).partition_error_code;
    assert_eq!(added.err(), None);
    let batch = Batch::of(["value"])
        .from_producer(producer.producer_id.0, producer.producer_epoch, 0)
        .transactional();
    let request = produce_request(topic, 0, batch.encode())
        .with_transactional_id(Some(producer.transactional_id.clone()));
    let answer = only(only(client.send(PRODUCE, request).await.responses).partition_responses);
    assert_eq!(answer.error_code.err(), None);
}

/// How far readers of committed records get.
async fn last_stable_offset(client: &mut RawClient, topic: &Topic) -> i64 {
    let request = fetch_request(topic, vec![fetch_partition(0, 0)]);
    fetched(client.send(FETCH_BY_NAME, request).await).last_stable_offset
}

/// "Transactions are those of version 1 of their protocol."
#[tokio::test]
async fn version_2_of_transactions_is_not_offered() {
    let (_broker, mut client) = start().await;
    let request = ApiVersionsRequest::default()
        .with_client_software_name("suite".into())
        .with_client_software_version("1.0".into());
    let answer = client.send(4, request).await;
    let is_feature = |name: &str| name == "transaction.version";
    assert!(
        !answer
            .supported_features
            .iter()
            .any(|feature| is_feature(&feature.name))
    );
    assert!(
        !answer
            .finalized_features
            .iter()
            .any(|feature| is_feature(&feature.name))
    );
    let newest = |key: ApiKey| {
        let mut apis = answer.api_keys.iter();
        apis.find(|api| api.api_key == key as i16)
            .map(|api| api.max_version)
    };
    assert_eq!(newest(ApiKey::EndTxn), Some(4));
    assert_eq!(newest(ApiKey::Produce), Some(11));
}

/// "A transaction has ended everywhere when EndTxn is answered.": nor has anybody to wait when InitProducerId aborts it.
#[tokio::test]
async fn nobody_waits_for_the_end_of_a_transaction() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let producer = transactional_id(&mut client, 60_000).await;
    begin(&mut client, &producer, &topic).await;
    assert_eq!(
        client.send(4, producer.clone()).await.error_code.err(),
        None
    );
    assert_eq!(last_stable_offset(&mut client, &topic).await, 2);
    assert_eq!(
        client.send(4, producer.clone()).await.error_code.err(),
        None
    );
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(producer.transactional_id.clone()))
        .with_transaction_timeout_ms(60_000);
    let next = client.send(4, request.clone()).await;
    assert_eq!(next.error_code.err(), None);
    let producer = producer.with_producer_epoch(next.producer_epoch);
    begin(&mut client, &producer, &topic).await;
    assert_eq!(client.send(4, request).await.error_code.err(), None);
    assert_eq!(last_stable_offset(&mut client, &topic).await, 4);
}

/// "A transaction is aborted as soon as its time is over."
#[tokio::test]
async fn a_transaction_is_aborted_in_time() {
    let (_broker, mut client) = start().await;
    let topic = create_topic(&mut client).await;
    let producer = transactional_id(&mut client, 100).await;
    let start = Instant::now();
    begin(&mut client, &producer, &topic).await;
    let aborted = eventually(Duration::from_secs(5), "the abort", async || {
        (last_stable_offset(&mut client, &topic).await == 2).then(|| start.elapsed())
    })
    .await;
    assert!(aborted >= Duration::from_millis(100), "{aborted:?}");
}

/// "A described transaction does not show the groups whose offsets are in it."
#[tokio::test]
async fn groups_in_a_transaction_are_not_shown() {
    let (_broker, mut client) = start().await;
    let producer = transactional_id(&mut client, 60_000).await;
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(producer.transactional_id.clone())
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_group_id(StrBytes::from(unique("group")).into());
    assert_eq!(client.send(3, request).await.error_code.err(), None);
    let request = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![producer.transactional_id.clone()]);
    let described = only(client.send(0, request).await.transaction_states);
    assert_eq!(described.transaction_state.as_str(), "Ongoing");
    assert!(described.topics.is_empty());
}

/// Each line that a test quotes is in the README's list, and each line of the list is quoted by a test.
#[test]
fn the_readme_lists_the_differences() {
    let quoted: Vec<&str> = include_str!("differences.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("/// \"")?.split('"').next())
        .collect();
    let (_, list) = include_str!("../README.md")
        .split_once("## Where it differs from Apache Kafka\n")
        .expect("the section");
    let list = list.split("\n## ").next().expect("its end");
    // The bold beginning of each item is what a test quotes.
    let listed: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split("**").next())
        .collect();
    assert_eq!(listed, quoted);
}
