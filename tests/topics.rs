//! Topics by design, on a broker: an embedded one, or the cluster that `KAFKA_BOOTSTRAP_SERVERS` names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Kafka;
use embedded_broker::Broker;
use kafka_event_streaming::Error;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::topics::{Tier, TopicDesign, ensure_topic, ensure_topics, unique_name};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use tokio::task::JoinSet;

/// How many services start at once.
const SERVICES: usize = 10;

/// What the broker says of a topic's settings.
async fn settings(cluster: &Cluster, topic: &str) -> BTreeMap<String, String> {
    let admin: AdminClient<DefaultClientContext> =
        cluster.client_config().unwrap().create().unwrap();
    let described = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &AdminOptions::new())
        .await
        .unwrap();
    let resource = described.into_iter().next().unwrap().unwrap();
    resource
        .entries
        .into_iter()
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect()
}

/// How many copies each partition of a topic has.
fn replicas(cluster: &Cluster, topic: &str) -> Vec<usize> {
    let admin: AdminClient<DefaultClientContext> =
        cluster.client_config().unwrap().create().unwrap();
    let metadata = admin
        .inner()
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .unwrap();
    let partitions = metadata.topics()[0].partitions();
    partitions
        .iter()
        .map(|partition| partition.replicas().len())
        .collect()
}

fn designs_of(service: &str) -> Vec<TopicDesign> {
    let orders = TopicDesign::new(format!("{service}.order"), Tier::Standard);
    [orders]
        .into_iter()
        .chain(TopicDesign::of_service(service))
        .collect()
}

/// S2-12: the broker has for each tier what the design says.
#[tokio::test]
async fn topics_are_what_their_tier_says() {
    let kafka = Kafka::start().await;
    let service = unique_name("service");
    let topics = ensure_topics(kafka.cluster(), &designs_of(&service))
        .await
        .unwrap();
    let partitions: Vec<usize> = topics.iter().map(|topic| topic.partitions).collect();
    assert_eq!(partitions, [3, 1, 1]);
    for (topic, retention) in topics.iter().zip(["604800000", "2592000000", "2592000000"]) {
        let settings = settings(kafka.cluster(), &topic.name).await;
        assert_eq!(settings["retention.ms"], retention, "{}", topic.name);
        assert!(topic.created, "{topic:?}");
    }
}

/// S2-12, X7: with one broker there is one copy, with three there are three, and either can be written to.
#[tokio::test]
async fn replication_fits_the_cluster() {
    for (nodes, copies, min_insync_replicas) in [(1, 1, "1"), (2, 2, "1"), (3, 3, "2")] {
        let broker = Broker::builder()
            .listen("127.0.0.1:0")
            .nodes(nodes)
            .lenient_replication(false)
            .start()
            .await
            .unwrap();
        let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
        let topic = ensure_topic(&cluster, "orders", 2).await.unwrap();
        assert_eq!(
            replicas(&cluster, &topic.name),
            [copies; 2],
            "{nodes} nodes"
        );
        let settings = settings(&cluster, &topic.name).await;
        assert_eq!(
            settings["min.insync.replicas"], min_insync_replicas,
            "{nodes} nodes"
        );
        let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable()).unwrap();
        producer
            .send(&topic.name, b"key", b"payload")
            .await
            .unwrap();
    }
}

/// S2-13: ten services that start at once all succeed, each topic is created once, and calling again changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn ten_services_start_at_once() {
    let kafka = Kafka::start().await;
    let service = unique_name("service");
    let mut starts = JoinSet::new();
    for _ in 0..SERVICES {
        let (cluster, designs) = (kafka.cluster().clone(), designs_of(&service));
        starts.spawn(async move { ensure_topics(&cluster, &designs).await.unwrap() });
    }
    let started = starts.join_all().await;
    for index in 0..3 {
        let creators = started.iter().filter(|topics| topics[index].created);
        assert_eq!(creators.count(), 1, "of {:?}", started[0][index].name);
    }
    for topics in &started {
        let partitions: Vec<usize> = topics.iter().map(|topic| topic.partitions).collect();
        assert_eq!(partitions, [3, 1, 1]);
    }
    let again = ensure_topics(kafka.cluster(), &designs_of(&service))
        .await
        .unwrap();
    assert!(again.iter().all(|topic| !topic.created), "{again:?}");
}

/// S2-13: a topic that exists is left as it is, whatever the design of a later service says.
#[tokio::test]
async fn a_later_design_changes_nothing() {
    let kafka = Kafka::start().await;
    let name = unique_name("orders");
    let first = TopicDesign::new(&name, Tier::Standard).with_partitions(2);
    ensure_topics(kafka.cluster(), &[first]).await.unwrap();
    let later = TopicDesign::new(&name, Tier::DeadLetter).with_partitions(5);
    let topics = ensure_topics(kafka.cluster(), &[later]).await.unwrap();
    assert_eq!((topics[0].partitions, topics[0].created), (2, false));
    let settings = settings(kafka.cluster(), &name).await;
    assert_eq!(settings["retention.ms"], "604800000");
}

/// S2-13: what a broker refuses is named, and what came before it is there.
#[tokio::test]
async fn a_refused_topic_is_named() {
    let kafka = Kafka::start().await;
    let good = TopicDesign::new(unique_name("orders"), Tier::Standard);
    let bad = TopicDesign::new("not allowed!", Tier::Standard);
    let error = ensure_topics(kafka.cluster(), &[good.clone(), bad])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::TopicNotCreated { topic, .. } if topic == "not allowed!"),
        "{error:?}"
    );
    let topics = ensure_topics(kafka.cluster(), &[good]).await.unwrap();
    assert!(!topics[0].created);
    assert_eq!(ensure_topics(kafka.cluster(), &[]).await.unwrap(), []);
}

/// X15: topics first, `earliest`, and a group that starts after the first record still reads it.
#[tokio::test]
async fn a_new_group_reads_what_was_written_before_it_started() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    producer.send(&topic, b"key", b"first").await.unwrap();
    let settings = ConsumerSettings::reliable(&unique_name("group"));
    let consumer = RecordConsumer::new(kafka.cluster(), &settings, &[&topic]).unwrap();
    let patience = Duration::from_secs(20);
    let polled = consumer.next(patience).await.unwrap();
    assert!(matches!(polled, Polled::Record(_)), "{polled:?}");
    consumer.close().await.unwrap();
}
