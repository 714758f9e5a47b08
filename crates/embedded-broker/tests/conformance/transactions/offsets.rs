//! Offsets in the transaction: committed with its records, or not at all.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetFetchRequest, TxnOffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;

use super::{Producer, TIMEOUT_MS, result, settled, transactional_id};
use crate::support::broker::unique;
use crate::support::consumer_group::Consumer;
use crate::support::group::{COMMIT, Member, commit_request, group_id};
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, only, topic_name};

/// An offset for partition 0 of `topic`, by nobody in particular.
fn commit_in_transaction(
    producer: &Producer,
    group: &str,
    topic: &Topic,
    offset: i64,
) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(StrBytes::from_static_str("note")));
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![partition]);
    TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional_id(&producer.transactional_id))
        .with_group_id(group_id(group))
        .with_producer_id(producer.id.into())
        .with_producer_epoch(producer.epoch)
        .with_generation_id(-1)
        .with_topics(vec![topic])
}

async fn send(
    client: &mut RawClient,
    version: i16,
    request: TxnOffsetCommitRequest,
) -> Result<(), ResponseError> {
    settled(async || {
        let answer = client.send(version, request.clone()).await;
        result(only(only(answer.topics).partitions).error_code)
    })
    .await
}

impl Producer {
    /// Commits an offset in the transaction, which must be taken.
    async fn send_offset(&mut self, group: &str, topic: &Topic, offset: i64) {
        assert_eq!(self.try_add_offsets(3, group).await, Ok(()));
        let request = commit_in_transaction(self, group, topic, offset);
        assert_eq!(send(&mut self.client, 3, request).await, Ok(()));
    }
}

/// The offset of partition 0: -1 where there is none.
async fn offset_of(
    client: &mut RawClient,
    group: &str,
    topic: &Topic,
    require_stable: bool,
) -> Result<i64, ResponseError> {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic.topic_name())
        .with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group_id(group))
        .with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default()
        .with_groups(vec![group])
        .with_require_stable(require_stable);
    let group = only(client.send(8, request).await.groups);
    result(group.error_code)?;
    let partition = only(only(group.topics).partitions);
    result(partition.error_code).map(|()| partition.committed_offset)
}

async fn commit_outside(client: &mut RawClient, group: &str, topic: &Topic, offset: i64) {
    let request = commit_request(group, topic, 0, offset);
    let answer = only(only(client.send(COMMIT, request).await.topics).partitions);
    assert_eq!(answer.error_code.err(), None);
}

/// "Group-offset commits in the txn apply atomically, invisible before, dropped on abort."
#[tokio::test]
async fn offsets_count_when_the_transaction_is_committed() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let mut producer = Producer::start().await;
    let mut client = RawClient::connect().await;
    producer.send_offset(&group, &topic, 5).await;
    assert_eq!(offset_of(&mut client, &group, &topic, false).await, Ok(-1));
    producer.commit().await;
    assert_eq!(offset_of(&mut client, &group, &topic, false).await, Ok(5));
    producer.send_offset(&group, &topic, 9).await;
    assert_eq!(offset_of(&mut client, &group, &topic, false).await, Ok(5));
    producer.abort().await;
    assert_eq!(offset_of(&mut client, &group, &topic, false).await, Ok(5));
}

/// "require_stable + pending txn offset => UNSTABLE_OFFSET_COMMIT(88) *per partition*."
#[tokio::test]
async fn whoever_needs_a_stable_offset_waits() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let mut producer = Producer::start().await;
    let mut client = RawClient::connect().await;
    commit_outside(&mut client, &group, &topic, 3).await;
    for commit in [true, false] {
        assert_eq!(
            offset_of(&mut client, &group, &topic, true).await.err(),
            None
        );
        producer.send_offset(&group, &topic, 7).await;
        let unstable = offset_of(&mut client, &group, &topic, true).await;
        assert_eq!(unstable, Err(ResponseError::UnstableOffsetCommit));
        if commit {
            producer.commit().await;
        } else {
            producer.abort().await;
        }
    }
    assert_eq!(offset_of(&mut client, &group, &topic, true).await, Ok(7));
}

/// Of several offsets for one partition the last one counts, in the order in which they were sent.
#[tokio::test]
async fn the_last_offset_counts() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let mut producer = Producer::start().await;
    let mut client = RawClient::connect().await;
    producer.send_offset(&group, &topic, 5).await;
    producer.send_offset(&group, &topic, 4).await;
    producer.commit().await;
    assert_eq!(offset_of(&mut client, &group, &topic, false).await, Ok(4));
    // A plain commit that was made later than the one in the transaction stays.
    producer.send_offset(&group, &topic, 8).await;
    commit_outside(&mut client, &group, &topic, 6).await;
    producer.commit().await;
    assert_eq!(offset_of(&mut client, &group, &topic, false).await, Ok(6));
}

