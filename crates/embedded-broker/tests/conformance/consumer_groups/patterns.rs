//! Subscriptions by regular expression: the coordinator matches (KIP-848, RE2 syntax).

use std::time::Duration;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};

use crate::support::broker::unique;
use crate::support::consumer_group::{Consumer, Partitions, create_topic, of, settle, topic};
use crate::support::wait::{DEADLINE, eventually};

/// The topics that match are known with the heartbeat after the one that brought the expression.
#[tokio::test]
async fn a_pattern_matches_whole_names() {
    let topic = topic(2).await;
    let mut consumer =
        Consumer::matching(&unique("group"), &format!("({}|nothing)", topic.name)).await;
    assert_eq!(consumer.join().await, Partitions::new());
    assert_eq!(consumer.epoch, 1);
    eventually(DEADLINE, "the matching topic", async || {
        (consumer.beat().await? == of(&topic, 0..2)).then_some(())
    })
    .await;
    assert_eq!(consumer.epoch, 2);

    let prefix = &topic.name[..topic.name.len() - 1];
    let mut other = Consumer::matching(&unique("group"), prefix).await;
    other.join().await;
    let mut later = Consumer::matching(&unique("group"), &topic.name).await;
    later.join().await;
    eventually(DEADLINE, "the whole name to match", async || {
        later.beat().await
    })
    .await;
    assert_eq!(other.beat().await, None, "a prefix is no match");
}

/// Bug 3 of §1.4: compiled, the empty expression would match every topic.
#[tokio::test]
async fn an_empty_pattern_is_none() {
    let topic = topic(1).await;
    let group = unique("group");
    let mut nothing = Consumer::matching(&group, "").await;
    assert_eq!(nothing.join().await, Partitions::new());
    let mut named = Consumer::new(&group, &[&topic]).await;
    named.pattern = Some(String::new());
    named.join().await;
    settle(&mut [&mut nothing, &mut named]).await;
    assert_eq!(nothing.assigned, Partitions::new());
    assert_eq!(named.assigned, of(&topic, 0..1));
}

#[tokio::test]
async fn a_pattern_that_cannot_be_compiled_is_refused() {
    let topic = topic(1).await;
    let group = unique("group");
    for pattern in ["[", "a)(b", "(?=ahead)", r"\1"] {
        let mut consumer = Consumer::matching(&group, pattern).await;
        let answer = consumer.send(consumer.joining()).await;
        let error = answer.error_code.err();
        assert_eq!(
            error,
            Some(ResponseError::InvalidRegularExpression),
            "{pattern}"
        );
        let message = answer.error_message.expect("a message");
        let start = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: ");
        assert!(message.starts_with(&start), "{message}");
        // There is no group yet that it could have joined.
        let request = consumer.keep_alive().with_member_epoch(1);
        assert_eq!(
            consumer.refused(request).await,
            ResponseError::GroupIdNotFound
        );
    }
    // A member that is there already stays as it is.
    let mut consumer = Consumer::alone(&group, &[&topic]).await;
    let request = consumer
        .keep_alive()
        .with_subscribed_topic_regex(Some("[".into()));
    assert_eq!(
        consumer.refused(request).await,
        ResponseError::InvalidRegularExpression
    );
    assert_eq!((consumer.beat().await, consumer.epoch), (None, 2));
}

/// Apache Kafka matches at most once in 10 s.
#[tokio::test]
async fn a_topic_that_is_created_later_is_found() {
    let prefix = unique("family");
    let first = topic(1).await;
    let pattern = format!("{}|{prefix}.*", first.name);
    let mut consumer = Consumer::matching(&unique("group"), &pattern).await;
    consumer.join().await;
    settle(&mut [&mut consumer]).await;
    let member = create_topic(&mut consumer.client, &format!("{prefix}-member"), 1).await;
    let both = &of(&first, 0..1) | &of(&member, 0..1);
    eventually(
        DEADLINE + Duration::from_secs(10),
        "the new topic",
        async || {
            consumer.obey().await;
            (consumer.assigned == both).then_some(())
        },
    )
    .await;
}

/// A changed pattern takes away at once what the old one matched; no pattern takes away all.
#[tokio::test]
async fn a_member_changes_its_pattern() {
    let (old, new) = (topic(1).await, topic(1).await);
    let mut consumer = Consumer::matching(&unique("group"), &old.name).await;
    consumer.join().await;
    eventually(DEADLINE, "the first topic", async || consumer.beat().await).await;
    assert_eq!(consumer.assigned, of(&old, 0..1));

    let pattern = |pattern: &str| Some(pattern.to_owned().into());
    let request = consumer
        .owning(&consumer.assigned)
        .with_subscribed_topic_regex(pattern(&new.name));
    assert_eq!(consumer.ok(request).await, Some(Partitions::new()));
    eventually(DEADLINE, "the second topic", async || consumer.obey().await).await;
    assert_eq!(consumer.assigned, of(&new, 0..1));

    let epoch = consumer.epoch;
    let request = consumer
        .owning(&consumer.assigned)
        .with_subscribed_topic_regex(pattern(""));
    assert_eq!(consumer.ok(request).await, Some(Partitions::new()));
    consumer.obey().await;
    assert_eq!(consumer.epoch, epoch + 1);
}
