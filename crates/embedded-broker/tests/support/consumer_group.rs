//! A member of a consumer group of the new protocol (KIP-848), frame by frame.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    CreateTopicsRequest,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::broker::unique;
use super::group::{LONG_MS, group_id};
use super::raw::RawClient;
use super::topic::{Topic, creatable, only, topic_name};
use super::wait::{DEADLINE, eventually};

/// The newest versions in use here.
pub(crate) const CONSUMER_HEARTBEAT: i16 = 1;
pub(crate) const CONSUMER_DESCRIBE: i16 = 1;

/// Partitions, by their topics' ids.
pub(crate) type Partitions = BTreeSet<(Uuid, i32)>;

/// One member on a connection of its own.
pub(crate) struct Consumer {
    pub(crate) client: RawClient,
    pub(crate) group: String,
    pub(crate) id: StrBytes,
    pub(crate) instance: Option<StrBytes>,
    /// Of the last answer without an error; 0 before the first.
    pub(crate) epoch: i32,
    /// What it was last told to read.
    pub(crate) assigned: Partitions,
    pub(crate) names: Option<Vec<String>>,
    pub(crate) pattern: Option<String>,
    pub(crate) assignor: Option<&'static str>,
    pub(crate) rebalance_timeout_ms: i32,
}

impl Consumer {
    /// Someone who wants these topics and has not joined yet.
    pub(crate) async fn new(group: &str, topics: &[&Topic]) -> Self {
        Self {
            client: RawClient::connect().await,
            group: group.to_owned(),
            id: Uuid::new_v4().to_string().into(),
            instance: None,
            epoch: 0,
            assigned: Partitions::new(),
            names: Some(topics.iter().map(|topic| topic.name.clone()).collect()),
            pattern: None,
            assignor: None,
            rebalance_timeout_ms: LONG_MS,
        }
    }

    /// A static member that has not joined yet.
    pub(crate) async fn instance(group: &str, topics: &[&Topic], instance: &'static str) -> Self {
        let mut consumer = Self::new(group, topics).await;
        consumer.instance = Some(instance.into());
        consumer
    }

    /// Someone who wants the topics that match, and has not joined yet.
    pub(crate) async fn matching(group: &str, pattern: &str) -> Self {
        let mut consumer = Self::new(group, &[]).await;
        consumer.names = None;
        consumer.pattern = Some(pattern.to_owned());
        consumer
    }

    /// The only member of a new group, which has all partitions.
    pub(crate) async fn alone(group: &str, topics: &[&Topic]) -> Self {
        let mut consumer = Self::new(group, topics).await;
        consumer.join().await;
        consumer
    }

    /// A heartbeat that says nothing new.
    pub(crate) fn keep_alive(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_member_id(self.id.clone())
            .with_member_epoch(self.epoch)
            .with_instance_id(self.instance.clone())
            .with_rebalance_timeout_ms(-1)
    }

    /// A heartbeat that says which partitions the member still reads.
    pub(crate) fn owning(&self, owned: &Partitions) -> ConsumerGroupHeartbeatRequest {
        self.keep_alive()
            .with_topic_partitions(Some(topic_partitions(owned)))
    }

    /// A heartbeat that says everything, in the member's epoch.
    pub(crate) fn full(&self, owned: &Partitions) -> ConsumerGroupHeartbeatRequest {
        let names = self.names.as_ref().map(|names| {
            let names = names.iter();
            names.map(|name| topic_name(name)).collect()
        });
        self.owning(owned)
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_subscribed_topic_names(names)
            .with_subscribed_topic_regex(self.pattern.clone().map(StrBytes::from))
            .with_server_assignor(self.assignor.map(StrBytes::from))
    }

    /// The first heartbeat.
    pub(crate) fn joining(&self) -> ConsumerGroupHeartbeatRequest {
        self.full(&Partitions::new()).with_member_epoch(0)
    }

    /// Sends a heartbeat, remembers what an answer without an error says, and returns the answer.
    pub(crate) async fn send(
        &mut self,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let answer = self.client.send(CONSUMER_HEARTBEAT, request).await;
        if answer.error_code == 0 {
            self.epoch = answer.member_epoch;
            if let Some(assigned) = told(&answer) {
                self.assigned = assigned;
            }
        }
        answer
    }

