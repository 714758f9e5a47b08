//! What one request names twice.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteRecordsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
    TopicName,
};
use uuid::Uuid;

use crate::support::broker::unique;
use crate::support::group::Member;
use crate::support::raw::RawClient;
use crate::support::records::{Batch, decode, values};
use crate::support::topic::{
    EARLIEST, FETCH_BY_NAME, PRODUCE, Topic, append, fetch, fetch_partition, list_offset, only,
    topic_name,
};

fn by_name(topic: &Topic) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic.topic_name()))
}

fn by_id(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default()
        .with_topic_id(id)
        .with_name(None)
}

/// The error and name of each topic in the answer.
async fn described(
    client: &mut RawClient,
    topics: Vec<MetadataRequestTopic>,
) -> Vec<(Option<ResponseError>, Option<TopicName>)> {
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(topics));
    let topics = client.send(12, request).await.topics.into_iter();
    topics
        .map(|topic| (topic.error_code.err(), topic.name))
        .collect()
}

#[tokio::test]
async fn metadata_describes_a_topic_once() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let found = (None, Some(topic.topic_name()));
    for twice in [by_name(&topic), by_id(topic.id)] {
        let answer = described(&mut client, vec![twice.clone(), twice]).await;
        assert_eq!(answer, std::slice::from_ref(&found));
    }
    let absent = "named-twice-and-absent";
    let unknown = MetadataRequestTopic::default().with_name(Some(topic_name(absent)));
    let answer = described(&mut client, vec![unknown.clone(), unknown]).await;
    let error = Some(ResponseError::UnknownTopicOrPartition);
    assert_eq!(answer, [(error, Some(topic_name(absent)))]);
}

#[tokio::test]
async fn metadata_follows_ids_where_there_are_any() {
    let (topic, other) = (Topic::create(1).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    let found = (None, Some(topic.topic_name()));
    let answer = described(&mut client, vec![by_name(&other), by_id(topic.id)]).await;
    assert_eq!(
        answer,
        std::slice::from_ref(&found),
        "the name does not count"
    );
    let both = by_name(&other).with_topic_id(topic.id);
    let answer = described(&mut client, vec![both]).await;
    assert_eq!(answer, std::slice::from_ref(&found));
    let unknown = by_id(Uuid::from_u128(77));
    let asked = vec![unknown.clone(), unknown, by_id(topic.id)];
    let mut answer = described(&mut client, asked).await;
    answer.sort_by_key(|(error, _)| error.is_some());
    let error = Some(ResponseError::UnknownTopicId);
    assert_eq!(answer, [found, (error, None)]);
}

#[tokio::test]
async fn a_fetch_reads_a_partition_once_from_where_it_is_named_last() {
    let (topic, other) = (Topic::create(2).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    for value in ["a", "b"] {
        append(&mut client, &topic, 0, &Batch::of([value])).await;
    }
    let asked = |topic: &Topic, partitions| {
        FetchTopic::default()
            .with_topic(topic.topic_name())
            .with_partitions(partitions)
    };
    let request = FetchRequest::default()
        .with_session_epoch(-1)
        .with_topics(vec![
            asked(&topic, vec![fetch_partition(0, 2), fetch_partition(0, 0)]),
            asked(&other, vec![fetch_partition(0, 0)]),
            asked(&topic, vec![fetch_partition(1, 0), fetch_partition(0, 1)]),
            asked(&other, vec![]),
        ]);
    let answer = client.send(FETCH_BY_NAME, request).await;
    let found: Vec<_> = answer
        .responses
        .into_iter()
        .map(|topic| {
            let partitions = topic.partitions.into_iter();
            let partitions = partitions.map(|partition| {
                let records = decode(partition.records);
                (partition.partition_index, values(&records))
            });
            (topic.topic, partitions.collect::<Vec<_>>())
        })
        .collect();
    let expected = [
        (topic.topic_name(), vec![(0, vec!["b".to_owned()])]),
        (other.topic_name(), vec![(0, vec![])]),
        (topic.topic_name(), vec![(1, vec![])]),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn records_are_deleted_up_to_where_it_is_said_last() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["a", "b", "c", "d"])).await;
    let up_to = |offset| DeleteRecordsPartition::default().with_offset(offset);
    let about = |partitions| {
        DeleteRecordsTopic::default()
            .with_name(topic.topic_name())
            .with_partitions(partitions)
    };
    let request = DeleteRecordsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![about(vec![up_to(1), up_to(4)]), about(vec![up_to(2)])]);
    let answer = only(only(client.send(2, request).await.topics).partitions);
    assert_eq!((answer.error_code.err(), answer.low_watermark), (None, 2));
    let start = list_offset(&mut client, &topic, 0, EARLIEST).await;
    assert_eq!(start.offset, 2);
}

