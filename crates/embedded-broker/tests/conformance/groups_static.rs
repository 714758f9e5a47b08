//! Classic groups: static members (KIP-345), who come back under their instance id without disturbing anybody.

use std::time::Duration;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::LeaveGroupRequest;
use kafka_protocol::messages::leave_group_request::MemberIdentity;

use crate::support::broker::unique;
use crate::support::group::{LEAVE, Member, group_id, pair_of, sync_together};
use crate::support::topic::{Topic, only};

/// A dynamic leader and a static follower.
async fn with_static_follower(group: &str) -> (Member, Member) {
    pair_of(
        Member::stranger(group).await,
        Member::instance(group, "instance").await,
    )
    .await
}

/// A static leader and a dynamic follower.
async fn with_static_leader(group: &str) -> (Member, Member) {
    pair_of(
        Member::instance(group, "instance").await,
        Member::stranger(group).await,
    )
    .await
}

/// "Static joins skip the dance": no MEMBER_ID_REQUIRED; the member id begins with the instance id, and others are told it.
#[tokio::test]
async fn a_static_member_joins_at_once() {
    let mut member = Member::instance(&unique("static"), "instance").await;
    let answer = member.join().await;
    assert_eq!((answer.error_code.err(), answer.generation_id), (None, 1));
    assert!(
        answer.member_id.starts_with("instance-"),
        "{:?}",
        answer.member_id
    );
    assert_eq!(
        only(answer.members).group_instance_id.as_deref(),
        Some("instance")
    );
    let plan = [(member.id.clone(), "all")];
    assert_eq!(member.sync(&plan).await.error_code.err(), None);
    assert_eq!(member.heartbeat().await, None);
}

/// "Static replacement in Stable with equal protocols: no rebalance, new member id, old id fenced."
#[tokio::test]
async fn a_restarted_follower_disturbs_nobody() {
    let group = unique("follower");
    let (mut leader, mut old) = with_static_follower(&group).await;
    let mut new = Member::instance(&group, "instance").await;
    let answer = new.join().await;
    assert_eq!(
        (answer.error_code.err(), answer.generation_id),
        (None, leader.generation)
    );
    assert_eq!((&answer.leader, answer.members.len()), (&leader.id, 0));
    assert_ne!(new.id, old.id);
    assert_eq!(
        &new.sync(&[]).await.assignment[..],
        b"second",
        "what it had before"
    );
    assert_eq!(
        (leader.heartbeat().await, new.heartbeat().await),
        (None, None)
    );
    // The old one still runs somewhere.
    let topic = Topic::create(1).await;
    assert_eq!(old.heartbeat().await, Some(ResponseError::FencedInstanceId));
    assert_eq!(
        old.sync(&[]).await.error_code.err(),
        Some(ResponseError::FencedInstanceId)
    );
    assert_eq!(
        old.commit(&topic, 1).await,
        Some(ResponseError::FencedInstanceId)
    );
    assert_eq!(
        old.join().await.error_code.err(),
        Some(ResponseError::FencedInstanceId)
    );
    assert_eq!(new.commit(&topic, 1).await, None);
}

/// "Leader gets skip_assignment (v9)": it leads as before, sees the members, and assigns nothing anew (KIP-814).
#[tokio::test]
async fn a_restarted_leader_skips_the_assignment() {
    let group = unique("leader");
    let (old, mut follower) = with_static_leader(&group).await;
    let mut new = Member::instance(&group, "instance").await;
    let answer = new.join().await;
    assert_eq!(
        (answer.error_code.err(), answer.generation_id),
        (None, follower.generation)
    );
    assert_eq!(answer.leader, new.id);
    assert!(answer.skip_assignment);
    assert_eq!(answer.members.len(), 2);
    assert!(
        answer
            .members
            .iter()
            .all(|member| member.member_id != old.id),
        "{answer:?}"
    );
    assert_eq!(&new.sync(&[]).await.assignment[..], b"first");
    assert_eq!(
        (follower.heartbeat().await, new.heartbeat().await),
        (None, None)
    );
}

/// Before version 9 a restarted leader is told that its old self leads, so that it assigns nothing.
#[tokio::test]
async fn a_restarted_leader_of_an_older_version_follows() {
    let group = unique("older");
    let (old, mut follower) = with_static_leader(&group).await;
    let mut new = Member::instance(&group, "instance").await;
    let request = new.join_request();
    let answer = new.client.send(8, request).await;
    assert_eq!(
        (answer.error_code.err(), answer.generation_id),
        (None, follower.generation)
    );
    assert_eq!((&answer.leader, answer.members.len()), (&old.id, 0));
    assert_eq!(follower.heartbeat().await, None);
}

/// Metadata may be new after a restart: as long as the group would choose the same protocol, nobody is disturbed.
#[tokio::test]
async fn a_restart_with_other_metadata_disturbs_nobody() {
    let group = unique("metadata");
    let (mut leader, _old) = with_static_follower(&group).await;
    let mut new = Member::instance(&group, "instance").await;
    new.protocols = vec![("another plan", "metadata"), ("plan", "other metadata")];
    let answer = new.join().await;
    assert_eq!(
        (answer.error_code.err(), answer.generation_id),
        (None, leader.generation)
    );
    assert_eq!(leader.heartbeat().await, None);
}

