//! Consumer groups (KIP-848) among other groups: nodes, kinds and timers.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};

use super::*;

fn joining(group: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(StrBytes::from_static_str("member"))
        .with_rebalance_timeout_ms(10_000)
        .with_subscribed_topic_names(Some(vec![TOPIC]))
        .with_topic_partitions(Some(Vec::new()))
}

async fn join(shared: &Arc<Shared>, group: &str) -> ConsumerGroupHeartbeatResponse {
    ask(shared, 0, 1, joining(group)).await
}

/// A classic member that says it is a consumer, and is let in at once.
fn joining_classic(group: &str) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol])
}

/// Joins a group that may be new: the answer comes when the wait for others is over.
async fn join_classic(shared: &Arc<Shared>, request: JoinGroupRequest) -> i16 {
    let joining = {
        let shared = Arc::clone(shared);
        tokio::spawn(async move { ask(&shared, 0, 3, request).await })
    };
    // The request is parked now.
    tokio::task::yield_now().await;
    let later = Now::read().after(Duration::from_secs(1));
    shared.state.lock().tick(later);
    joining.await.expect("an answer").error_code
}

fn kind_of(shared: &Arc<Shared>, group: &str) -> Option<&'static str> {
    let state = shared.state.lock();
    state.groups.get(group).map(|group| group.kind.name())
}

#[tokio::test]
async fn a_node_that_does_not_coordinate_the_group_says_so() {
    let shared = broker(2).await;
    let wrong = {
        let state = shared.state.lock();
        i32::from(state.cluster.is_coordinator(0, "group"))
    };
    let expected = ResponseError::NotCoordinator.code();
    for epoch in [0, 1, -1] {
        let request = joining("group").with_member_epoch(epoch);
        assert_eq!(ask(&shared, wrong, 1, request).await.error_code, expected);
    }
    let describe = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id("group")]);
    let describe = ask(&shared, wrong, 1, describe).await;
    assert_eq!(describe.groups[0].error_code, expected);
    assert_eq!(kind_of(&shared, "group"), None);
}

/// Apache Kafka takes over a classic group of consumers while it runs (`group.consumer.migration.policy`). Here a group
/// with members stays of its kind, as with that policy disabled.
#[tokio::test]
async fn a_group_with_members_stays_of_its_kind() {
    let shared = broker(1).await;
    assert_eq!(join_classic(&shared, joining_classic("classic")).await, 0);
    let refused = join(&shared, "classic").await;
    assert_eq!(refused.error_code, ResponseError::GroupIdNotFound.code());
    assert_eq!(
        refused.error_message.as_deref(),
        Some(
            "Cannot upgrade classic group classic to consumer group because online upgrade is disabled."
        )
    );
    assert_eq!(kind_of(&shared, "classic"), Some("classic"));

    assert_eq!(join(&shared, "consumer").await.error_code, 0);
    let refused = join_classic(&shared, joining_classic("consumer")).await;
    assert_eq!(refused, ResponseError::InconsistentGroupProtocol.code());
    assert_eq!(kind_of(&shared, "consumer"), Some("consumer"));
}

#[tokio::test]
async fn a_refused_first_member_changes_nothing() {
    let shared = broker(1).await;
    ask(&shared, 0, 8, commit("offsets", -1)).await;
    for group in ["offsets", "new"] {
        let before = kind_of(&shared, group);
        let request =
            joining(group).with_subscribed_topic_regex(Some(StrBytes::from_static_str("[")));
        let refused = ask(&shared, 0, 1, request).await;
        let invalid = ResponseError::InvalidRegularExpression.code();
        assert_eq!(refused.error_code, invalid);
        assert_eq!(kind_of(&shared, group), before);
    }
}

/// A client that believes to be a member of a consumer group without members is told that it is none.
#[tokio::test]
async fn only_newcomers_make_a_consumer_group_classic() {
    let shared = broker(1).await;
    join(&shared, "group").await;
    let leaving = joining("group").with_member_epoch(-1);
    assert_eq!(ask(&shared, 0, 1, leaving).await.error_code, 0);
    let known = joining_classic("group").with_member_id(StrBytes::from_static_str("known"));
    let refused = join_classic(&shared, known).await;
    assert_eq!(refused, ResponseError::UnknownMemberId.code());
    assert_eq!(kind_of(&shared, "group"), Some("consumer"));
    assert_eq!(join_classic(&shared, joining_classic("group")).await, 0);
    assert_eq!(kind_of(&shared, "group"), Some("classic"));
}

/// The group's timer fires although nobody asks anything, and finds out who is silent.
#[tokio::test]
async fn a_silent_member_is_expelled_by_the_timer() {
    let shared = broker(1).await;
    join(&shared, "group").await;
    let mut state = shared.state.lock();
    let session = state.settings.consumer_session_timeout;
    let due = state.timers.next().expect("a timer");
    let now = Now::read();
    assert!(due <= now.instant + session);
    state.tick(now.after(session / 2));
    let members = |state: &State| state.groups.consumer("group").map(|group| group.is_empty());
    assert_eq!(members(&state), Ok(false));
    state.tick(now.after(session));
    assert_eq!(members(&state), Ok(true));
}

#[tokio::test]
async fn another_coordinator_waits_a_whole_session() {
    let shared = broker(1).await;
    join(&shared, "group").await;
    let mut state = shared.state.lock();
    let State {
        groups,
        timers,
        settings,
        ..
    } = &mut *state;
    let session = settings.consumer_session_timeout;
    let moved = Now::read().after(session / 2);
    groups.move_coordinator("group", moved, timers);
    let next = |groups: &Groups| groups.consumer("group").map(|group| group.next_deadline());
    assert_eq!(next(groups), Ok(Some(moved.instant + session)));
}
