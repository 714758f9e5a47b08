//! Members that say nothing, and members that do not do as they are told.

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use crate::support::broker::unique;
use crate::support::consumer_group::{Consumer, of, sharing, topic};
use crate::support::wait::{DEADLINE, eventually};

/// "Rebalance timeout fences slow revokers": being alive is not enough.
#[tokio::test]
async fn who_does_not_give_up_in_time_is_expelled() {
    let topic = topic(2).await;
    let group = unique("group");
    let mut slow = Consumer::new(&group, &[&topic]).await;
    slow.rebalance_timeout_ms = 300;
    let all = slow.join().await;
    let mut waiting = Consumer::new(&group, &[&topic]).await;
    waiting.join().await;
    slow.beat().await.expect("something to give up");
    let told = Instant::now();
    eventually(DEADLINE, "the slow member to be expelled", async || {
        let answer = slow.send(slow.owning(&all)).await;
        (answer.error_code != 0).then_some(())
    })
    .await;
    assert!(told.elapsed() >= Duration::from_millis(300));
    assert_eq!(
        slow.refused(slow.keep_alive()).await,
        ResponseError::UnknownMemberId
    );
    assert_eq!(waiting.beat().await, Some(of(&topic, 0..2)));
}

/// "Session expiry", of a member that dies and of a static one that does not come back: 10 s without a word.
#[tokio::test]
async fn who_is_silent_for_a_session_is_expelled() {
    let topic = topic(2).await;
    let (mut alive, dead) = sharing(&unique("group"), &topic).await;
    let group = unique("group");
    let mut away = Consumer::instance(&group, &[&topic], "away").await;
    let mut present = Consumer::new(&group, &[&topic]).await;
    away.join().await;
    away.leave(-2).await;
    let silence = Instant::now();
    present.join().await;
    eventually(DEADLINE, "the dead member's partitions", async || {
        let taken_over = alive.beat().await;
        present.beat().await;
        taken_over.map(|assigned| assert_eq!(assigned, of(&topic, 0..2)))
    })
    .await;
    let waited = silence.elapsed();
    assert!(waited > Duration::from_millis(9_500), "after {waited:?}");
    eventually(DEADLINE, "the absent member's partitions", async || {
        alive.beat().await;
        present.beat().await;
        (present.assigned == of(&topic, 0..2)).then_some(())
    })
    .await;
    let mut dead = dead;
    assert_eq!(
        dead.refused(dead.keep_alive()).await,
        ResponseError::UnknownMemberId
    );
}