/// A static member whose new choice of protocols changes the group's does start a round.
#[tokio::test]
async fn a_restart_that_changes_the_protocol_starts_a_round() {
    let group = unique("protocol");
    let both = vec![("plan", "metadata"), ("another plan", "metadata")];
    let mut leader = Member::stranger(&group).await;
    let mut follower = Member::instance(&group, "instance").await;
    (leader.protocols, follower.protocols) = (both.clone(), both);
    let (mut leader, _old) = pair_of(leader, follower).await;
    let generation = leader.generation;
    let mut new = Member::instance(&group, "instance").await;
    new.protocols = vec![("another plan", "metadata")];
    let join = new.start_join().await;
    leader.is_told_to_rejoin().await;
    let answer = leader.join().await;
    assert_eq!(
        (answer.generation_id, answer.protocol_name.as_deref()),
        (generation + 1, Some("another plan"))
    );
    assert_eq!(new.finish_join(join).await.generation_id, generation + 1);
}

/// A static member that joins again with the id it has is a member like any other.
#[tokio::test]
async fn a_known_static_member_may_ask_again() {
    let group = unique("again");
    let (mut leader, mut follower) = with_static_follower(&group).await;
    let (id, generation) = (follower.id.clone(), follower.generation);
    let answer = follower.join().await;
    assert_eq!(
        (
            answer.error_code.err(),
            answer.generation_id,
            answer.member_id
        ),
        (None, generation, id)
    );
    assert_eq!(leader.heartbeat().await, None);
}

/// While a round waits, a restarted static member takes its old self's place in it.
#[tokio::test]
async fn a_restart_during_a_round_takes_the_place() {
    let group = unique("round");
    let (mut leader, mut old) = with_static_follower(&group).await;
    let join = leader.start_join().await;
    old.is_told_to_rejoin().await;
    let mut new = Member::instance(&group, "instance").await;
    let answer = new.join().await;
    assert_eq!(answer.error_code.err(), None);
    assert_eq!(leader.finish_join(join).await.members.len(), 2);
    sync_together(&mut leader, &mut new).await;
    assert_eq!(old.heartbeat().await, Some(ResponseError::FencedInstanceId));
}

/// Between join and sync it makes the round start over.
#[tokio::test]
async fn a_restart_before_the_sync_starts_over() {
    let group = unique("completing");
    let (mut leader, mut old) = with_static_follower(&group).await;
    let join = leader.start_join().await;
    old.is_told_to_rejoin().await;
    old.join().await;
    leader.finish_join(join).await;
    let generation = leader.generation;
    let mut new = Member::instance(&group, "instance").await;
    let join = new.start_join().await;
    leader.is_told_to_rejoin().await;
    assert_eq!(leader.join().await.generation_id, generation + 1);
    assert_eq!(new.finish_join(join).await.generation_id, generation + 1);
}

/// An instance id that the group does not know, with a member id that it does or does not.
#[tokio::test]
async fn an_unknown_instance_is_told() {
    let group = unique("unknown");
    let mut member = Member::alone(&group).await;
    member.instance = Some("unheard of".into());
    assert_eq!(
        member.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        member.sync(&[]).await.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        member.join().await.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
}

/// An instance id with somebody else's member id is fenced.
#[tokio::test]
async fn an_instance_with_another_id_is_fenced() {
    let group = unique("other");
    let (leader, mut follower) = with_static_follower(&group).await;
    for id in [leader.id.clone(), "nobody".into()] {
        follower.id = id;
        assert_eq!(
            follower.heartbeat().await,
            Some(ResponseError::FencedInstanceId)
        );
        assert_eq!(
            follower.join().await.error_code.err(),
            Some(ResponseError::FencedInstanceId)
        );
    }
}

/// "By instance id alone is legal (admin removes static member)."
#[tokio::test]
async fn a_static_member_is_removed_by_its_instance() {
    let group = unique("remove");
    let (mut leader, mut follower) = with_static_follower(&group).await;
    let identity = |member: &str, instance: &str| {
        MemberIdentity::default()
            .with_member_id(member.to_owned().into())
            .with_group_instance_id(Some(instance.to_owned().into()))
    };
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id(&group))
        .with_members(vec![
            identity("", "unheard of"),
            identity("nobody", "instance"),
            identity("", "instance"),
        ]);
    let answer = leader.client.send(LEAVE, request).await;
    let errors: Vec<_> = answer
        .members
        .iter()
        .map(|member| member.error_code.err())
        .collect();
    let expected = [
        Some(ResponseError::UnknownMemberId),
        Some(ResponseError::FencedInstanceId),
        None,
    ];
    assert_eq!(errors, expected);
    assert_eq!(
        answer.members[2].group_instance_id.as_deref(),
        Some("instance")
    );
    leader.is_told_to_rejoin().await;
    assert_eq!(
        follower.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(leader.join().await.members.len(), 1);
}

/// "A static member's close sends no LeaveGroup": only its session ends its membership, and that starts a round.
#[tokio::test]
async fn a_static_member_that_stays_away_is_dropped() {
    let group = unique("away");
    let mut follower = Member::instance(&group, "instance").await;
    follower.session_timeout_ms = 400;
    let (mut leader, follower) = pair_of(Member::stranger(&group).await, follower).await;
    drop(follower);
    assert_eq!(
        leader.heartbeat().await,
        None,
        "the connection is not the session"
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(leader.heartbeat().await, None);
    leader.is_told_to_rejoin().await;
    assert_eq!(leader.join().await.members.len(), 1);
}

/// Two instances are two members, also on one client.
#[tokio::test]
async fn instances_are_told_apart() {
    let group = unique("two");
    let one = Member::instance(&group, "one").await;
    let two = Member::instance(&group, "two").await;
    let (mut one, mut two) = pair_of(one, two).await;
    assert_eq!((one.heartbeat().await, two.heartbeat().await), (None, None));
    assert_ne!(one.id, two.id);
}
