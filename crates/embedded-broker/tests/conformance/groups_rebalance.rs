//! Classic groups: what starts a new round, who waits for whom, and which requests a round refuses.

use std::time::Duration;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{HeartbeatRequest, LeaveGroupRequest};

use crate::support::broker::unique;
use crate::support::group::{LEAVE, Member, group_id, pair, pair_of, sync_together};
use crate::support::topic::{Topic, only};
use crate::support::wait::{DEADLINE, eventually};

/// A newcomer makes the others join again: heartbeats say REBALANCE_IN_PROGRESS(27), and the next generation has both.
#[tokio::test]
async fn a_newcomer_starts_a_round() {
    let group = unique("newcomer");
    let mut present = Member::alone(&group).await;
    let mut newcomer = Member::expected(&group).await;
    assert_eq!(
        present.heartbeat().await,
        None,
        "asking for an id disturbs nobody"
    );
    let join = newcomer.start_join().await;
    present.is_told_to_rejoin().await;
    newcomer
        .client
        .no_response_within(Duration::from_millis(50))
        .await;
    let answer = present.join().await;
    assert_eq!(
        (
            answer.error_code.err(),
            answer.generation_id,
            answer.members.len()
        ),
        (None, 2, 2)
    );
    let answer = newcomer.finish_join(join).await;
    assert_eq!((answer.error_code.err(), answer.generation_id), (None, 2));
    sync_together(&mut present, &mut newcomer).await;
    assert_eq!(
        (present.heartbeat().await, newcomer.heartbeat().await),
        (None, None)
    );
}

