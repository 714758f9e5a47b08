//! Members that say nothing, and members that do not do as they are told.

use std::time::{Duration, Instant};

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};

use crate::support::broker::unique;
use crate::support::consumer_group::{Consumer, of, sharing, sharing_of, topic};
use crate::support::raw::RawClient;
use crate::support::topic::only;
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

/// "Per-group config overrides": the group's own times hold from a member's next heartbeat on.
#[tokio::test]
async fn a_group_has_its_own_times() {
    let topic = topic(1).await;
    let group = unique("group");
    let mut consumer = Consumer::alone(&group, &[&topic]).await;
    let answer = consumer.send(consumer.keep_alive()).await;
    assert_eq!(answer.heartbeat_interval_ms, 200);
    configure(&mut consumer.client, &group, HEARTBEAT_INTERVAL, "300").await;
    eventually(DEADLINE, "the group's own interval", async || {
        let answer = consumer.send(consumer.keep_alive()).await;
        (answer.heartbeat_interval_ms == 300).then_some(())
    })
    .await;
}

/// "Session expiry", of a member that dies and of a static one that does not come back.
#[tokio::test]
async fn who_is_silent_for_a_session_is_expelled() {
    let topic = topic(2).await;
    let group = unique("group");
    with_short_sessions(&group).await;
    let (mut alive, mut dead) = sharing(&group, &topic).await;
    let silence = Instant::now();
    eventually(DEADLINE, "the dead member's partitions", async || {
        let assigned = alive.beat().await?;
        (assigned == of(&topic, 0..2)).then_some(())
    })
    .await;
    assert!(silence.elapsed() > SESSION / 2, "{:?}", silence.elapsed());
    let refused = dead.refused(dead.keep_alive()).await;
    assert_eq!(refused, ResponseError::UnknownMemberId);
}

#[tokio::test]
async fn who_stays_away_for_a_session_is_expelled() {
    let topic = topic(2).await;
    let group = unique("group");
    with_short_sessions(&group).await;
    let away = Consumer::instance(&group, &[&topic], "away").await;
    let (mut away, mut present) = sharing_of(away, Consumer::new(&group, &[&topic]).await).await;
    away.leave(-2).await;
    let absence = Instant::now();
    eventually(DEADLINE, "the absent member's partitions", async || {
        let assigned = present.beat().await?;
        (assigned == of(&topic, 0..2)).then_some(())
    })
    .await;
    assert!(absence.elapsed() > SESSION / 2, "{:?}", absence.elapsed());
    let mut back = Consumer::instance(&group, &[&topic], "away").await;
    assert!(back.join().await.is_empty(), "it begins anew");
}

const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";
const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
const SESSION: Duration = Duration::from_secs(1);

/// Has members of the group expelled after [`SESSION`], and makes sure that the coordinator knows.
async fn with_short_sessions(group: &str) {
    let mut probe = Consumer::alone(group, &[]).await;
    let (session, interval) = (SESSION.as_millis().to_string(), "300");
    configure(&mut probe.client, group, SESSION_TIMEOUT, &session).await;
    configure(&mut probe.client, group, HEARTBEAT_INTERVAL, interval).await;
    eventually(DEADLINE, "the group's own times", async || {
        let answer = probe.send(probe.keep_alive()).await;
        (answer.heartbeat_interval_ms == 300).then_some(())
    })
    .await;
    probe.leave(-1).await;
}

/// Sets a configuration of the group.
async fn configure(client: &mut RawClient, group: &str, name: &'static str, value: &str) {
    const GROUP: i8 = 32;
    const SET: i8 = 0;
    let config = AlterableConfig::default()
        .with_name(name.into())
        .with_config_operation(SET)
        .with_value(Some(value.to_owned().into()));
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(group.to_owned().into())
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = only(client.send(1, request).await.responses);
    assert_eq!(answer.error_code.err(), None, "{:?}", answer.error_message);
}
