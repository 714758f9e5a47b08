//! **Produce**, key 0, versions 3-11.
//!
//! Appends one record batch to each partition. Batches are checked and their checksums computed before the state is
//! locked; under the lock a batch is copied to the end of its log, whole, as the bytes it arrived in.
//!
//! - Of two batches for one partition the last one counts.
//! - `acks` 0 has no answer: an error closes the connection, which is all that the client can notice.
//! - `acks` 1 and -1 (all) are the same while enough replicas are in sync: every replica is this process. With fewer than
//!   `min.insync.replicas` because nodes are stopped, -1 is refused.
//! - A batch that an idempotent producer sends again is answered with the offset that it got the first time.
//! - From version 10 on the wrong node says who leads (KIP-951).
//! - A transactional batch is taken only in a partition that its coordinator has in the open transaction.

use std::ops::RangeInclusive;
use std::time::Instant;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ApiKey, ProduceResponse};
use kafka_protocol::protocol::StrBytes;

use super::produce_request::{CheckedBatch, CheckedProduce, Failure};
use super::record_checks::{Inspection, Rule};
use super::{Api, Context, Outcome, leader_hint};
use crate::clock::Now;
use crate::log::BatchHeader;
use crate::state::State;
use crate::transaction::{self, Participant, ProducerIdAndEpoch, Transactions};

/// `acks` of a producer that waits for all replicas in sync.
const ALL: i16 = -1;

/// From this version on clients know TRANSACTION_ABORTABLE.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 11;

pub(super) struct Produce;

impl Api for Produce {
    const KEY: ApiKey = ApiKey::Produce;
    const VERSIONS: RangeInclusive<i16> = 3..=11;
    type Request = CheckedProduce;
    type Response = ProduceResponse;

    // ANCHOR: handle
    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut CheckedProduce,
    ) -> Outcome<ProduceResponse> {
        // The errors of a whole request are repeated in each partition.
        let accepted = request.check();
        let transactional_id = request.transactional_id.clone();
        let producer = Producer {
            acks: request.acks,
            transactional_id: transactional_id.as_ref().map_or("", |id| id),
            began: *request.began.get_or_insert(cx.now),
        };
        let mut is_done = true;
        for (name, batches) in &mut request.topics {
            let open = batches
                .iter_mut()
                .filter(|(_, batch)| batch.answer.is_none());
            for (index, batch) in open {
                let appended = accepted
                    .map_err(Failure::from)
                    .and_then(|()| append(state, cx, producer, (name, *index), batch));
                match appended {
                    Ok(Some(answer)) => batch.answer = Some(answer.with_index(*index)),
                    Ok(None) => is_done = false,
                    Err(failure) => batch.answer = Some(failed(*index, failure)),
                }
            }
        }
        if !is_done {
            return Outcome::Work;
        }
        answer(state, cx, request)
    }
    // ANCHOR_END: handle

    /// Looks at the records of the batches whose topics ask for that.
    fn work(request: &mut CheckedProduce, end: Instant) {
        let listed = &mut request.listed;
        for (name, batches) in &mut request.topics {
            for (index, batch) in batches {
                if let Some(inspection) = batch.inspection.as_mut().filter(|asked| asked.is_due()) {
                    inspection.look(&batch.bytes, name, *index, listed);
                    if Instant::now() >= end {
                        return;
                    }
                }
            }
        }
    }
}

/// What a request says of all its batches.
#[derive(Clone, Copy)]
struct Producer<'a> {
    acks: i16,
    /// Empty for none.
    transactional_id: &'a str,
    /// When it was first handled: bounds of record times do not move while somebody looks at the records.
    began: Now,
}

