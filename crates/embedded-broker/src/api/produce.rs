//! **Produce**, key 0, versions 3-11.
//!
//! Appends one record batch to each partition. Batches are checked and their checksums computed before the state is
//! locked; under the lock a batch is copied to the end of its log, whole, as the bytes it arrived in.
//!
//! - `acks` 0 has no answer: an error closes the connection, which is all that the client can notice.
//! - `acks` 1 and -1 (all) are the same here: every replica is this process.
//! - A batch that an idempotent producer sends again is answered with the offset that it got the first time.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::log::BatchHeader;
use crate::net::wire::FromWire;
use crate::state::State;

/// `max.message.bytes`, as in Apache Kafka: 1 MiB and the 12 bytes in front of the part that a batch's length counts.
const MAX_MESSAGE_BYTES: usize = 1_048_588;

pub(super) struct Produce;

/// A produce request whose batches have been checked.
pub(super) struct CheckedProduce {
    acks: i16,
    topics: Vec<(TopicName, Vec<CheckedBatch>)>,
}

struct CheckedBatch {
    partition: i32,
    bytes: Bytes,
    checked: Result<BatchHeader, Failure>,
}

/// Why a batch was not appended: an error and a reason for a person.
type Failure = (ResponseError, String);

impl FromWire for CheckedProduce {
    fn from_wire(body: Bytes, version: i16) -> anyhow::Result<Self> {
        let request = ProduceRequest::from_wire(body, version)?;
        let topics = request.topic_data.into_iter().map(|topic| {
            let batches = topic.partition_data.into_iter().map(|data| {
                let bytes = data.records.unwrap_or_default();
                CheckedBatch {
                    partition: data.index,
                    checked: check(&bytes),
                    bytes,
                }
            });
            (topic.name, batches.collect())
        });
        Ok(Self {
            acks: request.acks,
            topics: topics.collect(),
        })
    }
}

/// The checks that need no more than the batch itself.
fn check(bytes: &Bytes) -> Result<BatchHeader, Failure> {
    BatchHeader::check(bytes).map_err(|(error, reason)| (error, reason.to_owned()))
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
        let responses: Vec<TopicProduceResponse> = request
            .topics
            .iter()
            .map(|(name, batches)| {
                let partitions =
                    batches
                        .iter()
                        .map(|batch| match append(state, cx, acks, name, batch) {
                            Ok(appended) => appended.with_index(batch.partition),
                            Err(failure) => failed(batch.partition, failure),
                        });
                TopicProduceResponse::default()
                    .with_partition_responses(partitions.collect())
                    .with_name(name.clone())
            })
            .collect();
        if acks != 0 {
            return Outcome::Reply(ProduceResponse::default().with_responses(responses));
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

fn append(
    state: &mut State,
    cx: &Context,
    acks: i16,
    topic: &str,
    batch: &CheckedBatch,
) -> Result<PartitionProduceResponse, Failure> {
    let plain = |error: ResponseError| (error, error.to_string());
    if !(-1..=1).contains(&acks) {
        return Err(plain(ResponseError::InvalidRequiredAcks));
    }
    let (partition, config) = state
        .topics
        .led_by_with_config(cx.node_id, topic, batch.partition)
        .map_err(plain)?;
    if batch.bytes.len() > MAX_MESSAGE_BYTES {
        let size = batch.bytes.len();
        let reason = format!(
            "The record batch size is {size} bytes, more than the max.message.bytes of {MAX_MESSAGE_BYTES}."
        );
        return Err((ResponseError::MessageTooLarge, reason));
    }
    let header = batch.checked.as_ref().map_err(Failure::clone)?;
    let leader_epoch = partition.leader_epoch;
    let appended = partition
        .log
        .append(&batch.bytes, header, leader_epoch, config, cx.now)
        .map_err(plain)?;
    if appended.written {
        partition.wake();
    }
    Ok(PartitionProduceResponse::default()
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.append_time)
        .with_log_start_offset(partition.log.start_offset()))
}

fn failed(partition: i32, (error, reason): Failure) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(partition)
        .with_error_code(error.code())
        .with_base_offset(-1)
        .with_log_start_offset(-1)
        .with_error_message(Some(StrBytes::from_string(reason)))
}
