//! Several nodes: leaders and coordinators that move, nodes that stop, start and hang, and clients that get through it.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/own_broker.rs"]
mod own_broker;
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

use embedded_broker::{Broker, ControlError, probe};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::create_topics_request::CreatableReplicaAssignment;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DescribeClusterRequest, FetchRequest, FindCoordinatorRequest,
    MetadataRequest, MetadataResponse,
};
use rdkafka::consumer::{CommitMode, Consumer};

use own_broker::{connect, create_topic, member, producer, reader, receive, send_to, start};
use support::broker::unique;
use support::group::Member;
use support::raw::RawClient;
use support::records::{Batch, decode, values};
use support::topic::{
    LATEST, Topic, creatable, fetch, fetch_partition, fetch_request, fetch_request_by_id,
    list_offset, only, produce, produce_request,
};
use support::wait::DEADLINE;

/// The newest version of Metadata that names topics without ids.
const METADATA: i16 = 12;

async fn metadata(client: &mut RawClient, topic: &Topic) -> MetadataResponse {
    let asked = MetadataRequestTopic::default().with_name(Some(topic.topic_name()));
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    client.send(METADATA, request).await
}

/// What the node says of partition 0.
async fn partition(client: &mut RawClient, topic: &Topic) -> MetadataResponsePartition {
    let topic = only(metadata(client, topic).await.topics);
    topic.partitions.into_iter().next().expect("a partition")
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.0).collect()
}

#[tokio::test]
async fn the_wrong_node_names_the_error_and_the_right_one_takes_the_record() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 1, 1).await;
    let leader = partition(&mut connect(&broker, 0).await, &topic)
        .await
        .leader_id
        .0;
    for node in 0..3 {
        let mut client = connect(&broker, node).await;
        let answer = produce(&mut client, &topic, 0, Batch::of(["a"]).encode()).await;
        let expected = (node != leader).then_some(ResponseError::NotLeaderOrFollower);
        assert_eq!(answer.error_code.err(), expected, "node {node}");
        let offset = list_offset(&mut client, &topic, 0, LATEST).await;
        assert_eq!(offset.error_code.err(), expected, "node {node}");
        let fetched = fetch(&mut client, &topic, 0, 0).await;
        assert_eq!(fetched.error_code.err(), expected, "node {node}");
    }
}

/// KIP-951, from these versions on.
#[tokio::test]
async fn the_wrong_node_says_who_leads() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 1, 1).await;
    broker
        .move_leader(&topic.name, 0, 2)
        .expect("move the leader");
    let mut wrong = connect(&broker, 1).await;
    let address = broker.node_address(2).expect("an address");

    let endpoint = |host: &str, port: i32| format!("{host}:{port}");
    for (version, hints) in [(9, false), (10, true)] {
        let request = produce_request(&topic, 0, Batch::of(["a"]).encode());
        let answer = wrong.send(version, request).await;
        let nodes = answer.node_endpoints.iter();
        let endpoints: Vec<String> = nodes.map(|node| endpoint(&node.host, node.port)).collect();
        assert_eq!(endpoints, vec![address.clone(); usize::from(hints)]);
        let hint = only(only(answer.responses).partition_responses).current_leader;
        let expected = if hints { (2, 1) } else { (-1, -1) };
        assert_eq!((hint.leader_id.0, hint.leader_epoch), expected);
    }
    for (version, hints) in [(15, false), (16, true)] {
        let request = fetch_request_by_id(&topic, vec![fetch_partition(0, 0)]);
        let answer = wrong.send(version, request).await;
        let nodes = answer.node_endpoints.iter();
        let endpoints: Vec<String> = nodes.map(|node| endpoint(&node.host, node.port)).collect();
        assert_eq!(endpoints, vec![address.clone(); usize::from(hints)]);
        let hint = only(only(answer.responses).partitions).current_leader;
        let expected = if hints { (2, 1) } else { (-1, -1) };
        assert_eq!((hint.leader_id.0, hint.leader_epoch), expected);
    }
}

