//! Classic groups: between the join and the assignment.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};

use crate::support::broker::unique;
use crate::support::group::{JOIN, Member, SYNC, joined_pair, joined_pair_of, sync_together};
use crate::support::topic::{Topic, only};

/// "Members that never Sync within the rebalance timeout are expelled and a new round starts."
#[tokio::test]
async fn a_member_that_never_syncs_is_expelled() {
    let group = unique("unsynced");
    let mut leader = Member::stranger(&group).await;
    let mut forgetful = Member::stranger(&group).await;
    (leader.rebalance_timeout_ms, forgetful.rebalance_timeout_ms) = (400, 400);
    let (mut leader, mut forgetful) = joined_pair_of(leader, forgetful).await;
    let plan = [
        (leader.id.clone(), "first"),
        (forgetful.id.clone(), "second"),
    ];
    assert_eq!(leader.sync(&plan).await.error_code.err(), None);
    leader.is_told_to_rejoin().await;
    assert_eq!(
        forgetful.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
    let answer = leader.join().await;
    assert_eq!(only(answer.members).member_id, leader.id);
}

/// A leader that never syncs leaves its followers waiting only until it is expelled: their sync is answered
/// REBALANCE_IN_PROGRESS.
#[tokio::test]
async fn a_leader_that_never_syncs_does_not_hold_the_others() {
    let group = unique("headless");
    let mut leader = Member::stranger(&group).await;
    let mut follower = Member::stranger(&group).await;
    (leader.rebalance_timeout_ms, follower.rebalance_timeout_ms) = (400, 400);
    let (mut leader, mut follower) = joined_pair_of(leader, follower).await;
    let answer = follower.sync(&[]).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::RebalanceInProgress)
    );
    let answer = follower.join().await;
    assert_eq!(
        (answer.error_code.err(), &answer.leader),
        (None, &follower.id)
    );
    assert_eq!(
        leader.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
}

/// Between join and sync heartbeats are fine.
#[tokio::test]
async fn heartbeats_are_fine_before_the_sync() {
    let group = unique("completing");
    let mut member = Member::expected(&group).await;
    member.join().await;
    assert_eq!(member.heartbeat().await, None);
}

/// Whoever lost the answer to its join asks again with the same metadata and is told again, leader or not.
#[tokio::test]
async fn a_lost_answer_is_told_again_before_the_sync() {
    let group = unique("lost");
    let (mut leader, mut follower) = joined_pair(&group).await;
    let generation = leader.generation;
    let answer = follower.join().await;
    assert_eq!(
        (
            answer.error_code.err(),
            answer.generation_id,
            answer.members.len()
        ),
        (None, generation, 0)
    );
    let answer = leader.join().await;
    assert_eq!(
        (
            answer.error_code.err(),
            answer.generation_id,
            answer.members.len()
        ),
        (None, generation, 2)
    );
    sync_together(&mut leader, &mut follower).await;
}

/// Changed metadata before the sync begins the round anew, and a sync that waits is told so.
#[tokio::test]
async fn changed_metadata_before_the_sync_starts_over() {
    let group = unique("over");
    let (mut leader, mut follower) = joined_pair(&group).await;
    let sync = follower.start_sync(&[]).await;
    follower
        .client
        .no_response_within(Duration::from_millis(50))
        .await;
    leader.protocols = vec![("plan", "other metadata")];
    let join = leader.start_join().await;
    let answer = follower.client.read(sync).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::RebalanceInProgress)
    );
    assert_eq!(follower.join().await.error_code.err(), None);
    assert_eq!(leader.finish_join(join).await.members.len(), 2);
}