/// "Join completes when all known members rejoined, or after max(rebalance_timeout): stragglers are dropped."
#[tokio::test]
async fn a_straggler_is_dropped_after_the_rebalance_timeout() {
    let group = unique("straggler");
    let mut leader = Member::stranger(&group).await;
    let mut straggler = Member::stranger(&group).await;
    // The longer of the two counts, for both.
    (leader.rebalance_timeout_ms, straggler.rebalance_timeout_ms) = (100, 400);
    let (mut leader, mut straggler) = pair_of(leader, straggler).await;
    let start = std::time::Instant::now();
    let answer = leader.join().await;
    assert!(
        start.elapsed() >= Duration::from_millis(390),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(answer.error_code.err(), None);
    assert_eq!(only(answer.members).member_id, leader.id);
    assert_eq!(
        straggler.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
}

/// A member that stays silent for its session is dropped, and the others begin a round without it.
#[tokio::test]
async fn a_silent_member_starts_a_round() {
    let group = unique("silent");
    let leader = Member::stranger(&group).await;
    let mut silent = Member::stranger(&group).await;
    silent.session_timeout_ms = 300;
    let (mut leader, mut silent) = pair_of(leader, silent).await;
    leader.is_told_to_rejoin().await;
    assert_eq!(
        silent.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(leader.join().await.members.len(), 1);
}

/// "Heartbeat in Preparing => REBALANCE_IN_PROGRESS(27) but still resets the session."
#[tokio::test]
async fn heartbeats_count_while_a_round_waits() {
    let group = unique("waiting");
    let mut busy = Member::stranger(&group).await;
    busy.session_timeout_ms = 300;
    busy.introduce().await;
    busy.settle().await;
    let mut newcomer = Member::expected(&group).await;
    let join = newcomer.start_join().await;
    busy.is_told_to_rejoin().await;
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(
            busy.heartbeat().await,
            Some(ResponseError::RebalanceInProgress)
        );
    }
    assert_eq!(busy.join().await.members.len(), 2, "still a member");
    newcomer.finish_join(join).await;
}

/// A member waiting in a join is alive, however long that takes: "re-arm session timers when a parked join is *answered*."
#[tokio::test]
async fn waiting_in_a_join_is_being_alive() {
    let group = unique("parked");
    let mut present = Member::alone(&group).await;
    let mut patient = Member::stranger(&group).await;
    patient.session_timeout_ms = 300;
    patient.introduce().await;
    let join = patient.start_join().await;
    patient
        .client
        .no_response_within(Duration::from_millis(700))
        .await;
    assert_eq!(present.join().await.members.len(), 2);
    assert_eq!(patient.finish_join(join).await.error_code.err(), None);
    // The same in a sync.
    let sync = patient.start_sync(&[]).await;
    patient
        .client
        .no_response_within(Duration::from_millis(700))
        .await;
    let plan = [
        (present.id.clone(), "first"),
        (patient.id.clone(), "second"),
    ];
    assert_eq!(present.sync(&plan).await.error_code.err(), None);
    assert_eq!(&patient.client.read(sync).await.assignment[..], b"second");
    assert_eq!(patient.heartbeat().await, None);
}

/// "Follower rejoining Stable with identical metadata gets the cached answer": same generation, nobody disturbed.
#[tokio::test]
async fn a_follower_may_ask_again() {
    let group = unique("again");
    let (mut leader, mut follower) = pair(&group).await;
    let generation = follower.generation;
    let answer = follower.join().await;
    assert_eq!(
        (answer.error_code.err(), answer.generation_id),
        (None, generation)
    );
    assert_eq!((&answer.leader, answer.members.len()), (&leader.id, 0));
    assert_eq!(&follower.sync(&[]).await.assignment[..], b"second");
    assert_eq!(leader.heartbeat().await, None);
}

/// "Leader rejoin or changed metadata => rebalance."
#[tokio::test]
async fn changed_metadata_starts_a_round() {
    let group = unique("changed");
    let (mut leader, mut follower) = pair(&group).await;
    let generation = leader.generation;
    follower.protocols = vec![("plan", "other metadata")];
    let join = follower.start_join().await;
    leader.is_told_to_rejoin().await;
    let answer = leader.join().await;
    assert_eq!(answer.generation_id, generation + 1);
    let changed = answer
        .members
        .iter()
        .find(|member| member.member_id == follower.id)
        .expect("the follower");
    assert_eq!(&changed.metadata[..], b"other metadata");
    assert_eq!(
        follower.finish_join(join).await.generation_id,
        generation + 1
    );
}

/// A leader joins again to have everybody assigned anew: topics have changed.
#[tokio::test]
async fn a_leader_that_asks_again_starts_a_round() {
    let group = unique("leader");
    let (mut leader, mut follower) = pair(&group).await;
    let generation = leader.generation;
    let join = leader.start_join().await;
    follower.is_told_to_rejoin().await;
    assert_eq!(follower.join().await.generation_id, generation + 1);
    assert_eq!(leader.finish_join(join).await.generation_id, generation + 1);
}

/// ILLEGAL_GENERATION(22) for another generation, UNKNOWN_MEMBER_ID(25) for another member or another group.
#[tokio::test]
async fn generation_and_member_are_checked() {
    let group = unique("checks");
    let topic = Topic::create(1).await;
    let mut member = Member::alone(&group).await;
    let (id, generation) = (member.id.clone(), member.generation);
    for other in [generation - 1, generation + 1] {
        member.generation = other;
        assert_eq!(
            member.heartbeat().await,
            Some(ResponseError::IllegalGeneration)
        );
        assert_eq!(
            member.sync(&[]).await.error_code.err(),
            Some(ResponseError::IllegalGeneration)
        );
        assert_eq!(
            member.commit(&topic, 1).await,
            Some(ResponseError::IllegalGeneration)
        );
    }
    member.generation = generation;
    member.id = "somebody".into();
    assert_eq!(
        member.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        member.sync(&[]).await.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        member.commit(&topic, 1).await,
        Some(ResponseError::UnknownMemberId)
    );
    member.id = id;
    member.group = unique("elsewhere");
    assert_eq!(
        member.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        member.sync(&[]).await.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
    member.group = group;
    assert_eq!(member.heartbeat().await, None);
}

/// A member that leaves starts a round at once, without waiting for its session.
#[tokio::test]
async fn leaving_starts_a_round() {
    let group = unique("leave");
    let (mut leader, mut follower) = pair(&group).await;
    let answer = follower.leave().await;
    assert_eq!(answer.error_code.err(), None);
    let left = only(answer.members);
    assert_eq!(
        (left.error_code.err(), left.member_id),
        (None, follower.id.clone())
    );
    assert_eq!(
        leader.heartbeat().await,
        Some(ResponseError::RebalanceInProgress)
    );
    assert_eq!(
        follower.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(leader.join().await.members.len(), 1);
}

/// A round that waits only for the one who leaves is complete.
#[tokio::test]
async fn leaving_completes_a_round() {
    let group = unique("complete");
    let (mut leader, mut follower) = pair(&group).await;
    let join = leader.start_join().await;
    leader
        .client
        .no_response_within(Duration::from_millis(50))
        .await;
    assert_eq!(follower.leave().await.error_code.err(), None);
    assert_eq!(leader.finish_join(join).await.members.len(), 1);
}

/// Somebody who was only given an id may leave too; the others join again, though nothing has changed for them.
#[tokio::test]
async fn an_expected_member_may_leave() {
    let group = unique("expected");
    let mut present = Member::alone(&group).await;
    let mut expected = Member::expected(&group).await;
    assert_eq!(only(expected.leave().await.members).error_code.err(), None);
    assert_eq!(
        expected.join().await.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
    present.is_told_to_rejoin().await;
    assert_eq!(present.join().await.members.len(), 1);
}

/// "v3+ batch with per-member errors": each one is answered, and an unknown one stops no other.
#[tokio::test]
async fn several_leave_at_once() {
    let group = unique("several");
    let (mut leader, follower) = pair(&group).await;
    let identity = |id: &str| MemberIdentity::default().with_member_id(id.to_owned().into());
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id(&group))
        .with_members(vec![
            identity("nobody"),
            identity(&follower.id),
            identity(&leader.id),
        ]);
    let answer = leader.client.send(LEAVE, request).await;
    assert_eq!(answer.error_code.err(), None);
    let errors: Vec<_> = answer
        .members
        .iter()
        .map(|member| member.error_code.err())
        .collect();
    assert_eq!(errors, [Some(ResponseError::UnknownMemberId), None, None]);
    // Before version 3 the one error is the answer's own.
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id(&group))
        .with_member_id("nobody".into());
    let answer = leader.client.send(2, request).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
}

/// Leaving a group that nobody knows.
#[tokio::test]
async fn leaving_an_unknown_group_is_told() {
    let mut stranger = Member::stranger(&unique("nowhere")).await;
    stranger.id = "nobody".into();
    let answer = stranger.leave().await;
    assert_eq!(answer.error_code.err(), None);
    assert_eq!(
        only(answer.members).error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
}

/// A member that joins again, on another connection after a request timeout, is one member; the later request is answered.
#[tokio::test]
async fn a_second_join_replaces_the_first() {
    let group = unique("twice");
    let mut present = Member::alone(&group).await;
    let mut newcomer = Member::expected(&group).await;
    let _first = newcomer.start_join().await;
    present.is_told_to_rejoin().await;
    let mut again = Member::stranger(&group).await;
    again.id = newcomer.id.clone();
    let second = again.start_join().await;
    again
        .client
        .no_response_within(Duration::from_millis(50))
        .await;
    assert_eq!(present.join().await.members.len(), 2);
    assert_eq!(again.finish_join(second).await.error_code.err(), None);
}

/// A round waits for those who were given an id: they are about to join, and would only start another one.
#[tokio::test]
async fn a_round_waits_for_expected_members() {
    let group = unique("expected");
    let mut present = Member::alone(&group).await;
    let mut first = Member::expected(&group).await;
    let mut second = Member::expected(&group).await;
    let first_join = first.start_join().await;
    present.is_told_to_rejoin().await;
    let join = present.start_join().await;
    present
        .client
        .no_response_within(Duration::from_millis(50))
        .await;
    assert_eq!(second.join().await.error_code.err(), None);
    assert_eq!(present.finish_join(join).await.members.len(), 3);
    assert_eq!(first.finish_join(first_join).await.error_code.err(), None);
}

/// A client that goes away while it waits in a join is a member like any other: after its session the group goes on.
#[tokio::test]
async fn a_client_may_vanish_while_it_waits() {
    let group = unique("vanish");
    let mut present = Member::alone(&group).await;
    let mut vanishing = Member::stranger(&group).await;
    vanishing.session_timeout_ms = 300;
    vanishing.introduce().await;
    let _join = vanishing.start_join().await;
    vanishing
        .client
        .no_response_within(Duration::from_millis(50))
        .await;
    drop(vanishing);
    let answer = present.join().await;
    assert_eq!(answer.error_code.err(), None);
    let plan = [(present.id.clone(), "all")];
    assert_eq!(present.sync(&plan).await.error_code.err(), None);
    eventually(DEADLINE, "a group of one", async || {
        if present.heartbeat().await == Some(ResponseError::RebalanceInProgress) {
            let answer = present.join().await;
            present.sync(&plan).await;
            return (answer.members.len() == 1).then_some(());
        }
        None
    })
    .await;
}

/// A heartbeat in an unknown group names nobody that is known.
#[tokio::test]
async fn an_unknown_group_knows_nobody() {
    let mut stranger = Member::stranger(&unique("nowhere")).await;
    for generation in [-1, 0, 7] {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&stranger.group))
            .with_generation_id(generation)
            .with_member_id("nobody".into());
        let answer = stranger.client.send(4, request).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::UnknownMemberId)
        );
    }
}