#[tokio::test]
async fn a_member_gets_what_the_leader_assigned_to_it_last() {
    let mut leader = Member::stranger(&unique("assigned-twice")).await;
    leader.introduce().await;
    assert_eq!(leader.join().await.error_code.err(), None);
    let id = leader.id.clone();
    let plan = [(id.clone(), "first"), (id, "last")];
    let synced = leader.sync(&plan).await;
    assert_eq!(synced.error_code.err(), None);
    assert_eq!(&synced.assignment[..], b"last");
}

#[tokio::test]
async fn an_offset_that_is_asked_for_twice_is_refused() {
    let (topic, other) = (Topic::create(3).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    let about = |topic: &Topic, partitions: &[i32]| {
        let partitions = partitions.iter().map(|index| {
            ListOffsetsPartition::default()
                .with_partition_index(*index)
                .with_current_leader_epoch(-1)
                .with_timestamp(EARLIEST)
        });
        ListOffsetsTopic::default()
            .with_name(topic.topic_name())
            .with_partitions(partitions.collect())
    };
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![
            about(&topic, &[0]),
            about(&other, &[0]),
            about(&topic, &[1, 0, 2]),
            about(&other, &[]),
        ]);
    let answer = client.send(8, request).await.topics.into_iter();
    let mut answers: Vec<_> = answer
        .map(|topic| {
            let partitions = topic.partitions.into_iter();
            let mut partitions: Vec<_> = partitions
                .map(|partition| (partition.partition_index, partition.error_code.err()))
                .collect();
            partitions.sort_by_key(|(index, _)| *index);
            (topic.name.to_string(), partitions)
        })
        .collect();
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    let twice = Some(ResponseError::InvalidRequest);
    let mut expected = vec![
        (topic.name, vec![(0, twice), (1, None), (2, None)]),
        (other.name, vec![(0, None)]),
    ];
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn of_two_batches_for_a_partition_the_last_is_appended() {
    let (topic, other) = (Topic::create(2).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    let data = |index, value| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(Batch::of([value]).encode()))
    };
    let to = |topic: &Topic, data| {
        TopicProduceData::default()
            .with_name(topic.topic_name())
            .with_partition_data(data)
    };
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![
            to(&topic, vec![data(0, "first"), data(1, "one")]),
            to(&other, vec![data(0, "other")]),
            to(&topic, vec![data(0, "last")]),
        ]);
    let answer = client.send(PRODUCE, request).await.responses;
    let mut answers: Vec<_> = answer
        .into_iter()
        .flat_map(|topic| {
            let name = topic.name.to_string();
            let partitions = topic.partition_responses.into_iter();
            partitions.map(move |partition| {
                let answer = (partition.error_code.err(), partition.base_offset);
                (name.clone(), partition.index, answer)
            })
        })
        .collect();
    answers.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    let mut expected = vec![
        (topic.name.clone(), 0, (None, 0)),
        (topic.name.clone(), 1, (None, 0)),
        (other.name.clone(), 0, (None, 0)),
    ];
    expected.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    assert_eq!(answers, expected);
    let records = decode(fetch(&mut client, &topic, 0, 0).await.records);
    assert_eq!(values(&records), ["last"]);
}
