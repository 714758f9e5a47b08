//! Producer ids and transactions.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, TopicResponse};
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, EndTxnRequest, InitProducerIdRequest, InitProducerIdResponse,
    ListTransactionsRequest, ProducerId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use uuid::Uuid;

use super::fails_as_a_whole;
use crate::fault::request::{
    NO_NAMES, Parts, Refuse, Selector, message, replace, split_list, split_topics, whole,
};

fails_as_a_whole!(EndTxnRequest, |request| (
    None,
    Some(&request.transactional_id)
));
fails_as_a_whole!(AddOffsetsToTxnRequest, |request| (
    Some(&request.group_id),
    Some(&request.transactional_id)
));
fails_as_a_whole!(ListTransactionsRequest, |_| NO_NAMES);

impl Refuse for InitProducerIdRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        let transactional_id = self.transactional_id.as_ref().map(|id| id.as_str());
        whole(self, selector, None, transactional_id)
    }

    fn refused(&self, error: ResponseError, _: i16) -> InitProducerIdResponse {
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }
}

impl Refuse for AddPartitionsToTxnRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            (None, Some(&self.v3_and_below_transactional_id)),
            |request| &mut request.v3_and_below_topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> AddPartitionsToTxnResponse {
        let topics = self.v3_and_below_topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|index| {
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(*index)
                    .with_partition_error_code(error.code())
            });
            AddPartitionsToTxnTopicResult::default()
                .with_name(topic.name.clone())
                .with_results_by_partition(partitions.collect())
        });
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
    }

    fn merge(answer: &mut AddPartitionsToTxnResponse, refused: AddPartitionsToTxnResponse) {
        replace(
            &mut answer.results_by_topic_v3_and_below,
            refused.results_by_topic_v3_and_below,
            |topic| topic.name.clone(),
        );
    }
}

impl Refuse for TxnOffsetCommitRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            (Some(&self.group_id), Some(&self.transactional_id)),
            |request| &mut request.topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> TxnOffsetCommitResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error.code())
            });
            TxnOffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        TxnOffsetCommitResponse::default().with_topics(topics.collect())
    }

    fn merge(answer: &mut TxnOffsetCommitResponse, refused: TxnOffsetCommitResponse) {
        replace(&mut answer.topics, refused.topics, |topic| {
            topic.name.clone()
        });
    }
}

impl Refuse for DescribeProducersRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> DescribeProducersResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| {
                PartitionResponse::default()
                    .with_partition_index(*index)
                    .with_error_code(error.code())
                    .with_error_message(message(error))
            });
            TopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        DescribeProducersResponse::default().with_topics(topics.collect())
    }

    fn merge(answer: &mut DescribeProducersResponse, refused: DescribeProducersResponse) {
        replace(&mut answer.topics, refused.topics, |topic| {
            topic.name.clone()
        });
    }
}

impl Refuse for DescribeTransactionsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        if selector.topic.is_some() {
            return None;
        }
        split_list(
            self,
            |request| &mut request.transactional_ids,
            |id| selector.selects(None, Some(id)),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> DescribeTransactionsResponse {
        let states = self.transactional_ids.iter().map(|id| {
            TransactionState::default()
                .with_transactional_id(id.clone())
                .with_error_code(error.code())
        });
        DescribeTransactionsResponse::default().with_transaction_states(states.collect())
    }

    fn merge(answer: &mut DescribeTransactionsResponse, refused: DescribeTransactionsResponse) {
        replace(
            &mut answer.transaction_states,
            refused.transaction_states,
            |state| state.transactional_id.clone(),
        );
    }
}