    /// Sends a heartbeat that must succeed, and returns what it says to read, if it says so.
    pub(crate) async fn ok(
        &mut self,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Option<Partitions> {
        let answer = self.send(request).await;
        assert_eq!(answer.error_code.err(), None, "{:?}", answer.error_message);
        told(&answer)
    }

    /// Sends a heartbeat that must fail, and returns why.
    pub(crate) async fn refused(
        &mut self,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ResponseError {
        let answer = self.send(request).await;
        answer.error_code.err().expect("the heartbeat was taken")
    }

    /// Joins, and returns what the answer says to read.
    pub(crate) async fn join(&mut self) -> Partitions {
        let request = self.joining();
        self.ok(request).await.expect("who joins is told")
    }

    /// Says nothing new.
    pub(crate) async fn beat(&mut self) -> Option<Partitions> {
        let request = self.keep_alive();
        self.ok(request).await
    }

    /// Says that it reads what it was last told to, and nothing else.
    pub(crate) async fn obey(&mut self) -> Option<Partitions> {
        let request = self.owning(&self.assigned);
        self.ok(request).await
    }

    /// Says goodbye: -1 for good, -2 for a while.
    pub(crate) async fn leave(&mut self, epoch: i32) -> ConsumerGroupHeartbeatResponse {
        let request = self.keep_alive().with_member_epoch(epoch);
        self.client.send(CONSUMER_HEARTBEAT, request).await
    }
}

/// What the answer says to read; nothing if it does not say.
pub(crate) fn told(answer: &ConsumerGroupHeartbeatResponse) -> Option<Partitions> {
    let assignment = answer.assignment.as_ref()?;
    let topics = assignment.topic_partitions.iter();
    let partitions = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (topic.topic_id, *partition))
    });
    Some(partitions.collect())
}

/// Partitions as a heartbeat carries them.
pub(crate) fn topic_partitions(partitions: &Partitions) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(*topic).or_default().push(*partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicPartitions::default()
            .with_topic_id(topic)
            .with_partitions(partitions)
    });
    topics.collect()
}

/// These partitions of a topic.
pub(crate) fn of(topic: &Topic, partitions: impl IntoIterator<Item = i32>) -> Partitions {
    partitions
        .into_iter()
        .map(|partition| (topic.id, partition))
        .collect()
}

/// Two members that have shared the partitions of a topic evenly, both in the group's epoch.
pub(crate) async fn sharing(group: &str, topic: &Topic) -> (Consumer, Consumer) {
    let first = Consumer::new(group, &[topic]).await;
    let second = Consumer::new(group, &[topic]).await;
    sharing_of(first, second).await
}

/// The same with members prepared by the test.
pub(crate) async fn sharing_of(mut first: Consumer, mut second: Consumer) -> (Consumer, Consumer) {
    first.join().await;
    second.join().await;
    settle(&mut [&mut first, &mut second]).await;
    (first, second)
}

/// Has everybody do as they are told until the group is at rest.
pub(crate) async fn settle(consumers: &mut [&mut Consumer]) {
    eventually(DEADLINE, "the group to come to rest", async || {
        for consumer in consumers.iter_mut() {
            consumer.obey().await;
        }
        let first = consumers.first_mut().expect("a member");
        let described = describe(&mut first.client, &first.group).await;
        (described.group_state.as_str() == "Stable").then_some(())
    })
    .await;
}

/// The group as an administrator sees it.
pub(crate) async fn describe(client: &mut RawClient, group: &str) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    let described = only(client.send(CONSUMER_DESCRIBE, request).await.groups);
    assert_eq!(&**described.group_id, group);
    described
}

/// A topic that coordinators know. Those of Apache Kafka hear of a new topic a moment after its partitions are served.
pub(crate) async fn topic(partitions: i32) -> Topic {
    let topic = Topic::create(partitions).await;
    let mut probe = Consumer::alone(&unique("probe"), &[&topic]).await;
    eventually(DEADLINE, "coordinators to know the topic", async || {
        probe.beat().await;
        (probe.assigned == of(&topic, 0..partitions)).then_some(())
    })
    .await;
    probe.leave(-1).await;
    topic
}

/// Creates a topic that a group may be waiting for.
pub(crate) async fn create_topic(client: &mut RawClient, name: &str, partitions: i32) -> Topic {
    let request = CreateTopicsRequest::default()
        .with_topics(vec![creatable(name, partitions)])
        .with_timeout_ms(10_000);
    let created = only(client.send(7, request).await.topics);
    assert_eq!(created.error_code.err(), None);
    Topic {
        name: name.to_owned(),
        id: created.topic_id,
    }
}
