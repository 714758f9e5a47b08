//! How members come to their partitions: revocation before assignment, epoch by epoch.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{CreatePartitionsRequest, DeleteTopicsRequest};

use crate::support::broker::unique;
use crate::support::consumer_group::{
    Consumer, Partitions, create_topic, describe, of, settle, sharing, sharing_of, told, topic,
};
use crate::support::topic::only;
use crate::support::wait::{DEADLINE, eventually};

/// "Reconcile per member: revoke first, then advance epoch, hand out only partitions nobody still owns."
#[tokio::test]
async fn a_second_member_waits_until_the_first_has_given_up() {
    let topic = topic(4).await;
    let group = unique("group");
    let mut first = Consumer::alone(&group, &[&topic]).await;
    let all = first.assigned.clone();
    let mut second = Consumer::new(&group, &[&topic]).await;
    assert_eq!(second.join().await, Partitions::new());
    assert_eq!((first.epoch, second.epoch), (2, 3));

    let kept = first.beat().await.expect("something to give up");
    assert_eq!((first.epoch, kept.len()), (2, 2));
    assert!(kept.is_subset(&all));
    // As long as the first does not say that it has, nothing moves.
    assert_eq!(first.beat().await, None);
    assert_eq!(first.ok(first.owning(&all)).await, None);
    assert_eq!((second.beat().await, first.epoch), (None, 2));

    assert_eq!(first.obey().await, None, "it has what it shall have");
    assert_eq!(first.epoch, 3);
    assert_eq!(second.beat().await, Some(&all - &kept));
    assert_eq!(second.epoch, 3);
}

/// "Send the assignment only when changed or on a full request."
#[tokio::test]
async fn only_who_asks_is_told_again() {
    let topic = topic(2).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let all = of(&topic, 0..2);
    assert_eq!(consumer.beat().await, None);
    assert_eq!(consumer.obey().await, None);
    assert_eq!(consumer.ok(consumer.full(&all)).await, Some(all.clone()));
    let without_timeout = consumer.full(&all).with_rebalance_timeout_ms(-1);
    assert_eq!(
        consumer.ok(without_timeout).await,
        None,
        "not a full request"
    );
    // Joining again in epoch 0 is how a member starts over; it is still the same member.
    assert_eq!(consumer.join().await, all);
    assert_eq!(consumer.epoch, 2);
}

#[tokio::test]
async fn who_leaves_frees_its_partitions_at_once() {
    let topic = topic(4).await;
    let (mut first, mut second) = sharing(&unique("group"), &topic).await;
    let answer = second.leave(-1).await;
    assert_eq!(answer.error_code.err(), None);
    assert_eq!(
        (answer.member_id, answer.member_epoch),
        (Some(second.id.clone()), -1)
    );
    assert_eq!((answer.heartbeat_interval_ms, answer.assignment), (0, None));
    assert_eq!(first.beat().await, Some(of(&topic, 0..4)));
    assert_eq!(
        second.leave(-1).await.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
}

/// A member that changes its subscription gives up the old topics before it moves on.
#[tokio::test]
async fn a_member_changes_its_subscription() {
    let (old, new) = (topic(1).await, topic(1).await);
    let mut consumer = Consumer::alone(&unique("group"), &[&old]).await;
    let names = vec![new.topic_name()];
    let request = consumer
        .owning(&of(&old, 0..1))
        .with_subscribed_topic_names(Some(names));
    assert_eq!(consumer.ok(request).await, Some(Partitions::new()));
    assert_eq!(consumer.epoch, 2, "until it has given up");
    assert_eq!(consumer.obey().await, Some(of(&new, 0..1)));
    assert_eq!(consumer.epoch, 3);
}

/// "Recompute on topic create/delete": subscribed names come to life, and to an end.
#[tokio::test]
async fn topics_come_and_go() {
    let topic = topic(1).await;
    let mut consumer = Consumer::new(&unique("group"), &[&topic]).await;
    let later = unique("later");
    consumer.names.as_mut().expect("names").push(later.clone());
    assert_eq!(consumer.join().await, of(&topic, 0..1));

    let later = create_topic(&mut consumer.client, &later, 2).await;
    let both = &of(&topic, 0..1) | &of(&later, 0..2);
    eventually(DEADLINE, "the new topic's partitions", async || {
        (consumer.obey().await.as_ref() == Some(&both)).then_some(())
    })
    .await;
    assert_eq!(consumer.epoch, 3);

    let name = DeleteTopicState::default().with_name(Some(topic.topic_name()));
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![name])
        .with_timeout_ms(10_000);
    let deleted = only(consumer.client.send(6, request).await.responses);
    assert_eq!(deleted.error_code.err(), None);
    eventually(
        DEADLINE,
        "the deleted topic's partition to be taken away",
        async || (consumer.obey().await == Some(of(&later, 0..2))).then_some(()),
    )
    .await;
    settle(&mut [&mut consumer]).await;
    assert_eq!(consumer.epoch, 4);
}

