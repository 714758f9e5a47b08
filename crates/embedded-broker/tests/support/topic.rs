//! Topics of a test's own, and the plain way to write to and read from them with frames.

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    CreateTopicsRequest, FetchRequest, FetchResponse, ListOffsetsRequest, ProduceRequest, TopicName,
};
use uuid::Uuid;

use super::broker::unique;
use super::raw::RawClient;
use super::records::Batch;
use super::wait::{DEADLINE, eventually};

/// ListOffsets: the offset after the last record.
pub(crate) const LATEST: i64 = -1;
/// ListOffsets: the first offset still there.
pub(crate) const EARLIEST: i64 = -2;
/// The newest version of Fetch that names topics instead of giving their ids.
pub(crate) const FETCH_BY_NAME: i16 = 12;
/// The newest version of Produce in use here.
pub(crate) const PRODUCE: i16 = 11;

/// A topic created for one test.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
}

impl Topic {
    /// Creates a topic and waits until it can be written and read.
    pub(crate) async fn create(partitions: i32) -> Self {
        Self::create_with(partitions, &[]).await
    }

    /// The same, with settings of its own.
    pub(crate) async fn create_with(
        partitions: i32,
        configs: &[(&'static str, &'static str)],
    ) -> Self {
        let name = unique("topic");
        let mut client = RawClient::connect().await;
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name((*key).into())
                .with_value(Some((*value).into()))
        });
        let creatable = creatable(&name, partitions).with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![creatable])
            .with_timeout_ms(10_000);
        let result = only(client.send(7, request).await.topics);
        assert_eq!(
            result.error_code.err(),
            None,
            "create {name}: {:?}",
            result.error_message
        );
        let topic = Self {
            name,
            id: result.topic_id,
        };
        topic.wait_until_served(&mut client, partitions).await;
        topic
    }

    /// Apache Kafka answers CreateTopics when its controller has decided: the broker may serve the partitions a moment later.
    async fn wait_until_served(&self, client: &mut RawClient, partitions: i32) {
        for partition in 0..partitions {
            eventually(DEADLINE, "a leader for the new topic", async || {
                let answer = list_offset(client, self, partition, EARLIEST).await;
                (answer.error_code == 0).then_some(())
            })
            .await;
        }
    }

    /// As requests carry it.
    pub(crate) fn topic_name(&self) -> TopicName {
        topic_name(&self.name)
    }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(name.to_owned().into())
}

/// A topic to be created with one replica.
pub(crate) fn creatable(name: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
}

/// The one element of `items`.
pub(crate) fn only<T: std::fmt::Debug>(mut items: Vec<T>) -> T {
    assert_eq!(items.len(), 1, "exactly one was expected: {items:?}");
    items.remove(0)
}

/// Produce to one partition, acknowledged by all replicas.
pub(crate) fn produce_request(topic: &Topic, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(topic.topic_name())
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

/// Sends `records` as they are and returns the answer for their partition.
pub(crate) async fn produce(
    client: &mut RawClient,
    topic: &Topic,
    partition: i32,
    records: Bytes,
) -> PartitionProduceResponse {
    let response = client
        .send(PRODUCE, produce_request(topic, partition, records))
        .await;
    only(only(response.responses).partition_responses)
}

/// Sends `batch`, which must be taken, and returns the offset of its first record.
pub(crate) async fn append(
    client: &mut RawClient,
    topic: &Topic,
    partition: i32,
    batch: &Batch,
) -> i64 {
    let answer = produce(client, topic, partition, batch.encode()).await;
    assert_eq!(
        answer.error_code.err(),
        None,
        "append to {}: {:?}",
        topic.name,
        answer.error_message
    );
    answer.base_offset
}

/// Sends `batch`, which must be refused, and returns why.
pub(crate) async fn refused(client: &mut RawClient, topic: &Topic, batch: Bytes) -> ResponseError {
    let answer = produce(client, topic, 0, batch).await;
    answer.error_code.err().expect("the batch was taken")
}

/// A partition to fetch from `offset`, up to 1 MiB.
pub(crate) fn fetch_partition(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
}

/// A fetch outside any session, answered at once.
pub(crate) fn fetch_request(topic: &Topic, partitions: Vec<FetchPartition>) -> FetchRequest {
    let topic = FetchTopic::default()
        .with_topic(topic.topic_name())
        .with_partitions(partitions);
    FetchRequest::default()
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// The same, naming the topic by its id as version 13 and later do.
pub(crate) fn fetch_request_by_id(topic: &Topic, partitions: Vec<FetchPartition>) -> FetchRequest {
    let topic = FetchTopic::default()
        .with_topic_id(topic.id)
        .with_partitions(partitions);
    FetchRequest::default()
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// What there is from `offset`, without waiting.
pub(crate) async fn fetch(
    client: &mut RawClient,
    topic: &Topic,
    partition: i32,
    offset: i64,
) -> PartitionData {
    let request = fetch_request(topic, vec![fetch_partition(partition, offset)]);
    fetched(client.send(FETCH_BY_NAME, request).await)
}

/// The one partition in the answer.
pub(crate) fn fetched(response: FetchResponse) -> PartitionData {
    assert_eq!(response.error_code.err(), None, "of the whole fetch");
    only(only(response.responses).partitions)
}

/// A question for one partition's offset.
pub(crate) fn list_offsets_request(
    topic: &Topic,
    partition: i32,
    timestamp: i64,
) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![partition]);
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic])
}

/// Asks for the offset at `timestamp`, [`LATEST`] or [`EARLIEST`].
pub(crate) async fn list_offset(
    client: &mut RawClient,
    topic: &Topic,
    partition: i32,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let response = client
        .send(8, list_offsets_request(topic, partition, timestamp))
        .await;
    only(only(response.topics).partitions)
}
