//! Writing, reading and looking up records: each partition has an error of its own.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    BrokerId, DeleteRecordsRequest, DeleteRecordsResponse, FetchRequest, FetchResponse,
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse,
};
use uuid::Uuid;

use crate::fault::request::{NO_NAMES, Parts, Refuse, Selector, message, replace, split_topics};

impl Refuse for ProduceRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        let transactional_id = self.transactional_id.as_ref().map(|id| id.as_str());
        split_topics(
            self,
            selector,
            (None, transactional_id),
            |request| &mut request.topic_data,
            |topic| (&topic.name, topic.topic_id),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> ProduceResponse {
        let topics = self.topic_data.iter().map(|topic| {
            let partitions = topic.partition_data.iter().map(|partition| {
                PartitionProduceResponse::default()
                    .with_index(partition.index)
                    .with_error_code(error.code())
                    .with_error_message(message(error))
                    .with_base_offset(-1)
                    .with_log_append_time_ms(-1)
                    .with_log_start_offset(-1)
            });
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_topic_id(topic.topic_id)
                .with_partition_responses(partitions.collect())
        });
        ProduceResponse::default().with_responses(topics.collect())
    }

    fn merge(answer: &mut ProduceResponse, refused: ProduceResponse) {
        replace(&mut answer.responses, refused.responses, |topic| {
            (topic.name.clone(), topic.topic_id)
        });
    }

    fn is_answered(&self) -> bool {
        self.acks != 0
    }
}

/// What is wrong with a fetch session is not wrong with a partition (KIP-227).
fn concerns_session(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::FetchSessionIdNotFound
            | ResponseError::InvalidFetchSessionEpoch
            | ResponseError::FetchSessionTopicIdError
    )
}

/// The first version of Fetch with sessions, and an error for all of it.
const FIRST_FETCH_WITH_SESSIONS: i16 = 7;

impl Refuse for FetchRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| (&topic.topic, topic.topic_id),
        )
    }

    fn refused(&self, error: ResponseError, version: i16) -> FetchResponse {
        if version >= FIRST_FETCH_WITH_SESSIONS && concerns_session(error) {
            return FetchResponse::default().with_error_code(error.code());
        }
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                PartitionData::default()
                    .with_partition_index(partition.partition)
                    .with_error_code(error.code())
                    .with_high_watermark(-1)
                    .with_last_stable_offset(-1)
                    .with_log_start_offset(-1)
                    .with_preferred_read_replica(BrokerId(-1))
                    // Empty and never null: librdkafka refuses a length of -1.
                    .with_records(Some(Bytes::new()))
            });
            FetchableTopicResponse::default()
                .with_topic(topic.topic.clone())
                .with_topic_id(topic.topic_id)
                .with_partitions(partitions.collect())
        });
        FetchResponse::default().with_responses(topics.collect())
    }

    fn merge(answer: &mut FetchResponse, refused: FetchResponse) {
        if refused.error_code != 0 {
            *answer = refused;
            return;
        }
        replace(&mut answer.responses, refused.responses, |topic| {
            (topic.topic.clone(), topic.topic_id)
        });
    }
}

impl Refuse for ListOffsetsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> ListOffsetsResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error.code())
                    .with_timestamp(-1)
                    .with_offset(-1)
                    .with_leader_epoch(-1)
            });
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    fn merge(answer: &mut ListOffsetsResponse, refused: ListOffsetsResponse) {
        replace(&mut answer.topics, refused.topics, |topic| {
            topic.name.clone()
        });
    }
}

impl Refuse for OffsetForLeaderEpochRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| (&topic.topic, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> OffsetForLeaderEpochResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                EpochEndOffset::default()
                    .with_partition(partition.partition)
                    .with_error_code(error.code())
                    .with_leader_epoch(-1)
                    .with_end_offset(-1)
            });
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.collect())
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }

    fn merge(answer: &mut OffsetForLeaderEpochResponse, refused: OffsetForLeaderEpochResponse) {
        replace(&mut answer.topics, refused.topics, |topic| {
            topic.topic.clone()
        });
    }
}

impl Refuse for DeleteRecordsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> DeleteRecordsResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error.code())
                    .with_low_watermark(-1)
            });
            DeleteRecordsTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        DeleteRecordsResponse::default().with_topics(topics.collect())
    }

    fn merge(answer: &mut DeleteRecordsResponse, refused: DeleteRecordsResponse) {
        replace(&mut answer.topics, refused.topics, |topic| {
            topic.name.clone()
        });
    }
}
