//! Offsets of consumer groups: members commit and fetch in their epoch.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetFetchRequest};

use crate::support::broker::unique;
use crate::support::consumer_group::{Consumer, sharing, topic};
use crate::support::group::{commit_request, group_id};
use crate::support::topic::{Topic, only};

/// The first versions of OffsetCommit and OffsetFetch that carry member epochs.
const COMMIT_WITH_EPOCH: i16 = 9;
const FETCH_WITH_EPOCH: i16 = 9;

/// Commits as this member in its epoch.
pub(super) async fn commit(
    consumer: &mut Consumer,
    topic: &Topic,
    partition: i32,
    offset: i64,
) -> Option<ResponseError> {
    let epoch = consumer.epoch;
    commit_in(consumer, COMMIT_WITH_EPOCH, epoch, topic, partition, offset).await
}

async fn commit_in(
    consumer: &mut Consumer,
    version: i16,
    epoch: i32,
    topic: &Topic,
    partition: i32,
    offset: i64,
) -> Option<ResponseError> {
    let mut request = commit_request(&consumer.group, topic, partition, offset)
        .with_member_id(consumer.id.clone())
        .with_group_instance_id(consumer.instance.clone())
        .with_generation_id_or_member_epoch(epoch);
    if version >= COMMIT_WITH_EPOCH {
        request.retention_time_ms = -1;
    }
    let answer = consumer.client.send(version, request).await;
    only(only(answer.topics).partitions).error_code.err()
}

/// The committed offset, as this member in its epoch.
pub(super) async fn fetch(
    consumer: &mut Consumer,
    topic: &Topic,
    partition: i32,
) -> Result<i64, ResponseError> {
    let group = OffsetFetchRequestGroup::default()
        .with_member_id(Some(consumer.id.clone()))
        .with_member_epoch(consumer.epoch);
    fetch_with(consumer, group, topic, partition).await
}

/// The committed offset, as an administrator.
pub(super) async fn fetch_as_nobody(
    consumer: &mut Consumer,
    topic: &Topic,
    partition: i32,
) -> Result<i64, ResponseError> {
    fetch_with(
        consumer,
        OffsetFetchRequestGroup::default(),
        topic,
        partition,
    )
    .await
}

async fn fetch_with(
    consumer: &mut Consumer,
    group: OffsetFetchRequestGroup,
    topic: &Topic,
    partition: i32,
) -> Result<i64, ResponseError> {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic.topic_name())
        .with_partition_indexes(vec![partition]);
    let group = group
        .with_group_id(group_id(&consumer.group))
        .with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    let answer = only(consumer.client.send(FETCH_WITH_EPOCH, request).await.groups);
    if let Some(error) = answer.error_code.err() {
        assert!(answer.topics.is_empty());
        return Err(error);
    }
    let partition = only(only(answer.topics).partitions);
    assert_eq!(partition.error_code.err(), None);
    Ok(partition.committed_offset)
}

/// "OffsetCommit v9 with an old epoch => STALE_MEMBER_EPOCH", unless it had the partition already then (KIP-1251).
#[tokio::test]
async fn members_commit_in_their_epoch() {
    let topic = topic(2).await;
    let (mut first, mut second) = sharing(&unique("group"), &topic).await;
    let (_, old) = *first.assigned.first().expect("a partition");
    let (_, new) = *second.assigned.first().expect("a partition");
    let stale = Some(ResponseError::StaleMemberEpoch);
    assert_eq!(commit(&mut first, &topic, old, 1).await, None);
    assert_eq!(
        commit(&mut first, &topic, new, 1).await,
        None,
        "in its epoch it may commit all"
    );
    assert_eq!(
        commit_in(&mut first, 9, 2, &topic, old, 2).await,
        None,
        "had it in epoch 2"
    );
    assert_eq!(
        commit_in(&mut first, 9, 1, &topic, old, 2).await,
        stale,
        "had it not in epoch 1"
    );
    assert_eq!(
        commit_in(&mut first, 9, 2, &topic, new, 2).await,
        stale,
        "gave it up"
    );
    assert_eq!(
        commit_in(&mut second, 9, 2, &topic, new, 2).await,
        stale,
        "got it in epoch 3"
    );
    assert_eq!(
        commit_in(&mut second, 9, 4, &topic, new, 2).await,
        stale,
        "ahead"
    );
    assert_eq!(fetch(&mut first, &topic, old).await, Ok(2));
    assert_eq!(fetch(&mut second, &topic, new).await, Ok(1));
}