/// A follower's sync waits for the leader's; everyone gets its own part.
#[tokio::test]
async fn a_sync_waits_for_the_leader() {
    let group = unique("sync");
    let (mut leader, mut follower) = joined_pair(&group).await;
    let sync = follower.start_sync(&[]).await;
    follower
        .client
        .no_response_within(Duration::from_millis(50))
        .await;
    let plan = [
        (follower.id.clone(), "second"),
        (leader.id.clone(), "first"),
    ];
    assert_eq!(&leader.sync(&plan).await.assignment[..], b"first");
    assert_eq!(&follower.client.read(sync).await.assignment[..], b"second");
    // Asked again it is told again.
    assert_eq!(&follower.sync(&[]).await.assignment[..], b"second");
    assert_eq!(&leader.sync(&[]).await.assignment[..], b"first");
}

/// Whom the leader forgets has an empty part.
#[tokio::test]
async fn a_forgotten_member_gets_an_empty_part() {
    let group = unique("forgotten");
    let (mut leader, mut follower) = joined_pair(&group).await;
    let sync = follower.start_sync(&[]).await;
    leader.sync(&[(leader.id.clone(), "all")]).await;
    let answer = follower.client.read(sync).await;
    assert_eq!(
        (answer.error_code.err(), answer.assignment.len()),
        (None, 0)
    );
}

/// The same in a group of consumers: no bytes at all, not an encoded assignment of nothing.
#[tokio::test]
async fn a_forgotten_consumer_gets_no_bytes() {
    let mut member = Member::expected(&unique("consumer")).await;
    let mut request = member.join_request().with_protocol_type("consumer".into());
    // A subscription of version 0: no topics, no user data.
    request.protocols[0].metadata = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    let answer = member.client.send(JOIN, request).await;
    assert_eq!(answer.error_code.err(), None);
    member.generation = answer.generation_id;
    let request = member
        .sync_request(&[])
        .with_protocol_type(Some("consumer".into()));
    let answer = member.client.send(SYNC, request).await;
    assert_eq!(
        (answer.error_code.err(), answer.assignment.len()),
        (None, 0)
    );
}

/// A sync must name the protocol that was chosen (version 5).
#[tokio::test]
async fn a_sync_names_the_protocol() {
    let mut member = Member::expected(&unique("protocol")).await;
    member.join().await;
    let right = member.sync_request(&[]);
    let wrong_type = right.clone().with_protocol_type(Some("consumer".into()));
    let wrong_name = right.clone().with_protocol_name(Some("another".into()));
    for request in [wrong_type, wrong_name] {
        let answer = member.client.send(SYNC, request).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::InconsistentGroupProtocol)
        );
    }
    assert_eq!(member.client.send(SYNC, right).await.error_code.err(), None);
}

/// While a round waits for joins, a sync is told REBALANCE_IN_PROGRESS.
#[tokio::test]
async fn a_sync_during_joins_is_told() {
    let group = unique("early");
    let mut present = Member::alone(&group).await;
    let mut newcomer = Member::expected(&group).await;
    let join = newcomer.start_join().await;
    present.is_told_to_rejoin().await;
    let answer = present.sync(&[]).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::RebalanceInProgress)
    );
    present.join().await;
    newcomer.finish_join(join).await;
}

/// "OffsetCommit with the right generation is accepted in Preparing and Stable, REBALANCE_IN_PROGRESS in Completing."
#[tokio::test]
async fn commits_are_taken_until_the_round_is_complete() {
    let group = unique("commit");
    let topic = Topic::create(1).await;
    let mut present = Member::alone(&group).await;
    assert_eq!(present.commit(&topic, 1).await, None, "stable");
    let mut newcomer = Member::expected(&group).await;
    let join = newcomer.start_join().await;
    present.is_told_to_rejoin().await;
    assert_eq!(present.commit(&topic, 2).await, None, "preparing");
    present.join().await;
    newcomer.finish_join(join).await;
    assert_eq!(
        present.commit(&topic, 3).await,
        Some(ResponseError::RebalanceInProgress),
        "completing"
    );
    sync_together(&mut present, &mut newcomer).await;
    assert_eq!(present.commit(&topic, 4).await, None, "stable again");
}