/// One transaction may hold offsets of several groups.
#[tokio::test]
async fn groups_end_together() {
    let topic = Topic::create(1).await;
    let groups = [unique("group"), unique("group")];
    let mut producer = Producer::start().await;
    for (offset, group) in (5..).zip(&groups) {
        producer.send_offset(group, &topic, offset).await;
    }
    producer.commit().await;
    for (offset, group) in (5..).zip(&groups) {
        assert_eq!(
            offset_of(&mut producer.client, group, &topic, true).await,
            Ok(offset)
        );
    }
}

/// A group must be added to the transaction first, as a partition must.
#[tokio::test]
async fn a_group_must_be_added_first() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    for (version, expected) in [
        (0, ResponseError::InvalidTxnState),
        (3, ResponseError::InvalidTxnState),
        (4, ResponseError::TransactionAbortable),
    ] {
        let request = commit_in_transaction(&producer, &group, &topic, 5);
        assert_eq!(
            send(&mut producer.client, version, request).await,
            Err(expected),
            "version {version}"
        );
    }
    producer.commit().await;
    assert_eq!(
        offset_of(&mut producer.client, &group, &topic, true).await,
        Ok(-1)
    );
}

/// A zombie's offsets are refused by its epoch, in every version.
#[tokio::test]
async fn a_zombies_offsets_are_refused() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let mut zombie = Producer::start().await;
    zombie.send_offset(&group, &topic, 5).await;
    let mut successor = Producer::start_as(&zombie.transactional_id, TIMEOUT_MS).await;
    for version in 0..=4 {
        let request = commit_in_transaction(&zombie, &group, &topic, 6);
        let sent = send(&mut zombie.client, version, request).await;
        assert_eq!(
            sent,
            Err(ResponseError::InvalidProducerEpoch),
            "version {version}"
        );
    }
    successor.send_offset(&group, &topic, 7).await;
    successor.commit().await;
    assert_eq!(
        offset_of(&mut successor.client, &group, &topic, true).await,
        Ok(7)
    );
    let mut stranger = Producer::start().await;
    let foreign = commit_in_transaction(&stranger, &group, &topic, 8)
        .with_transactional_id(transactional_id(&successor.transactional_id));
    let sent = send(&mut stranger.client, 3, foreign).await;
    assert_eq!(sent, Err(ResponseError::InvalidProducerIdMapping));
}

/// "v3+ carries generation/member => fence zombies with ILLEGAL_GENERATION/UNKNOWN_MEMBER_ID/FENCED_INSTANCE_ID."
#[tokio::test]
async fn only_members_of_this_generation_commit() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let member = Member::alone(&group).await;
    let mut producer = Producer::start().await;
    assert_eq!(producer.try_add_offsets(3, &group).await, Ok(()));
    let cases = [
        (
            member.generation + 1,
            member.id.clone(),
            Err(ResponseError::IllegalGeneration),
        ),
        (
            member.generation - 1,
            member.id.clone(),
            Err(ResponseError::IllegalGeneration),
        ),
        (
            member.generation,
            "stranger".into(),
            Err(ResponseError::UnknownMemberId),
        ),
        (
            member.generation,
            StrBytes::new(),
            Err(ResponseError::UnknownMemberId),
        ),
        (-1, member.id.clone(), Err(ResponseError::IllegalGeneration)),
        (member.generation, member.id.clone(), Ok(())),
        // As clients before version 3 of this API do.
        (-1, StrBytes::new(), Ok(())),
    ];
    for (generation, id, expected) in cases {
        let request = commit_in_transaction(&producer, &group, &topic, 5)
            .with_generation_id(generation)
            .with_member_id(id.clone());
        let sent = send(&mut producer.client, 3, request).await;
        assert_eq!(sent, expected, "generation {generation}, member {id:?}");
    }
    for version in 0..=2 {
        let request = commit_in_transaction(&producer, &group, &topic, 5);
        assert_eq!(
            send(&mut producer.client, version, request).await,
            Ok(()),
            "version {version}"
        );
    }
}