/// KIP-392. Every replica has every record here.
#[tokio::test]
async fn a_follower_answers_fetches_of_newer_versions() {
    let broker = start(2).await;
    let topic = create_topic(&broker, 1, 2).await;
    let leader = &mut connect(&broker, 0).await;
    produce(leader, &topic, 0, Batch::of(["a"]).encode()).await;
    let mut follower = connect(&broker, 1).await;
    let mut ask = async |version, epoch| {
        let partition = fetch_partition(0, 0).with_current_leader_epoch(epoch);
        let request = fetch_request(&topic, vec![partition]).with_replica_id(BrokerId(-1));
        only(only(follower.send(version, request).await.responses).partitions)
    };
    assert_eq!(
        ask(10, -1).await.error_code.err(),
        Some(ResponseError::NotLeaderOrFollower)
    );
    for epoch in [-1, 0] {
        let fetched = ask(11, epoch).await;
        assert_eq!(fetched.error_code.err(), None);
        assert_eq!(values(&decode(fetched.records)), ["a"]);
    }
    assert_eq!(
        ask(12, 5).await.error_code.err(),
        Some(ResponseError::UnknownLeaderEpoch)
    );
}

#[tokio::test]
async fn a_moved_leader_has_a_new_epoch_and_parked_fetches_learn_of_it() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 1, 3).await;
    let mut client = connect(&broker, 0).await;
    let before = partition(&mut client, &topic).await;
    assert_eq!((before.leader_id.0, before.leader_epoch), (0, 0));

    // One that says which epoch it believes in, one that may only ask the leader, one that may ask any replica.
    let wait = |request: FetchRequest| {
        request
            .with_replica_id(BrokerId(-1))
            .with_min_bytes(1)
            .with_max_wait_ms(60_000)
    };
    let partition_of_epoch = fetch_partition(0, 0).with_current_leader_epoch(0);
    let in_epoch = wait(fetch_request_by_id(&topic, vec![partition_of_epoch]));
    let of_leader = wait(fetch_request(&topic, vec![fetch_partition(0, 0)]));
    let of_any = wait(fetch_request_by_id(&topic, vec![fetch_partition(0, 0)]));
    let mut believer = connect(&broker, 0).await;
    let mut old = connect(&broker, 0).await;
    let mut tolerant = connect(&broker, 0).await;
    let in_epoch = believer.write(16, &in_epoch).await;
    let of_leader = old.write(10, &of_leader).await;
    let of_any = tolerant.write(16, &of_any).await;
    for waiting in [&mut believer, &mut old, &mut tolerant] {
        waiting.no_response_within(Duration::from_millis(50)).await;
    }
    broker
        .move_leader(&topic.name, 0, 2)
        .expect("move the leader");
    let fenced = only(only(believer.read(in_epoch).await.responses).partitions);
    assert_eq!(
        fenced.error_code.err(),
        Some(ResponseError::FencedLeaderEpoch)
    );
    assert_eq!(fenced.current_leader.leader_id.0, 2);
    assert_eq!(fenced.current_leader.leader_epoch, 1);
    let refused = only(only(old.read(of_leader).await.responses).partitions);
    assert_eq!(
        refused.error_code.err(),
        Some(ResponseError::NotLeaderOrFollower)
    );
    tolerant.no_response_within(Duration::from_millis(50)).await;
    let mut leader = connect(&broker, 2).await;
    produce(&mut leader, &topic, 0, Batch::of(["a"]).encode()).await;
    let fetched = only(only(tolerant.read(of_any).await.responses).partitions);
    assert_eq!(values(&decode(fetched.records)), ["a"]);

    let after = partition(&mut client, &topic).await;
    assert_eq!((after.leader_id.0, after.leader_epoch), (2, 1));
    assert_eq!(ids(&after.replica_nodes), [0, 1, 2]);
}

