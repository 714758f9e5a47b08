//! **AddPartitionsToTxn**, key 24, versions 0-3.
//!
//! Adds partitions to the producer's transaction, before it writes to them. The first ones begin the transaction.
//!
//! - All or none: one partition that does not exist keeps out the others, which are answered OPERATION_NOT_ATTEMPTED.
//! - Left out: version 4 and later, with which brokers ask each other and clients of version 2 of the protocol (KIP-890).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey};

use super::{Api, Context, Outcome, code};
use crate::state::State;
use crate::transaction::{self, Participant, ProducerIdAndEpoch};

/// From this version on clients know PRODUCER_FENCED.
const FIRST_VERSION_WITH_FENCED: i16 = 2;

pub(super) struct AddPartitionsToTxn;

impl Api for AddPartitionsToTxn {
    const KEY: ApiKey = ApiKey::AddPartitionsToTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    type Request = AddPartitionsToTxnRequest;
    type Response = AddPartitionsToTxnResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut AddPartitionsToTxnRequest,
    ) -> Outcome<AddPartitionsToTxnResponse> {
        let topics = &request.v3_and_below_topics;
        let all_exist = topics.iter().all(|topic| {
            let mut partitions = topic.partitions.iter();
            partitions.all(|index| state.topics.has(&topic.name, *index))
        });
        let added = match all_exist {
            true => add(state, cx, request),
            false => Err(ResponseError::OperationNotAttempted),
        };
        let topics = topics.iter().map(|topic| {
            let results = topic.partitions.iter().map(|index| {
                let result = match state.topics.has(&topic.name, *index) {
                    true => added,
                    false => Err(ResponseError::UnknownTopicOrPartition),
                };
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(*index)
                    .with_partition_error_code(code(&result))
            });
            AddPartitionsToTxnTopicResult::default()
                .with_results_by_partition(results.collect())
                .with_name(topic.name.clone())
        });
        let topics = topics.collect();
        Outcome::Reply(
            AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics),
        )
    }
}

fn add(
    state: &mut State,
    cx: &Context,
    request: &AddPartitionsToTxnRequest,
) -> Result<(), ResponseError> {
    let id = &request.v3_and_below_transactional_id;
    transaction::check_coordinator(&state.cluster, cx, id)?;
    let producer = ProducerIdAndEpoch {
        id: request.v3_and_below_producer_id.0,
        epoch: request.v3_and_below_producer_epoch,
    };
    let partitions = request.v3_and_below_topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|index| Participant::Partition(topic.name.to_string(), *index))
    });
    state
        .transactions
        .add(id, producer, partitions, cx.now, &mut state.timers)
        .map_err(|error| {
            transaction::error_before_fenced(error, cx.version, FIRST_VERSION_WITH_FENCED)
        })
}
