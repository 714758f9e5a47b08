//! S4-30: why is nothing consumed, asked in every state that a group can be in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod common;

use std::time::{Duration, Instant};

use common::Kafka;
use kafka_event_streaming::config::{ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::diagnosis::{Check, Finding, why_nothing};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::topics::unique_name;

const PATIENCE: Duration = Duration::from_secs(20);

/// What one check found.
fn found(findings: &[Finding], check: Check) -> &Finding {
    findings
        .iter()
        .find(|finding| finding.check == check)
        .unwrap_or_else(|| panic!("no check of the {check} in {findings:#?}"))
}

fn says(finding: &Finding, is_cause: bool, words: &str) {
    assert!(
        finding.is_cause == is_cause && finding.text.contains(words),
        "expected {words:?} (a cause: {is_cause}), found {finding:?}"
    );
}

async fn send(kafka: &Kafka, topic: &str) {
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    producer.send(topic, b"key", b"record").await.unwrap();
}

/// A member of `group` that has read what `topic` holds and stands at its end.
async fn reader(kafka: &Kafka, group: &str, topic: &str, commit: bool) -> RecordConsumer {
    let settings = ConsumerSettings::reliable(group);
    let consumer = RecordConsumer::new(kafka.cluster(), &settings, &[topic]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match consumer.next(Duration::from_millis(200)).await {
            Ok(Polled::Record(record)) if commit => consumer.commit(&record).await.unwrap(),
            Ok(Polled::EndOfPartition(_)) => return consumer,
            _ => {}
        }
        assert!(
            Instant::now() < deadline,
            "{topic} was not read to its end within {PATIENCE:?}"
        );
    }
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named_with_those_that_are() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    let wrong = format!("{topic}-typo");
    let findings = why_nothing(kafka.cluster(), &wrong, "group").await.unwrap();
    says(found(&findings, Check::Topic), true, &topic);
    // Asking must not create it.
    let again = why_nothing(kafka.cluster(), &wrong, "group").await.unwrap();
    says(found(&again, Check::Topic), true, "there is no topic");
}

#[tokio::test]
async fn a_topic_without_records_is_the_cause() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(3).await;
    let findings = why_nothing(kafka.cluster(), &topic, &unique_name("group"))
        .await
        .unwrap();
    says(found(&findings, Check::Topic), true, "holds no record");
    says(
        found(&findings, Check::Subscription),
        true,
        "no consumer runs",
    );
}

/// S4-26: without a committed offset the reset policy decides, with one it does not matter.
#[tokio::test]
async fn the_reset_policy_matters_until_an_offset_is_committed() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    let group = unique_name("group");
    send(&kafka, &topic).await;

    let fresh = why_nothing(kafka.cluster(), &topic, &group).await.unwrap();
    says(found(&fresh, Check::Group), false, "committed nothing");
    says(found(&fresh, Check::ResetPolicy), true, "set earliest");

    let consumer = reader(&kafka, &group, &topic, true).await;
    let done = why_nothing(kafka.cluster(), &topic, &group).await.unwrap();
    says(
        found(&done, Check::Group),
        true,
        "read and committed everything",
    );
    says(found(&done, Check::ResetPolicy), false, "does not matter");
    says(
        found(&done, Check::Subscription),
        false,
        "1 of 1 members hold",
    );
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_member_that_subscribed_to_another_topic_is_seen() {
    let kafka = Kafka::start().await;
    let (topic, other) = (kafka.topic(1).await, kafka.topic(1).await);
    let group = unique_name("group");
    send(&kafka, &topic).await;
    let consumer = reader(&kafka, &group, &other, false).await;
    let findings = why_nothing(kafka.cluster(), &topic, &group).await.unwrap();
    says(found(&findings, Check::Subscription), true, "typing error");
    consumer.close().await.unwrap();
}