#[tokio::test]
async fn a_node_without_a_replica_takes_the_old_leaders_place() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 1, 2).await;
    broker
        .move_leader(&topic.name, 0, 2)
        .expect("move the leader");
    let partition = partition(&mut connect(&broker, 0).await, &topic).await;
    assert_eq!(partition.leader_id.0, 2);
    assert_eq!(ids(&partition.replica_nodes), [2, 1]);
    assert_eq!(ids(&partition.isr_nodes), [2, 1]);
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_with_a_reason() {
    let broker = start(2).await;
    let topic = create_topic(&broker, 1, 2).await;
    let refused =
        |result: Result<(), ControlError>| result.expect_err("it cannot be done").to_string();
    assert_eq!(
        refused(broker.move_leader(&topic.name, 7, 1)),
        format!("there is no partition 7 of a topic `{}`", topic.name)
    );
    assert_eq!(
        refused(broker.move_leader(&topic.name, 0, 5)),
        "there is no node 5"
    );
    assert_eq!(
        refused(broker.move_coordinator("group", -1)),
        "there is no node -1"
    );
    assert_eq!(refused(broker.stop_node(2)), "there is no node 2");
    broker.stop_node(1).expect("stop node 1");
    assert_eq!(
        refused(broker.move_leader(&topic.name, 0, 1)),
        "node 1 is stopped; start it first"
    );
}

#[tokio::test]
async fn a_stopped_node_is_gone_and_its_replicas_step_in() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 1, 3).await;
    let mut witness = connect(&broker, 1).await;
    let mut victim = connect(&broker, 0).await;
    assert_eq!(partition(&mut victim, &topic).await.leader_id.0, 0);

    broker.stop_node(0).expect("stop node 0");
    victim.is_closed().await;
    let address = broker.node_address(0).expect("an address");
    let refused = TcpStream::connect(&address).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    let answer = metadata(&mut witness, &topic).await;
    let nodes: Vec<i32> = answer
        .brokers
        .iter()
        .map(|broker| broker.node_id.0)
        .collect();
    assert_eq!(nodes, [1, 2]);
    assert_eq!(answer.controller_id.0, 1);
    for (include_fenced, expected) in [(false, vec![1, 2]), (true, vec![0, 1, 2])] {
        let request = DescribeClusterRequest::default()
            .with_endpoint_type(1)
            .with_include_fenced_brokers(include_fenced);
        let described = witness.send(2, request).await.brokers;
        let known: Vec<i32> = described.iter().map(|node| node.broker_id.0).collect();
        assert_eq!(known, expected);
        let fenced = described.iter().filter(|node| node.is_fenced).count();
        assert_eq!(fenced, usize::from(include_fenced));
    }
    let after = only(only(answer.topics).partitions);
    assert_eq!((after.leader_id.0, after.leader_epoch), (1, 1));
    assert_eq!(ids(&after.replica_nodes), [0, 1, 2]);
    assert_eq!(ids(&after.isr_nodes), [1, 2]);
    assert_eq!(ids(&after.offline_replicas), [0]);

    // The same port, and the leader stays where it went until it is moved back.
    broker.start_node(0).expect("start node 0");
    assert_eq!(broker.node_address(0).expect("an address"), address);
    let mut returned = connect(&broker, 0).await;
    let restarted = partition(&mut returned, &topic).await;
    assert_eq!((restarted.leader_id.0, restarted.leader_epoch), (1, 1));
    assert_eq!(ids(&restarted.isr_nodes), [0, 1, 2]);
    broker
        .move_leader(&topic.name, 0, 0)
        .expect("move the leader back");
    let preferred = partition(&mut returned, &topic).await;
    assert_eq!((preferred.leader_id.0, preferred.leader_epoch), (0, 2));
}

