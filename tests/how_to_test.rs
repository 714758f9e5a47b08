//! Three tests to start from: chapter 11 of the book shows them. Each brings its own broker on a free port, waits with a
//! deadline instead of sleeping, and judges by what the broker saw.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker};
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::topics;
use rdkafka::Message;

/// Far longer than any of this takes. Reached only when something is broken.
const DEADLINE: Duration = Duration::from_secs(20);

async fn start() -> (Broker, Cluster) {
    let broker = Broker::builder()
        .listen("127.0.0.1:0")
        .start()
        .await
        .unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    (broker, cluster)
}

// ANCHOR: look
/// Looks straight into the log: no consumer is needed to see what a producer did.
#[tokio::test]
async fn an_order_is_written_under_its_customer() {
    let (broker, cluster) = start().await;
    let topic = topics::ensure_topic(&cluster, "orders", 1).await.unwrap();
    let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable()).unwrap();

    let delivery = producer
        .send(&topic.name, b"customer-1", b"2 coffees")
        .await
        .unwrap();

    let records = broker.records("orders", delivery.partition).unwrap();
    assert_eq!(records[0].key_str(), Some("customer-1"));
    assert_eq!(records[0].value_str(), Some("2 coffees"));
}
// ANCHOR_END: look

// ANCHOR: fault
/// Breaks the connection after the record was written and before the answer is sent: the producer has to try again, and
/// the broker has to notice that it has this one.
#[tokio::test]
async fn a_lost_answer_leaves_one_copy() {
    let (broker, cluster) = start().await;
    let topic = topics::ensure_topic(&cluster, "orders", 1).await.unwrap();
    let lost = broker.faults().on(ApiKey::Produce).once().apply_then_drop();

    let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable()).unwrap();
    producer
        .send(&topic.name, b"customer-1", b"2 coffees")
        .await
        .unwrap();

    assert_eq!(lost.hits(), 1, "the fault was not met: this proves nothing");
    assert_eq!(broker.requests().count(ApiKey::Produce), 2);
    assert_eq!(broker.records("orders", 0).unwrap().len(), 1);
}
// ANCHOR_END: fault

// ANCHOR: wait
/// Waits for the effect, and says what was missing if it does not come.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_was_processed_is_committed() {
    let (broker, cluster) = start().await;
    let topic = topics::ensure_topic(&cluster, "orders", 1).await.unwrap();
    let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable()).unwrap();
    producer.send(&topic.name, b"k", b"v").await.unwrap();

    let settings = ConsumerSettings::reliable("billing");
    let consumer = RecordConsumer::new(&cluster, &settings, &[&topic.name]).unwrap();
    let record = loop {
        if let Polled::Record(record) = consumer.next(DEADLINE).await.unwrap() {
            break record;
        }
    };
    assert_eq!(record.payload(), Some(&b"v"[..]));
    consumer.commit(&record).await.unwrap();
    consumer.close().await.unwrap();

    let group = |name: &str| {
        let groups = broker.snapshot().groups;
        groups.into_iter().find(|group| group.id == name)
    };
    until("the member has left", || {
        group("billing").is_some_and(|group| group.members.is_empty())
    })
    .await;
    assert_eq!(group("billing").unwrap().offsets[0].committed, 1);
}
// ANCHOR_END: wait
