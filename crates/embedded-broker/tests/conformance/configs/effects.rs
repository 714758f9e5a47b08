//! What a topic's configuration does: to its creation, to batches that are produced, to records that are there.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use kafka_protocol::messages::produce_response::BatchIndexAndErrorMessage;

use super::because;
use crate::support::broker::unique;
use crate::support::configs::{ON_TOPIC, SET, TOPIC, ask, describe, refusal, resource, set};
use crate::support::raw::RawClient;
use crate::support::records::{Batch, now};
use crate::support::topic::{EARLIEST, Topic, append, creatable, list_offset, only, produce};
use crate::support::wait::{DEADLINE, eventually};

/// "Configs echoed v5+": CreateTopics tells what DescribeConfigs will, and creates no topic of too many partitions.
#[tokio::test]
async fn a_new_topics_configurations_are_echoed() {
    let mut client = RawClient::connect().await;
    let name = unique("echo");
    let config = CreatableTopicConfig::default()
        .with_name("retention.ms".into())
        .with_value(Some(" 5 ".into()));
    let topic = creatable(&name, 1).with_configs(vec![config]);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let created = only(client.send(5, request).await.topics);
    assert_eq!(refusal(created.error_code, created.error_message), None);
    let mut echoed = created.configs.expect("configurations");
    echoed.sort_by(|a, b| a.name.cmp(&b.name));
    eventually(DEADLINE, "the new topic", async || {
        let result = ask(&mut client, resource(TOPIC, &name, None)).await;
        (result.error_code == 0).then_some(())
    })
    .await;
    let described = describe(&mut client, TOPIC, &name).await;
    assert_eq!(echoed.len(), described.len());
    for (echoed, described) in echoed.iter().zip(&described) {
        assert_eq!(echoed.name, described.name);
        let key = &*echoed.name;
        // What the request set is echoed as it wrote it, and described as it was understood.
        if key == "retention.ms" {
            assert_eq!(
                (echoed.value.as_deref(), echoed.config_source),
                (Some(" 5 "), ON_TOPIC)
            );
            assert_eq!(described.value.as_deref(), Some("5"));
        // Another case changes what the broker has for this one.
        } else if key != "flush.messages" {
            assert_eq!(
                (&echoed.value, echoed.config_source),
                (&described.value, described.config_source),
                "{key}"
            );
        }
    }

    let many = vec![
        creatable(&unique("many"), 5_001),
        creatable(&unique("more"), 5_001),
    ];
    let request = CreateTopicsRequest::default()
        .with_topics(many)
        .with_timeout_ms(10_000);
    for refused in client.send(7, request).await.topics {
        assert_eq!(
            refusal(refused.error_code, refused.error_message),
            because(
                ResponseError::PolicyViolation,
                "Excessively large number of partitions per request."
            )
        );
    }
}

/// `max.message.bytes` counts the whole batch with its prefix, and a change holds at once for the next one.
#[tokio::test]
async fn a_larger_message_is_taken_after_the_change() {
    let topic = Topic::create_with(1, &[("max.message.bytes", "100")]).await;
    let mut client = RawClient::connect().await;
    let batch = |size| {
        let batch = Batch::of_size(size).encode();
        (batch.len(), batch)
    };
    let (length, fits) = batch(32);
    assert_eq!(length, 100);
    assert_eq!(
        produce(&mut client, &topic, 0, fits).await.error_code.err(),
        None
    );
    let (length, too_large) = batch(33);
    assert_eq!(length, 101);
    let refused = produce(&mut client, &topic, 0, too_large.clone()).await;
    assert_eq!(
        (refused.error_code.err(), refused.base_offset),
        (Some(ResponseError::MessageTooLarge), -1)
    );
    let change = [("max.message.bytes", SET, Some("101"))];
    set(&mut client, TOPIC, &topic.name, &change).await;
    eventually(DEADLINE, "a larger limit", async || {
        let answer = produce(&mut client, &topic, 0, too_large.clone()).await;
        (answer.error_code == 0).then_some(())
    })
    .await;
}

/// A shorter retention deletes what is there already.
#[tokio::test]
async fn a_shorter_retention_deletes_old_records() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["one", "two"])).await;
    set(
        &mut client,
        TOPIC,
        &topic.name,
        &[("retention.ms", SET, Some("1"))],
    )
    .await;
    eventually(DEADLINE, "the deletion of expired records", async || {
        let start = list_offset(&mut client, &topic, 0, EARLIEST).await;
        (start.offset == 2).then_some(())
    })
    .await;
}

/// A topic whose `min.insync.replicas` exceeds its replicas takes batches all the same while all of them are in sync
/// (KIP-966).
#[tokio::test]
async fn all_replicas_are_enough() {
    let topic = Topic::create_with(1, &[("min.insync.replicas", "2")]).await;
    let mut client = RawClient::connect().await;
    assert_eq!(
        append(&mut client, &topic, 0, &Batch::of(["value"])).await,
        0
    );
}

/// The indexes of the records at fault, and Apache Kafka's words about the first three of them; a record without a key is
/// not looked at further, and one without a time has none to be wrong.
#[tokio::test]
async fn records_at_fault_are_named() {
    let bounds = [
        ("message.timestamp.before.max.ms", "1000"),
        ("message.timestamp.after.max.ms", "1000"),
    ];
    let mut client = RawClient::connect().await;
    let topic = Topic::create_with(1, &bounds).await;
    let now = now();
    let times = Batch::at(&[now, now - 60_000, now + 60_000, -1]);
    let answer = produce(&mut client, &topic, 0, times.encode()).await;
    assert_eq!(
        refusal(answer.error_code, answer.error_message),
        because(
            ResponseError::InvalidTimestamp,
            "One or more records have been rejected due to invalid timestamp"
        )
    );
    let indexes = |errors: &[BatchIndexAndErrorMessage]| {
        errors
            .iter()
            .map(|error| error.batch_index)
            .collect::<Vec<_>>()
    };
    assert_eq!(indexes(&answer.record_errors), [1, 2]);
    assert_eq!((answer.base_offset, answer.log_start_offset), (-1, 0));

    let topic = Topic::create_with(1, &[("cleanup.policy", "compact")]).await;
    let future = Batch::at(&[now, now + 7_200_000, now, now]);
    let answer = produce(&mut client, &topic, 0, future.encode()).await;
    let message = format!(
        "Compacted topic cannot accept message without key in topic partition {}-0",
        topic.name
    );
    let record = |index| format!("RecordError(batchIndex={index}, message='{message}')");
    let summary = format!(
        "One or more records have been rejected due to 4 record errors in total, and only showing the first three errors \
         at most: [{}, {}, {}]",
        record(0),
        record(1),
        record(2)
    );
    assert_eq!(
        refusal(answer.error_code, answer.error_message),
        because(ResponseError::InvalidRecord, &summary)
    );
    assert_eq!(indexes(&answer.record_errors), [0, 1, 2, 3]);
    assert_eq!(
        answer.record_errors[3].batch_index_error_message.as_deref(),
        Some(&*message)
    );
}