#[tokio::test]
async fn a_partition_without_an_in_sync_replica_has_no_leader() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 1, 2).await;
    broker.stop_node(0).expect("stop node 0");
    broker.stop_node(1).expect("stop node 1");
    let mut witness = connect(&broker, 2).await;
    let orphan = partition(&mut witness, &topic).await;
    assert_eq!(
        orphan.error_code.err(),
        Some(ResponseError::LeaderNotAvailable)
    );
    assert_eq!(orphan.leader_id.0, -1);
    assert_eq!(orphan.leader_epoch, 2, "having none is a change too");
    assert!(orphan.isr_nodes.is_empty(), "{orphan:?}");

    // Node 0 missed what node 1 took alone: unclean leader election is off.
    broker.start_node(0).expect("start node 0");
    let orphan = partition(&mut witness, &topic).await;
    assert_eq!((orphan.leader_id.0, ids(&orphan.isr_nodes)), (-1, vec![]));
    broker.start_node(1).expect("start node 1");
    let led = partition(&mut witness, &topic).await;
    assert_eq!(led.error_code.err(), None);
    assert_eq!((led.leader_id.0, ids(&led.isr_nodes)), (1, vec![0, 1]));
}

#[tokio::test]
async fn a_topic_that_is_created_meanwhile_is_led_by_a_node_that_runs() {
    let broker = start(3).await;
    broker.stop_node(1).expect("stop node 1");
    let topic = create_topic(&broker, 6, 3).await;
    let described = only(
        metadata(&mut connect(&broker, 2).await, &topic)
            .await
            .topics,
    );
    let leaders: BTreeSet<i32> = described.partitions.iter().map(|p| p.leader_id.0).collect();
    assert_eq!(leaders, BTreeSet::from([0, 2]));
    for partition in described.partitions {
        assert_eq!(partition.replica_nodes.len(), 3, "{partition:?}");
        assert!(!ids(&partition.isr_nodes).contains(&1), "{partition:?}");
    }
}

#[tokio::test]
async fn replicas_that_are_assigned_by_hand_need_a_node_that_runs() {
    let broker = start(3).await;
    broker.stop_node(1).expect("stop node 1");
    let mut client = connect(&broker, 0).await;
    let mut create = async |replicas: &[i32]| {
        let assignment = CreatableReplicaAssignment::default()
            .with_broker_ids(replicas.iter().copied().map(BrokerId).collect());
        let topic = creatable(&unique("topic"), -1)
            .with_replication_factor(-1)
            .with_assignments(vec![assignment]);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        only(client.send(7, request).await.topics)
    };
    let refused = create(&[1]).await;
    assert_eq!(
        refused.error_code.err(),
        Some(ResponseError::InvalidReplicaAssignment)
    );
    let created = create(&[1, 2]).await;
    assert_eq!(created.error_code.err(), None);
    let topic = Topic {
        name: created.name.to_string(),
        id: created.topic_id,
    };
    let led = partition(&mut client, &topic).await;
    assert_eq!((led.leader_id.0, led.leader_epoch), (2, 0));
    assert_eq!(ids(&led.replica_nodes), [1, 2]);
    assert_eq!(ids(&led.isr_nodes), [2]);
}

#[tokio::test]
async fn a_broker_of_one_node_restarts_with_its_records() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let mut client = connect(&broker, 0).await;
    let appended = produce(&mut client, &topic, 0, Batch::of(["kept"]).encode()).await;
    assert_eq!(appended.error_code.err(), None);
    broker.stop_node(0).expect("stop the node");
    broker.stop_node(0).expect("a stopped node stays stopped");
    client.is_closed().await;
    broker.start_node(0).expect("start the node");
    broker.start_node(0).expect("a started node stays started");
    let consumer = reader(&broker.bootstrap_servers(), &topic.name, 1);
    assert_eq!(receive(&consumer, 1).await, ["kept"]);
}