/// A static member that was replaced is fenced by its instance id (KIP-345, KIP-447).
#[tokio::test]
async fn a_replaced_static_member_is_fenced() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let mut member = Member::instance(&group, "instance").await;
    member.settle().await;
    let mut producer = Producer::start().await;
    assert_eq!(producer.try_add_offsets(3, &group).await, Ok(()));
    for (id, expected) in [
        (
            StrBytes::from_static_str("replaced"),
            Err(ResponseError::FencedInstanceId),
        ),
        (member.id.clone(), Ok(())),
    ] {
        let request = commit_in_transaction(&producer, &group, &topic, 5)
            .with_generation_id(member.generation)
            .with_member_id(id.clone())
            .with_group_instance_id(Some("instance".into()));
        assert_eq!(
            send(&mut producer.client, 3, request).await,
            expected,
            "{id:?}"
        );
    }
    let unknown = commit_in_transaction(&producer, &group, &topic, 5)
        .with_generation_id(member.generation)
        .with_member_id(member.id.clone())
        .with_group_instance_id(Some("another".into()));
    assert_eq!(
        send(&mut producer.client, 3, unknown).await,
        Err(ResponseError::UnknownMemberId)
    );
}

/// Members of a consumer group (KIP-848) say their epoch in place of the generation; what is stale for OffsetCommit is an
/// illegal generation here.
#[tokio::test]
async fn members_of_a_consumer_group_commit_in_their_epoch() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let member = Consumer::alone(&group, &[&topic]).await;
    let mut producer = Producer::start().await;
    assert_eq!(producer.try_add_offsets(3, &group).await, Ok(()));
    let illegal = Err(ResponseError::IllegalGeneration);
    let cases = [
        (member.epoch, member.id.clone(), Ok(())),
        (member.epoch + 1, member.id.clone(), illegal),
        (member.epoch - 1, member.id.clone(), illegal),
        (-1, member.id.clone(), illegal),
        (
            member.epoch,
            "stranger".into(),
            Err(ResponseError::UnknownMemberId),
        ),
        (-1, StrBytes::new(), Ok(())),
    ];
    for (epoch, id, expected) in cases {
        let request = commit_in_transaction(&producer, &group, &topic, 5)
            .with_generation_id(epoch)
            .with_member_id(id.clone());
        let sent = send(&mut producer.client, 3, request).await;
        assert_eq!(sent, expected, "epoch {epoch}, member {id:?}");
    }
    producer.commit().await;
    assert_eq!(
        offset_of(&mut producer.client, &group, &topic, true).await,
        Ok(5)
    );
}

/// A group that nobody has joined knows no generation; without one it takes offsets from anybody.
#[tokio::test]
async fn an_unknown_group_knows_no_generation() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let mut producer = Producer::start().await;
    assert_eq!(producer.try_add_offsets(3, &group).await, Ok(()));
    let request = commit_in_transaction(&producer, &group, &topic, 5).with_generation_id(1);
    let sent = send(&mut producer.client, 3, request).await;
    assert_eq!(sent, Err(ResponseError::IllegalGeneration));
    let request = commit_in_transaction(&producer, &group, &topic, 5);
    assert_eq!(send(&mut producer.client, 3, request).await, Ok(()));
}

/// What can be wrong with an offset itself.
#[tokio::test]
async fn each_partition_is_answered_alone() {
    let (topic, group) = (Topic::create(1).await, unique("group"));
    let mut producer = Producer::start().await;
    assert_eq!(producer.try_add_offsets(3, &group).await, Ok(()));
    let mut request = commit_in_transaction(&producer, &group, &topic, 5);
    let good = request.topics[0].partitions[0].clone();
    request.topics[0]
        .partitions
        .push(good.clone().with_partition_index(1));
    let missing = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name(&unique("missing")))
        .with_partitions(vec![good.clone()]);
    request.topics.push(missing.clone());
    let answer = producer.client.send(3, request.clone()).await;
    let error_of = |name: &str, partition| {
        let topic = answer
            .topics
            .iter()
            .find(|topic| topic.name.as_str() == name)
            .expect("the topic");
        let found = topic
            .partitions
            .iter()
            .find(|found| found.partition_index == partition);
        found.expect("the partition").error_code.err()
    };
    assert_eq!(error_of(&topic.name, 0), None);
    assert_eq!(
        error_of(&topic.name, 1),
        Some(ResponseError::UnknownTopicOrPartition)
    );
    assert_eq!(
        error_of(missing.name.as_str(), 0),
        Some(ResponseError::UnknownTopicOrPartition)
    );
    let mut request = commit_in_transaction(&producer, &group, &topic, 5);
    request.topics[0].partitions =
        vec![good.with_committed_metadata(Some("x".repeat(4_097).into()))];
    let sent = send(&mut producer.client, 3, request).await;
    assert_eq!(sent, Err(ResponseError::OffsetMetadataTooLarge));
    let empty = commit_in_transaction(&producer, "", &topic, 5);
    assert_eq!(
        send(&mut producer.client, 3, empty).await,
        Err(ResponseError::InvalidGroupId)
    );
}
