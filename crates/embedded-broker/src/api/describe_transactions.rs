//! **DescribeTransactions**, key 65, version 0.
//!
//! Shows how far the transaction of each transactional id is, and which partitions it has (KIP-664).
//!
//! - Apache Kafka names the partition of `__consumer_offsets` that keeps a group's offsets; there is no such topic here, so
//!   groups are not shown.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    ApiKey, DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::once::each_once;
use super::{Api, Context, Outcome};
use crate::state::State;
use crate::transaction::{self, Participant, TransactionalId};

pub(super) struct DescribeTransactions;

impl Api for DescribeTransactions {
    const KEY: ApiKey = ApiKey::DescribeTransactions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Request = DescribeTransactionsRequest;
    type Response = DescribeTransactionsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut DescribeTransactionsRequest,
    ) -> Outcome<DescribeTransactionsResponse> {
        let states = each_once(&request.transactional_ids, |id| id).map(|id| {
            let answer = match find(state, cx, id) {
                Ok(known) => describe(known),
                Err(error) => TransactionState::default().with_error_code(error.code()),
            };
            answer.with_transactional_id(id.clone())
        });
        let states = states.collect();
        Outcome::Reply(DescribeTransactionsResponse::default().with_transaction_states(states))
    }
}

fn find<'a>(
    state: &'a State,
    cx: &Context,
    id: &str,
) -> Result<&'a TransactionalId, ResponseError> {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    transaction::check_coordinator(&state.cluster, cx, id)?;
    let known = state.transactions.get(id);
    known.ok_or(ResponseError::TransactionalIdNotFound)
}

fn describe(known: &TransactionalId) -> TransactionState {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for participant in known.participants() {
        if let Participant::Partition(topic, index) = participant {
            by_topic.entry(topic).or_default().push(*index);
        }
    }
    let topics = by_topic.into_iter().map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions)
    });
    TransactionState::default()
        .with_transaction_state(StrBytes::from_static_str(known.phase().name()))
        .with_transaction_timeout_ms(known.timeout_ms())
        .with_transaction_start_time_ms(known.started_ms())
        .with_producer_id(ProducerId(known.producer().id))
        .with_producer_epoch(known.producer().epoch)
        .with_topics(topics.collect())
}