#[tokio::test]
async fn a_paused_node_neither_reads_nor_answers_until_it_is_resumed() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let mut client = connect(&broker, 0).await;
    let fetch = fetch_request(&topic, vec![fetch_partition(0, 0)])
        .with_min_bytes(1)
        .with_max_wait_ms(100);
    let parked = client.write(12, &fetch).await;
    broker.pause_node(0).expect("pause");
    let asked = MetadataRequest::default().with_topics(Some(vec![]));
    let waiting = client.write(METADATA, &asked).await;
    let mut newcomer = connect(&broker, 0).await;
    let newly = newcomer.write(METADATA, &asked).await;
    // Longer than the parked fetch waits for records.
    client.no_response_within(Duration::from_millis(300)).await;
    newcomer.no_response_within(Duration::from_millis(1)).await;
    broker.resume_node(0).expect("resume");
    client.read(parked).await;
    assert_eq!(client.read(waiting).await.brokers.len(), 1);
    assert_eq!(newcomer.read(newly).await.brokers.len(), 1);
}

#[tokio::test]
async fn a_paused_node_can_be_stopped_and_starts_awake() {
    let broker = start(2).await;
    let mut client = connect(&broker, 0).await;
    broker.pause_node(0).expect("pause");
    broker.stop_node(0).expect("stop");
    client.is_closed().await;
    broker.start_node(0).expect("start");
    let address = broker.node_address(0).expect("an address");
    probe(&address, DEADLINE).await.expect("the node answers");
}

#[tokio::test]
async fn a_moved_coordinator_sends_waiting_members_away() {
    let broker = start(3).await;
    let group = "group-a";
    let mut client = connect(&broker, 0).await;
    let old = coordinator(&mut client, group).await;
    let new = (old + 1) % 3;
    let mut member = Member::stranger_at(group, connect(&broker, old).await);
    member.introduce().await;
    member.settle().await;
    let mut second = Member::stranger_at(group, connect(&broker, old).await);
    second.introduce().await;
    // Waits for the first member to join again, which it never does.
    let join = second.start_join().await;
    member.is_told_to_rejoin().await;
    broker
        .move_coordinator(group, new)
        .expect("move the coordinator");
    let answer = second.client.read(join).await;
    assert_eq!(answer.error_code.err(), Some(ResponseError::NotCoordinator));
    assert_eq!(
        member.heartbeat().await,
        Some(ResponseError::NotCoordinator)
    );
    assert_eq!(coordinator(&mut client, group).await, new);

    // The group is the same one at its new coordinator.
    member.client = connect(&broker, new).await;
    second.client = connect(&broker, new).await;
    let join = second.start_join().await;
    member.is_told_to_rejoin().await;
    let first = member.join().await;
    assert_eq!(first.error_code.err(), None);
    assert_eq!(first.leader, member.id);
    assert_eq!(second.finish_join(join).await.error_code.err(), None);
    assert_eq!(member.generation, second.generation);
}

/// The node that every node names as the group's coordinator.
async fn coordinator(client: &mut RawClient, group: &str) -> i32 {
    let request =
        FindCoordinatorRequest::default().with_coordinator_keys(vec![group.to_owned().into()]);
    let found = only(client.send(4, request).await.coordinators);
    assert_eq!(found.error_code.err(), None);
    found.node_id.0
}

