//! Classic groups: who may join, as what, and which protocol they agree on.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};

use crate::support::broker::unique;
use crate::support::group::{LONG_MS, Member, group_id, pair};
use crate::support::raw::RawClient;
use crate::support::topic::only;
use crate::support::wait::{DEADLINE, eventually};

/// The request with only those fields that its version has.
fn join_at(version: i16, member: &Member) -> JoinGroupRequest {
    let mut request = member.join_request();
    if version < 1 {
        request.rebalance_timeout_ms = -1;
    }
    request
}

/// A life in the group in every version: join, sync, heartbeat, leave.
#[tokio::test]
async fn every_version_joins_syncs_beats_and_leaves() {
    // JoinGroup's versions, each with the version of the others that came closest in time.
    for (join, sync, heartbeat, leave) in [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (2, 1, 1, 1),
        (3, 2, 2, 2),
        (4, 2, 2, 2),
        (5, 3, 3, 3),
        (6, 4, 4, 4),
        (7, 5, 4, 4),
        (8, 5, 4, 5),
        (9, 5, 4, 5),
    ] {
        let group = unique("versions");
        let mut member = Member::stranger(&group).await;
        let mut answer = member.client.send(join, join_at(join, &member)).await;
        if join >= 4 {
            assert_eq!(
                answer.error_code.err(),
                Some(ResponseError::MemberIdRequired)
            );
            member.id = answer.member_id;
            answer = member.client.send(join, join_at(join, &member)).await;
        }
        assert_eq!(answer.error_code.err(), None, "join {join}");
        member.id = answer.member_id.clone();
        assert!(!member.id.is_empty());
        assert_eq!(answer.generation_id, 1, "join {join}");
        assert_eq!(answer.leader, member.id);
        assert_eq!(answer.protocol_name.as_deref(), Some("plan"));
        assert_eq!(
            answer.protocol_type.as_deref(),
            (join >= 7).then_some("test")
        );
        let listed = only(answer.members);
        assert_eq!(
            (listed.member_id, &listed.metadata[..]),
            (member.id.clone(), &b"metadata"[..])
        );

        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(member.id.clone())
            .with_assignment(Bytes::from_static(b"all"));
        let mut request = SyncGroupRequest::default()
            .with_group_id(group_id(&group))
            .with_generation_id(1)
            .with_member_id(member.id.clone())
            .with_assignments(vec![assignment]);
        if sync >= 5 {
            request.protocol_type = Some("test".into());
            request.protocol_name = Some("plan".into());
        }
        let answer = member.client.send(sync, request).await;
        assert_eq!(
            (answer.error_code.err(), &answer.assignment[..]),
            (None, &b"all"[..])
        );
        if sync >= 5 {
            assert_eq!(answer.protocol_type.as_deref(), Some("test"));
            assert_eq!(answer.protocol_name.as_deref(), Some("plan"));
        }

        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&group))
            .with_generation_id(1)
            .with_member_id(member.id.clone());
        let beat = member.client.send(heartbeat, request).await;
        assert_eq!(beat.error_code.err(), None, "heartbeat {heartbeat}");

        let request = LeaveGroupRequest::default().with_group_id(group_id(&group));
        let request = if leave >= 3 {
            request.with_members(vec![
                MemberIdentity::default().with_member_id(member.id.clone()),
            ])
        } else {
            request.with_member_id(member.id.clone())
        };
        let left = member.client.send(leave, request).await;
        assert_eq!(left.error_code.err(), None, "leave {leave}");
        for one in left.members {
            assert_eq!(
                (one.error_code.err(), one.member_id),
                (None, member.id.clone())
            );
        }
        assert_eq!(
            member.heartbeat().await,
            Some(ResponseError::UnknownMemberId)
        );
    }
}

/// "v4+ dynamic join with "" => MEMBER_ID_REQUIRED(79) and a generated id"; the id begins with the client's own.
#[tokio::test]
async fn a_newcomer_is_given_an_id_first() {
    let mut member = Member::stranger(&unique("newcomer")).await;
    let answer = member.join().await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::MemberIdRequired)
    );
    assert!(
        answer.member_id.starts_with("conformance-"),
        "{:?}",
        answer.member_id
    );
    assert_eq!(answer.generation_id, -1);
    assert!(answer.members.is_empty());
    // Asked twice, two ids: the coordinator cannot know that it is the same.
    let again = member.join().await;
    assert_ne!(again.member_id, answer.member_id);
    member.id = again.member_id;
    member.settle().await;
    assert_eq!(member.generation, 1);
}