/// What is being given up is still the member's own to commit.
#[tokio::test]
async fn members_commit_what_they_give_up() {
    let topic = topic(2).await;
    let group = unique("group");
    let mut first = Consumer::alone(&group, &[&topic]).await;
    let mut second = Consumer::new(&group, &[&topic]).await;
    second.join().await;
    first.beat().await.expect("something to give up");
    for partition in 0..2 {
        assert_eq!(commit(&mut first, &topic, partition, 9).await, None);
    }
    second.leave(-1).await;
}

#[tokio::test]
async fn only_members_commit_while_there_are_any() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let mut stranger = Consumer::new(&consumer.group, &[&topic]).await;
    let unknown = Some(ResponseError::UnknownMemberId);
    assert_eq!(commit_in(&mut stranger, 9, 2, &topic, 0, 1).await, unknown);
    stranger.id = "".into();
    assert_eq!(commit_in(&mut stranger, 9, -1, &topic, 0, 1).await, unknown);
    // An administrator resets offsets when the members are gone; a member of before is unknown.
    consumer.leave(-1).await;
    assert_eq!(commit_in(&mut consumer, 9, 2, &topic, 0, 1).await, unknown);
    assert_eq!(commit_in(&mut stranger, 8, -1, &topic, 0, 4).await, None);
    assert_eq!(fetch_as_nobody(&mut consumer, &topic, 0).await, Ok(4));
    let mut nowhere = Consumer::new(&unique("group"), &[&topic]).await;
    assert_eq!(
        commit_in(&mut nowhere, 9, 2, &topic, 0, 1).await,
        Some(ResponseError::GroupIdNotFound)
    );
}

/// Versions of OffsetCommit before 9 know no member epochs.
#[tokio::test]
async fn members_commit_with_version_9() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let epoch = consumer.epoch;
    let answer = commit_in(&mut consumer, 8, epoch, &topic, 0, 1).await;
    assert_eq!(answer, Some(ResponseError::UnsupportedVersion));
}

/// "OffsetFetch v9 member epoch": a member that is behind, or none, learns it when it fetches.
#[tokio::test]
async fn members_fetch_in_their_epoch() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    assert_eq!(fetch(&mut consumer, &topic, 0).await, Ok(-1));
    for epoch in [1, 3] {
        consumer.epoch = epoch;
        assert_eq!(
            fetch(&mut consumer, &topic, 0).await,
            Err(ResponseError::StaleMemberEpoch)
        );
    }
    consumer.id = "stranger".into();
    assert_eq!(
        fetch(&mut consumer, &topic, 0).await,
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(fetch_as_nobody(&mut consumer, &topic, 0).await, Ok(-1));
}

/// Offsets of a topic that a member subscribes to are kept.
#[tokio::test]
async fn offsets_of_subscribed_topics_are_not_deleted() {
    let (topic, other) = (topic(1).await, topic(1).await);
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    assert_eq!(commit(&mut consumer, &topic, 0, 1).await, None);
    assert_eq!(commit(&mut consumer, &other, 0, 2).await, None);
    let topics = [&topic, &other].map(|topic| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
        OffsetDeleteRequestTopic::default()
            .with_name(topic.topic_name())
            .with_partitions(vec![partition])
    });
    let request = OffsetDeleteRequest::default()
        .with_group_id(group_id(&consumer.group))
        .with_topics(topics.into());
    let answer = consumer.client.send(0, request).await;
    assert_eq!(answer.error_code.err(), None);
    for result in answer.topics {
        let kept =
            (result.name == topic.topic_name()).then_some(ResponseError::GroupSubscribedToTopic);
        assert_eq!(only(result.partitions).error_code.err(), kept);
    }
    assert_eq!(fetch(&mut consumer, &topic, 0).await, Ok(1));
    assert_eq!(fetch(&mut consumer, &other, 0).await, Ok(-1));
}