fn answer(state: &State, cx: &Context, request: &mut CheckedProduce) -> Outcome<ProduceResponse> {
    let topics = request.topics.iter_mut().map(|(name, batches)| {
        let answers = batches
            .iter_mut()
            .filter_map(|(_, batch)| batch.answer.take());
        TopicProduceResponse::default()
            .with_partition_responses(answers.collect())
            .with_name(name.clone())
    });
    let responses: Vec<TopicProduceResponse> = topics.collect();
    if request.acks != 0 {
        let mut response = ProduceResponse::default().with_responses(responses);
        leader_hint::add_to_produce(state, cx, &mut response);
        return Outcome::Reply(response);
    }
    let failed = responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .any(|answer| answer.error_code != 0);
    if failed {
        Outcome::Close("a batch sent with acks=0 could not be appended")
    } else {
        Outcome::Silent
    }
}

// ANCHOR: append
/// Appends a batch. None if somebody has to look at its records first.
fn append(
    state: &mut State,
    cx: &Context,
    producer: Producer<'_>,
    (topic, index): (&str, i32),
    batch: &mut CheckedBatch,
) -> Result<Option<PartitionProduceResponse>, Failure> {
    let (partition, config) = state.topics.led_by_with_config(cx.node_id, topic, index)?;
    // A topic with fewer replicas than the minimum is content with all of them (KIP-966).
    let enough = config.min_insync_replicas.min(partition.replicas.len());
    if producer.acks == ALL && partition.in_sync.len() < enough {
        let reason = "Messages are rejected since there are fewer in-sync replicas than required.";
        return Err(Failure::new(ResponseError::NotEnoughReplicas, reason));
    }
    let (size, limit) = (batch.bytes.len(), config.max_message_bytes);
    if size > limit {
        let reason = format!(
            "The record batch size is {size} bytes, more than the max.message.bytes of {limit}."
        );
        return Err(Failure::new(ResponseError::MessageTooLarge, reason));
    }
    let header = batch.checked.as_ref().map_err(Failure::clone)?;
    let log_start = partition.log.start_offset();
    if let Some(rule) = Rule::of(header, config, producer.began) {
        let (inspection, bytes) = (&mut batch.inspection, &batch.bytes);
        match Inspection::of(inspection, rule, bytes, (topic, index)) {
            Some(result) => result.map_err(|failure| failure.in_log(log_start))?,
            None => return Ok(None),
        }
    }
    // A partition in which the transaction is open needs no further look: its coordinator has it.
    if header.is_transactional() && !partition.log.has_open_transaction(header)? {
        let partition = Participant::Partition(topic.to_owned(), index);
        verify(&mut state.transactions, cx, producer, header, &partition)?;
    }
    let leader_epoch = partition.leader_epoch;
    let appended = partition
        .log
        .append(&batch.bytes, header, leader_epoch, config, cx.now)?;
    if appended.written {
        partition.wake();
    }
    Ok(Some(
        PartitionProduceResponse::default()
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time)
            .with_log_start_offset(partition.log.start_offset()),
    ))
}
// ANCHOR_END: append

/// Whether the producer of a transactional batch has the partition in its open transaction.
fn verify(
    transactions: &mut Transactions,
    cx: &Context,
    producer: Producer<'_>,
    header: &BatchHeader,
    partition: &Participant,
) -> Result<(), ResponseError> {
    let id = producer.transactional_id;
    let producer = ProducerIdAndEpoch {
        id: header.producer_id,
        epoch: header.producer_epoch,
    };
    transactions
        .verify(id, producer, partition)
        .map_err(|error| {
            transaction::error_before_abortable(error, cx.version, FIRST_VERSION_WITH_ABORTABLE)
        })
}

fn failed(partition: i32, failure: Failure) -> PartitionProduceResponse {
    let records = failure.records.into_iter().map(|(index, reason)| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(index)
            .with_batch_index_error_message(Some(StrBytes::from_string(reason)))
    });
    PartitionProduceResponse::default()
        .with_index(partition)
        .with_error_code(failure.error.code())
        .with_base_offset(-1)
        .with_log_start_offset(failure.log_start)
        .with_record_errors(records.collect())
        .with_error_message(Some(StrBytes::from_string(failure.reason)))
}