/// "Recompute on partition add."
#[tokio::test]
async fn topics_grow() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let grown = CreatePartitionsTopic::default()
        .with_name(topic.topic_name())
        .with_count(3)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![grown])
        .with_timeout_ms(10_000);
    let result = only(consumer.client.send(3, request).await.results);
    assert_eq!(result.error_code.err(), None);
    eventually(DEADLINE, "the new partitions", async || {
        (consumer.beat().await == Some(of(&topic, 0..3))).then_some(())
    })
    .await;
    assert_eq!(consumer.epoch, 3);
}

/// Each change raises the group's epoch by one; members follow in their own time, and never back.
#[tokio::test]
async fn epochs_count_changes() {
    let topic = topic(6).await;
    let (mut first, mut second) = sharing(&unique("group"), &topic).await;
    assert_eq!((first.epoch, second.epoch), (3, 3));
    let mut third = Consumer::new(&first.group, &[&topic]).await;
    third.join().await;
    assert_eq!(third.epoch, 4);
    settle(&mut [&mut first, &mut second, &mut third]).await;
    assert_eq!((first.epoch, second.epoch, third.epoch), (4, 4, 4));
    let described = describe(&mut third.client, &first.group).await;
    assert_eq!((described.group_epoch, described.assignment_epoch), (4, 4));

    third.leave(-1).await;
    first.leave(-1).await;
    let described = describe(&mut third.client, &first.group).await;
    assert_eq!((described.group_epoch, described.assignment_epoch), (6, 4));
    second.beat().await;
    assert_eq!(second.epoch, 6);
}

/// A static member that leaves for a while (-2) comes back with a new member id to the same partitions; nobody else
/// notices.
#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions() {
    let topic = topic(4).await;
    let group = unique("group");
    let first = Consumer::instance(&group, &[&topic], "first").await;
    let second = Consumer::new(&group, &[&topic]).await;
    let (mut first, mut second) = sharing_of(first, second).await;
    let its_own = first.assigned.clone();

    let answer = first.leave(-2).await;
    assert_eq!((answer.error_code.err(), answer.member_epoch), (None, -2));
    assert_eq!(second.beat().await, None, "nobody takes over");
    let described = describe(&mut second.client, &group).await;
    let away = described
        .members
        .iter()
        .find(|member| member.member_id == first.id);
    assert_eq!(away.expect("still a member").member_epoch, -2);

    let mut back = Consumer::instance(&group, &[&topic], "first").await;
    assert_eq!(back.join().await, its_own);
    assert_eq!((back.epoch, second.beat().await), (3, None));
    // Its former self is nobody now.
    assert_eq!(
        first.refused(first.keep_alive()).await,
        ResponseError::FencedInstanceId
    );
    let by_id = first.keep_alive().with_instance_id(None);
    assert_eq!(first.refused(by_id).await, ResponseError::UnknownMemberId);
    assert_eq!(
        first.leave(-1).await.error_code.err(),
        Some(ResponseError::FencedInstanceId)
    );
}

/// The instance id stays with its member until that has left.
#[tokio::test]
async fn an_instance_id_has_one_member_at_a_time() {
    let topic = topic(1).await;
    let group = unique("group");
    let mut holder = Consumer::instance(&group, &[&topic], "one").await;
    holder.join().await;
    let mut other = Consumer::instance(&group, &[&topic], "one").await;
    assert_eq!(
        other.refused(other.joining()).await,
        ResponseError::UnreleasedInstanceId
    );
    let mut stranger = Consumer::instance(&group, &[&topic], "two").await;
    let request = stranger.keep_alive().with_member_epoch(2);
    assert_eq!(
        stranger.refused(request).await,
        ResponseError::UnknownMemberId
    );
    // It may leave for good, too.
    assert_eq!(holder.leave(-1).await.error_code.err(), None);
    let answer = other.send(other.joining()).await;
    assert_eq!(told(&answer), Some(of(&topic, 0..1)));
}