/// "Kept as *pending* until session timeout": whoever comes later with that id is unknown.
#[tokio::test]
async fn an_id_not_used_in_time_is_forgotten() {
    let group = unique("pending");
    // Another member keeps the group itself from being forgotten.
    let mut present = Member::alone(&group).await;
    let mut late = Member::stranger(&group).await;
    late.session_timeout_ms = 200;
    late.introduce().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(
        late.join().await.error_code.err(),
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(present.heartbeat().await, None, "nobody was disturbed");
}

/// A member id from nowhere is unknown, in a group that exists and in one that does not.
#[tokio::test]
async fn an_invented_id_is_unknown() {
    let group = unique("invented");
    let _present = Member::alone(&group).await;
    for group in [group, unique("nowhere")] {
        let mut stranger = Member::stranger(&group).await;
        stranger.id = "invented".into();
        assert_eq!(
            stranger.join().await.error_code.err(),
            Some(ResponseError::UnknownMemberId)
        );
    }
}

/// "Group "" => INVALID_GROUP_ID(24)."
#[tokio::test]
async fn a_group_needs_a_name() {
    let mut member = Member::stranger("").await;
    assert_eq!(
        member.join().await.error_code.err(),
        Some(ResponseError::InvalidGroupId)
    );
    member.id = "somebody".into();
    assert_eq!(
        member.sync(&[]).await.error_code.err(),
        Some(ResponseError::InvalidGroupId)
    );
    assert_eq!(
        member.heartbeat().await,
        Some(ResponseError::InvalidGroupId)
    );
    assert_eq!(
        member.leave().await.error_code.err(),
        Some(ResponseError::InvalidGroupId)
    );
}

/// "Session timeout outside [group.min, group.max] => INVALID_SESSION_TIMEOUT(26)."
#[tokio::test]
async fn a_session_is_neither_too_short_nor_too_long() {
    let mut member = Member::stranger(&unique("session")).await;
    for timeout in [1, 1_800_001, -1] {
        member.session_timeout_ms = timeout;
        let error = member.join().await.error_code.err();
        assert_eq!(
            error,
            Some(ResponseError::InvalidSessionTimeout),
            "{timeout}"
        );
    }
}

/// "Empty intersection => INCONSISTENT_GROUP_PROTOCOL(23)"; so are another type of protocol, and no protocol at all.
#[tokio::test]
async fn a_member_must_share_a_protocol() {
    let group = unique("inconsistent");
    let mut present = Member::alone(&group).await;
    let mut other = Member::stranger(&group).await;
    other.protocols = vec![("another plan", "metadata")];
    let error = other.join().await.error_code.err();
    assert_eq!(error, Some(ResponseError::InconsistentGroupProtocol));
    let of_another_type = Member::stranger(&group)
        .await
        .join_request()
        .with_protocol_type("connect".into());
    let of_no_type = Member::stranger(&group)
        .await
        .join_request()
        .with_protocol_type("".into());
    let without_any = Member::stranger(&group)
        .await
        .join_request()
        .with_protocols(vec![]);
    for request in [of_another_type, of_no_type.clone(), without_any.clone()] {
        let answer = other.client.send(9, request).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::InconsistentGroupProtocol)
        );
    }
    // The first member of a group must bring both, too.
    for request in [of_no_type, without_any] {
        let request = request.with_group_id(group_id(&unique("inconsistent")));
        let answer = other.client.send(9, request).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::InconsistentGroupProtocol)
        );
    }
    assert_eq!(present.heartbeat().await, None, "nobody was disturbed");
}

/// "Intersect all members, each votes for its first common one, most votes wins."
#[tokio::test]
async fn the_protocol_is_chosen_by_vote() {
    let group = unique("vote");
    let mut members = Vec::new();
    for protocols in [
        vec![("mine", "1"), ("range", "1"), ("robin", "1")],
        vec![("robin", "2"), ("range", "2")],
        vec![("robin", "3"), ("mine", "3"), ("range", "3")],
    ] {
        let mut member = Member::stranger(&group).await;
        member.protocols = protocols;
        members.push(member);
    }
    // The first joins alone, then all three are in one round.
    members[0].introduce().await;
    members[0].join().await;
    members[1].introduce().await;
    members[2].introduce().await;
    let mut joins = vec![(1, members[1].start_join().await)];
    members[0].is_told_to_rejoin().await;
    for index in [2, 0] {
        joins.push((index, members[index].start_join().await));
    }
    joins.reverse();
    for (index, join) in joins {
        let answer = members[index].finish_join(join).await;
        assert_eq!(answer.error_code.err(), None);
        assert_eq!(
            answer.protocol_name.as_deref(),
            Some("robin"),
            "not \"mine\": one cannot do it"
        );
        if index == 0 {
            let mut metadata: Vec<_> = answer
                .members
                .iter()
                .map(|member| member.metadata.clone())
                .collect();
            metadata.sort();
            assert_eq!(
                metadata,
                ["1", "2", "3"],
                "each member's metadata for the protocol chosen"
            );
        }
    }
}

