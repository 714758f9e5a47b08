//! Classic groups and consumer groups share names: who may join what, and what a group without members becomes.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};

use crate::support::broker::unique;
use crate::support::consumer_group::{Consumer, describe, topic};
use crate::support::group::{COMMIT, Member, commit_request};
use crate::support::topic::only;

/// "Group id of the other type => GROUP_ID_NOT_FOUND": a classic group whose members are no consumers stays what it is.
#[tokio::test]
async fn a_classic_group_with_members_is_no_consumer_group() {
    let topic = topic(1).await;
    let mut classic = Member::alone(&unique("group")).await;
    let mut consumer = Consumer::new(&classic.group, &[&topic]).await;
    let joining = consumer.joining();
    for request in [
        joining,
        consumer.keep_alive().with_member_epoch(1),
        consumer.keep_alive().with_member_epoch(-1),
    ] {
        assert_eq!(
            consumer.refused(request).await,
            ResponseError::GroupIdNotFound
        );
    }
    assert_eq!(classic.heartbeat().await, None);
}

/// "INCONSISTENT_GROUP_PROTOCOL" for a member that is no consumer, UNKNOWN_MEMBER_ID for one that claims to be there.
#[tokio::test]
async fn a_consumer_group_with_members_is_no_classic_group() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let mut classic = Member::stranger(&consumer.group).await;
    let answer = classic.join().await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::InconsistentGroupProtocol)
    );
    classic.id = consumer.id.clone();
    classic.generation = consumer.epoch;
    assert_eq!(
        classic.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
    let synced = classic.sync(&[]).await;
    assert_eq!(
        synced.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(consumer.beat().await, None);
}

/// A classic group without members becomes a consumer group, and keeps its offsets.
#[tokio::test]
async fn an_empty_classic_group_becomes_a_consumer_group() {
    let topic = topic(1).await;
    let mut classic = Member::alone(&unique("group")).await;
    assert_eq!(classic.commit(&topic, 7).await, None);
    classic.leave().await;
    let mut consumer = Consumer::alone(&classic.group, &[&topic]).await;
    assert_eq!(consumer.epoch, 2);
    let described = describe(&mut consumer.client, &classic.group).await;
    assert_eq!(
        (described.error_code.err(), described.group_state.as_str()),
        (None, "Stable")
    );
    assert_eq!(super::offsets::fetch(&mut consumer, &topic, 0).await, Ok(7));
}

/// So does a group that only ever held offsets.
#[tokio::test]
async fn a_group_of_offsets_becomes_a_consumer_group() {
    let topic = topic(1).await;
    let mut consumer = Consumer::new(&unique("group"), &[&topic]).await;
    let request = commit_request(&consumer.group, &topic, 0, 5);
    let answer = only(only(consumer.client.send(COMMIT, request).await.topics).partitions);
    assert_eq!(answer.error_code.err(), None);
    consumer.join().await;
    assert_eq!(super::offsets::fetch(&mut consumer, &topic, 0).await, Ok(5));
}

/// A consumer group without members becomes a classic group, and keeps its offsets.
#[tokio::test]
async fn an_empty_consumer_group_becomes_a_classic_group() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    assert_eq!(
        super::offsets::commit(&mut consumer, &topic, 0, 3).await,
        None
    );
    consumer.leave(-1).await;
    let mut known = Member::stranger(&consumer.group).await;
    known.id = "known".into();
    let unknown = known.join().await.error_code.err();
    assert_eq!(unknown, Some(ResponseError::UnknownMemberId));
    let classic = Member::alone(&consumer.group).await;
    assert_eq!(classic.generation, 1);
    let described = describe(&mut consumer.client, &consumer.group).await;
    assert_eq!(
        described.error_code.err(),
        Some(ResponseError::GroupIdNotFound)
    );
    assert_eq!(
        super::offsets::fetch_as_nobody(&mut consumer, &topic, 0).await,
        Ok(3)
    );
}
