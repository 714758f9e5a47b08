//! ConsumerGroupHeartbeat requests that make no sense, and the parts that may be left out.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use kafka_protocol::protocol::StrBytes;

use crate::support::broker::unique;
use crate::support::consumer_group::{Consumer, of, told, topic};

/// A member says all about itself when it joins, and is told its part, its epoch and how often to report.
#[tokio::test]
async fn a_member_joins() {
    let topic = topic(3).await;
    let mut consumer = Consumer::new(&unique("group"), &[&topic]).await;
    let answer = consumer.send(consumer.joining()).await;
    assert_eq!(answer.error_code.err(), None, "{:?}", answer.error_message);
    assert_eq!(answer.member_id.as_ref(), Some(&consumer.id));
    assert_eq!(answer.heartbeat_interval_ms, 200);
    assert_eq!(told(&answer), Some(of(&topic, 0..3)));
    assert_eq!(answer.member_epoch, 2);
}

/// "v1 = client-generated member id": with version 0 the coordinator gives one.
#[tokio::test]
async fn version_0_gives_member_ids() {
    let topic = topic(1).await;
    let mut consumer = Consumer::new(&unique("group"), &[&topic]).await;
    consumer.id = StrBytes::new();
    let request = consumer.joining();
    let answer = consumer.client.send(0, request.clone()).await;
    assert_eq!(answer.error_code.err(), None, "{:?}", answer.error_message);
    assert_ne!(answer.member_id, Some(StrBytes::new()));
    assert_eq!(
        consumer.refused(request).await,
        ResponseError::InvalidRequest
    );
}

/// Each of these requests contradicts itself, and says so in words.
#[tokio::test]
async fn senseless_requests_are_refused() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let joining = consumer.joining();
    let staying = consumer.keep_alive();
    let cases: Vec<(ConsumerGroupHeartbeatRequest, &str)> = vec![
        (
            joining.clone().with_group_id(StrBytes::new().into()),
            "GroupId can't be empty.",
        ),
        (
            joining.clone().with_member_id(StrBytes::new()),
            "MemberId can't be empty.",
        ),
        (
            joining.clone().with_instance_id(Some(StrBytes::new())),
            "InstanceId can't be empty.",
        ),
        (
            joining.clone().with_rack_id(Some(StrBytes::new())),
            "RackId can't be empty.",
        ),
        (
            joining.clone().with_rebalance_timeout_ms(-1),
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            joining.clone().with_topic_partitions(None),
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            consumer.full(&of(&topic, 0..1)).with_member_epoch(0),
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            joining.clone().with_subscribed_topic_names(None),
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (
            staying.clone().with_member_epoch(-2),
            "InstanceId can't be null.",
        ),
        (
            staying.clone().with_member_epoch(-3),
            "MemberEpoch is invalid.",
        ),
    ];
    for (request, message) in cases {
        let answer = consumer.send(request).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::InvalidRequest),
            "{message}"
        );
        assert_eq!(answer.error_message.as_deref(), Some(message));
        assert_eq!(
            (answer.member_id, answer.member_epoch, answer.assignment),
            (None, 0, None)
        );
    }
    // None of them did any harm.
    assert_eq!(consumer.beat().await, None);
}

#[tokio::test]
async fn an_assignor_that_is_not_there_is_refused() {
    let topic = topic(1).await;
    let mut consumer = Consumer::new(&unique("group"), &[&topic]).await;
    consumer.assignor = Some("sticky");
    let answer = consumer.send(consumer.joining()).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::UnsupportedAssignor)
    );
    let message = "ServerAssignor sticky is not supported. Supported assignors: uniform, range.";
    assert_eq!(answer.error_message.as_deref(), Some(message));
}

/// Only one that joins makes a group.
#[tokio::test]
async fn only_who_joins_makes_a_group() {
    let topic = topic(1).await;
    let mut consumer = Consumer::new(&unique("group"), &[&topic]).await;
    for epoch in [1, -1] {
        let request = consumer.full(&of(&topic, [])).with_member_epoch(epoch);
        assert_eq!(
            consumer.refused(request).await,
            ResponseError::GroupIdNotFound,
            "{epoch}"
        );
    }
    consumer.join().await;
    let request = consumer.keep_alive().with_member_id("stranger".into());
    assert_eq!(
        consumer.refused(request).await,
        ResponseError::UnknownMemberId
    );
}

/// A member may subscribe to nothing, and to topics that do not exist yet.
#[tokio::test]
async fn a_member_may_have_nothing_to_read() {
    let mut idle = Consumer::alone(&unique("group"), &[]).await;
    assert!(idle.assigned.is_empty());
    assert_eq!(idle.epoch, 1, "there was nothing to assign");
    let mut early = Consumer::new(&unique("group"), &[]).await;
    early.names = Some(vec![unique("not-there-yet")]);
    assert!(early.join().await.is_empty());
    assert_eq!((early.epoch, early.beat().await), (2, None));
    assert_eq!(idle.beat().await, None);
}
