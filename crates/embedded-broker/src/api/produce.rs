//! **Produce**, key 0, versions 3-11.
//!
//! Appends one record batch to each partition. Batches are checked and their checksums computed before the state is
//! locked; under the lock a batch is copied to the end of its log, whole, as the bytes it arrived in.
//!
//! - `acks` 0 has no answer: an error closes the connection, which is all that the client can notice.
//! - `acks` 1 and -1 (all) are the same while enough replicas are in sync: every replica is this process. With fewer than
//!   `min.insync.replicas` because nodes are stopped, -1 is refused.
//! - A batch that an idempotent producer sends again is answered with the offset that it got the first time.
//! - From version 10 on the wrong node says who leads (KIP-951).
//! - A transactional batch is taken only in a partition that its coordinator has in the open transaction.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    ApiKey, ProduceRequest, ProduceResponse, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome, leader_hint, record_checks};
use crate::log::{BatchHeader, Codec};
use crate::net::wire::FromWire;
use crate::state::State;
use crate::transaction::{self, Participant, ProducerIdAndEpoch, Transactions};

/// Clients that speak an older version cannot read zstd (KIP-110).
const FIRST_VERSION_WITH_ZSTD: i16 = 7;

/// `acks` of a producer that waits for all replicas in sync.
const ALL: i16 = -1;

/// From this version on clients know TRANSACTION_ABORTABLE.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 11;

pub(super) struct Produce;

/// A produce request whose batches have been checked.
pub(super) struct CheckedProduce {
    acks: i16,
    transactional_id: Option<TransactionalId>,
    topics: Vec<(TopicName, Vec<CheckedBatch>)>,
}

struct CheckedBatch {
    partition: i32,
    /// As far as they are the batch, if it is one.
    bytes: Bytes,
    checked: Result<BatchHeader, Failure>,
}

/// Why a batch was not appended.
#[derive(Clone)]
pub(super) struct Failure {
    error: ResponseError,
    /// For a person.
    reason: String,
    /// The records at fault, by their index in the batch, each with its own reason.
    records: Vec<(i32, String)>,
    /// Where the log starts, or -1 if nobody looked.
    log_start: i64,
}

impl Failure {
    pub(super) fn new(error: ResponseError, reason: impl Into<String>) -> Self {
        Self::of_records(error, reason, Vec::new())
    }

    /// A failure for which these records are to blame.
    pub(super) fn of_records(
        error: ResponseError,
        reason: impl Into<String>,
        records: Vec<(i32, String)>,
    ) -> Self {
        Self {
            error,
            reason: reason.into(),
            records,
            log_start: -1,
        }
    }

    /// The same, in the log that starts there.
    fn in_log(self, log_start: i64) -> Self {
        Self { log_start, ..self }
    }
}

impl From<ResponseError> for Failure {
    fn from(error: ResponseError) -> Self {
        Self::new(error, error.to_string())
    }
}

impl FromWire for CheckedProduce {
    fn from_wire(body: Bytes, version: i16) -> anyhow::Result<Self> {
        let request = ProduceRequest::from_wire(body, version)?;
        let topics = request.topic_data.into_iter().map(|topic| {
            let batches = topic.partition_data.into_iter().map(|data| {
                let mut bytes = data.records.unwrap_or_default();
                let checked = check(&bytes, version);
                if let Ok(header) = &checked {
                    bytes.truncate(header.length());
                }
                CheckedBatch {
                    partition: data.index,
                    bytes,
                    checked,
                }
            });
            (topic.name, batches.collect())
        });
        Ok(Self {
            acks: request.acks,
            transactional_id: request.transactional_id,
            topics: topics.collect(),
        })
    }
}

/// The checks that need no more than the batch itself.
fn check(bytes: &Bytes, version: i16) -> Result<BatchHeader, Failure> {
    let header =
        BatchHeader::check(bytes).map_err(|(error, reason)| Failure::new(error, reason))?;
    if header.codec() == Some(Codec::Zstd) && version < FIRST_VERSION_WITH_ZSTD {
        let reason = "zstd needs Produce version 7 or later";
        return Err(Failure::new(
            ResponseError::UnsupportedCompressionType,
            reason,
        ));
    }
    Ok(header)
}

impl Api for Produce {
    const KEY: ApiKey = ApiKey::Produce;
    const VERSIONS: RangeInclusive<i16> = 3..=11;
    type Request = CheckedProduce;
    type Response = ProduceResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut CheckedProduce,
    ) -> Outcome<ProduceResponse> {
        let acks = request.acks;
        // The errors of a whole request are repeated in each partition.
        let accepted = request.check();
        let responses: Vec<TopicProduceResponse> = request
            .topics
            .iter()
            .map(|(name, batches)| {
                let partitions = batches.iter().map(|batch| {
                    let appended = accepted
                        .map_err(Failure::from)
                        .and_then(|()| append(state, cx, request, name, batch));
                    match appended {
                        Ok(appended) => appended.with_index(batch.partition),
                        Err(failure) => failed(batch.partition, failure),
                    }
                });
                TopicProduceResponse::default()
                    .with_partition_responses(partitions.collect())
                    .with_name(name.clone())
            })
            .collect();
        if acks != 0 {
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
}

impl CheckedProduce {
    /// Whether anything of the request can be taken.
    fn check(&self) -> Result<(), ResponseError> {
        if !(-1..=1).contains(&self.acks) {
            return Err(ResponseError::InvalidRequiredAcks);
        }
        let mut batches = self.topics.iter().flat_map(|(_, batches)| batches);
        let transactional = |batch: &CheckedBatch| {
            batch
                .checked
                .as_ref()
                .is_ok_and(BatchHeader::is_transactional)
        };
        // Nobody may write transactionally without saying in whose name.
        match self.transactional_id.is_none() && batches.any(transactional) {
            true => Err(ResponseError::TransactionalIdAuthorizationFailed),
            false => Ok(()),
        }
    }
}

fn append(
    state: &mut State,
    cx: &Context,
    request: &CheckedProduce,
    topic: &str,
    batch: &CheckedBatch,
) -> Result<PartitionProduceResponse, Failure> {
    let (partition, config) =
        state
            .topics
            .led_by_with_config(cx.node_id, topic, batch.partition)?;
    // A topic with fewer replicas than the minimum is content with all of them (KIP-966).
    let enough = config.min_insync_replicas.min(partition.replicas.len());
    if request.acks == ALL && partition.in_sync.len() < enough {
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
    record_checks::check(
        header,
        &batch.bytes,
        (topic, batch.partition),
        config,
        cx.now,
    )
    .map_err(|failure| failure.in_log(log_start))?;
    // A partition in which the transaction is open needs no further look: its coordinator has it.
    if header.is_transactional() && !partition.log.has_open_transaction(header)? {
        let partition = Participant::Partition(topic.to_owned(), batch.partition);
        verify(&mut state.transactions, cx, request, header, &partition)?;
    }
    let leader_epoch = partition.leader_epoch;
    let appended = partition
        .log
        .append(&batch.bytes, header, leader_epoch, config, cx.now)?;
    if appended.written {
        partition.wake();
    }
    Ok(PartitionProduceResponse::default()
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.append_time)
        .with_log_start_offset(partition.log.start_offset()))
}

/// Whether the producer of a transactional batch has the partition in its open transaction.
fn verify(
    transactions: &mut Transactions,
    cx: &Context,
    request: &CheckedProduce,
    header: &BatchHeader,
    partition: &Participant,
) -> Result<(), ResponseError> {
    let id = request.transactional_id.as_ref().map_or("", |id| id);
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