/// "Leader = first joiner (kept while present); only the leader's response lists members."
#[tokio::test]
async fn the_first_to_join_leads() {
    let group = unique("leader");
    let (mut leader, mut follower) = pair(&group).await;
    // Whatever the order of the next round.
    let first = leader.start_join().await;
    follower.is_told_to_rejoin().await;
    let second = follower.join().await;
    let first = leader.finish_join(first).await;
    assert_eq!((&first.leader, &second.leader), (&leader.id, &leader.id));
    assert!(second.members.is_empty());
    let mut listed: Vec<_> = first
        .members
        .iter()
        .map(|member| member.member_id.clone())
        .collect();
    let mut expected = vec![leader.id.clone(), follower.id.clone()];
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    // When the leader goes, another one leads.
    assert_eq!(leader.leave().await.error_code.err(), None);
    let answer = follower.join().await;
    assert_eq!(answer.leader, follower.id);
    assert_eq!(answer.members.len(), 1);
}

/// A join that changes no group is answered at once: a lone member of a new group waits for nobody but the initial delay.
#[tokio::test]
async fn groups_do_not_wait_for_each_other() {
    let (one, two) = (unique("one"), unique("two"));
    let (mut present, mut newcomer) = (Member::alone(&one).await, Member::expected(&one).await);
    let parked = newcomer.start_join().await;
    present.is_told_to_rejoin().await;
    let mut elsewhere = Member::expected(&two).await;
    elsewhere.settle().await;
    present.join().await;
    assert_eq!(newcomer.finish_join(parked).await.error_code.err(), None);
}

/// A group that everybody left goes on counting where it stopped, so that an old member's commit cannot fit again.
#[tokio::test]
async fn generations_never_repeat() {
    let group = unique("generations");
    let mut first = Member::alone(&group).await;
    assert_eq!(first.generation, 1);
    assert_eq!(first.leave().await.error_code.err(), None);
    let mut second = Member::expected(&group).await;
    second.settle().await;
    assert_eq!(second.generation, 3, "2 was the empty group");
}

/// A member may join with many protocols and long metadata: both come back as they were.
#[tokio::test]
async fn metadata_is_opaque() {
    let group = unique("opaque");
    let mut member = Member::expected(&group).await;
    let mut request = member.join_request();
    let metadata = Bytes::from(vec![0xFF; 100_000]);
    request.protocols[0].metadata = metadata.clone();
    let answer = member.client.send(9, request).await;
    assert_eq!(only(answer.members).metadata, metadata);
}

/// The session timeout is each member's own: one who stays silent is dropped after it, and the group forgets the member.
#[tokio::test]
async fn a_silent_member_is_dropped_after_its_session() {
    let group = unique("silent");
    let mut member = Member::stranger(&group).await;
    member.session_timeout_ms = 300;
    member.introduce().await;
    member.settle().await;
    let mut client = RawClient::connect().await;
    eventually(DEADLINE, "the member to be dropped", async || {
        // Asked as somebody of another generation: that does not prolong the session.
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&group))
            .with_generation_id(4711)
            .with_member_id(member.id.clone());
        let error = client.send(4, request).await.error_code.err();
        (error == Some(ResponseError::UnknownMemberId)).then_some(())
    })
    .await;
    assert_eq!(
        member.heartbeat().await,
        Some(ResponseError::UnknownMemberId)
    );
}

/// Heartbeats keep a member for longer than its session timeout.
#[tokio::test]
async fn heartbeats_keep_a_member() {
    let mut member = Member::stranger(&unique("alive")).await;
    member.session_timeout_ms = 300;
    member.introduce().await;
    member.settle().await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(member.heartbeat().await, None);
    }
}

/// Timeouts are read as they are given: no rebalance timeout (version 0) means the session's.
#[tokio::test]
async fn version_0_takes_its_session_as_rebalance_timeout() {
    let group = unique("version-0");
    let mut old = Member::stranger(&group).await;
    old.session_timeout_ms = 500;
    let answer = old.client.send(0, join_at(0, &old)).await;
    assert_eq!(answer.error_code.err(), None);
    old.id = answer.member_id;
    old.generation = answer.generation_id;
    let mut newcomer = Member::stranger(&group).await;
    newcomer.rebalance_timeout_ms = 400;
    newcomer.session_timeout_ms = LONG_MS;
    newcomer.introduce().await;
    // The old member does not join again: it is left behind.
    let answer = newcomer.join().await;
    assert_eq!(answer.error_code.err(), None);
    assert_eq!(only(answer.members).member_id, newcomer.id);
}