#[tokio::test]
async fn a_consumer_group_goes_on_while_its_coordinator_moves_and_dies() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 3, 3).await;
    let servers = broker.bootstrap_servers();
    let producer = producer(&servers, "producer", true);
    let group = "group-b";
    let consumer = member(&servers, "consumer", group);
    consumer.subscribe(&[&topic.name]).expect("subscribe");
    let mut client = connect(&broker, 0).await;

    let mut seen = Vec::new();
    for round in 0..3 {
        for partition in 0..3 {
            send_to(
                &producer,
                &topic.name,
                partition,
                &format!("{round}-{partition}"),
            )
            .await;
        }
        seen.extend(receive(&consumer, 3).await);
        consumer
            .commit_consumer_state(CommitMode::Sync)
            .expect("the commit finds the coordinator");
        let old = coordinator(&mut client, group).await;
        match round {
            0 => broker
                .move_coordinator(group, (old + 1) % 3)
                .expect("move it"),
            // Node 0 is asked who coordinates.
            1 => {
                broker.move_coordinator(group, 2).expect("move it");
                broker.stop_node(2).expect("stop it");
            }
            _ => {}
        }
    }
    let expected: BTreeSet<String> = (0..3)
        .flat_map(|round| (0..3).map(move |partition| format!("{round}-{partition}")))
        .collect();
    assert_eq!(seen.len(), 9, "each record came once: {seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<String>>(), expected);
    assert_ne!(coordinator(&mut client, group).await, 2);
}

#[tokio::test]
async fn producers_and_consumers_lose_nothing_while_leaders_move_and_nodes_die() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 3, 3).await;
    let servers = broker.bootstrap_servers();
    let producer = producer(&servers, "producer", true);
    let consumer = reader(&servers, &topic.name, 3);
    const RECORDS: usize = 120;
    let produce = async {
        for number in 0..RECORDS {
            match number {
                20 => broker.move_leader(&topic.name, 0, 1).expect("move"),
                40 => broker.move_leader(&topic.name, 1, 2).expect("move"),
                60 => broker.stop_node(2).expect("stop"),
                90 => broker.start_node(2).expect("start"),
                100 => broker.move_leader(&topic.name, 2, 2).expect("move"),
                _ => {}
            }
            let partition = i32::try_from(number % 3).expect("a small number");
            send_to(&producer, &topic.name, partition, &number.to_string()).await;
        }
    };
    let (seen, ()) = tokio::join!(receive(&consumer, RECORDS), produce);
    let numbers: BTreeSet<usize> = seen
        .iter()
        .map(|value| value.parse().expect("a number"))
        .collect();
    assert_eq!(seen.len(), RECORDS, "a record came twice");
    assert_eq!(numbers, (0..RECORDS).collect());
}

#[tokio::test]
async fn localhost_is_served_on_both_loopback_addresses() {
    let broker = Broker::builder().listen("localhost:0").start().await;
    let broker = broker.expect("localhost is an address");
    let servers = broker.bootstrap_servers();
    let port = servers
        .strip_prefix("127.0.0.1:")
        .expect("a literal address");
    let both = [format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    for address in &both {
        if address.starts_with('[') && !has_ipv6_loopback() {
            continue;
        }
        probe(address, DEADLINE).await.expect("it answers");
    }
    // Both come back on the port.
    broker.stop_node(0).expect("stop");
    for address in &both {
        assert!(
            TcpStream::connect(address).is_err(),
            "{address} still listens"
        );
    }
    broker.start_node(0).expect("start");
    probe(&both[0], DEADLINE).await.expect("it answers again");
}

#[tokio::test]
async fn a_fixed_port_of_the_loopback_address_is_served_on_ipv6_too_but_need_not_be() {
    if !has_ipv6_loopback() {
        return;
    }
    // Taken on ::1 by somebody else, free on 127.0.0.1: the broker starts all the same.
    let other = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
    let port = other.local_addr().expect("its address").port();
    let listen = format!("127.0.0.1:{port}");
    let broker = Broker::builder().listen(&listen).start().await;
    drop(broker.expect("::1 is a courtesy"));
    drop(other);
    let broker = Broker::builder().listen(&listen).start().await;
    let broker = broker.expect("the port is free again");
    assert_eq!(broker.bootstrap_servers(), listen);
    probe(&format!("[::1]:{port}"), DEADLINE)
        .await
        .expect("::1 is served");
}

fn has_ipv6_loopback() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}
