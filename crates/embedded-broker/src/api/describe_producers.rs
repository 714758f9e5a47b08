//! **DescribeProducers**, key 61, version 0.
//!
//! Shows which idempotent and transactional producers wrote to a partition, and who has a transaction open there (KIP-664).
//! `kafka-transactions.sh` finds hanging transactions with it.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{
    ApiKey, DescribeProducersRequest, DescribeProducersResponse, ProducerId,
};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::log::ActiveProducer;
use crate::state::State;
use crate::topic;

/// What stands for no open transaction.
const NOT_OPEN: i64 = -1;

pub(super) struct DescribeProducers;

impl Api for DescribeProducers {
    const KEY: ApiKey = ApiKey::DescribeProducers;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Request = DescribeProducersRequest;
    type Response = DescribeProducersResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut DescribeProducersRequest,
    ) -> Outcome<DescribeProducersResponse> {
        let mut described = HashSet::new();
        let topics = request.topics.iter().map(|topic| {
            let indexes = topic.partition_indexes.iter();
            let indexes = indexes.filter(|index| described.insert((&topic.name, **index)));
            let partitions = indexes.map(|index| {
                let answer = PartitionResponse::default().with_partition_index(*index);
                match describe(state, cx, &topic.name, *index) {
                    Ok(producers) => answer.with_active_producers(producers),
                    Err((error, reason)) => answer
                        .with_error_code(error.code())
                        .with_error_message(Some(StrBytes::from_string(reason))),
                }
            });
            TopicResponse::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name.clone())
        });
        let topics = topics.collect();
        Outcome::Reply(DescribeProducersResponse::default().with_topics(topics))
    }
}

fn describe(
    state: &mut State,
    cx: &Context,
    topic: &str,
    index: i32,
) -> Result<Vec<ProducerState>, (ResponseError, String)> {
    topic::check_name(topic).map_err(|reason| (ResponseError::InvalidTopicException, reason))?;
    let partition = state
        .topics
        .led_by(cx.node_id, topic, index)
        .map_err(|error| (error, error.to_string()))?;
    Ok(partition.log.active_producers().map(producer).collect())
}

fn producer(producer: ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch.into())
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.open_since.unwrap_or(NOT_OPEN))
}
