//! **Fetch**, key 1, versions 4-16.
//!
//! Reads whole batches from partitions, from the batch that holds the offset on; clients skip what comes before it. Waits
//! up to `max_wait_ms` until `min_bytes` are there: a parked fetch is woken by the append, not by a clock.
//!
//! - A partition that is named twice is answered once, as the last time says.
//! - `max_bytes` is soft: the first batch is returned whole, so that a large one cannot stop a consumer (KIP-74).
//! - While answers of 256 MiB wait to be read by slow clients, a fetch gets one batch.
//! - The first partition of one fetch is the last of the next, so that a busy one does not starve the others.
//! - A read_committed fetch ends before the first open transaction and names the aborted ones; only what it may read counts
//!   toward `min_bytes`, and the end of a transaction wakes it.
//! - A follower answers as well as the leader (KIP-392, version 11 and later): every replica has every record.
//! - From version 16 on an answer that names the wrong node or epoch says who leads (KIP-951).
//! - Fetch sessions (KIP-227) are not kept: every answer says session 0, which is how a broker declines one.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchResponse, ProducerId};
use tokio::sync::Notify;

use super::fetch_request::{Wanted, WantedPartition};
use super::{Api, Context, Outcome, leader_hint};
use crate::log;
use crate::state::State;
use crate::topic::Partition;

/// `isolation_level` of a consumer that reads only what is committed.
const READ_COMMITTED: i8 = 1;
/// From this version on a follower answers as well (KIP-392).
const FIRST_VERSION_FROM_FOLLOWERS: i16 = 11;
/// From this version on topics are named by id (KIP-516).
const FIRST_VERSION_WITH_IDS: i16 = 13;
/// `session_epoch` of a fetch that wants no session, and of one that would start one.
const NO_SESSION: i32 = -1;
const NEW_SESSION: i32 = 0;

pub(super) struct Fetch;

impl Api for Fetch {
    const KEY: ApiKey = ApiKey::Fetch;
    const VERSIONS: RangeInclusive<i16> = 4..=16;
    type Request = Wanted;
    type Response = FetchResponse;

    fn handle(state: &mut State, cx: &Context, request: &mut Wanted) -> Outcome<FetchResponse> {
        if request.session_epoch != NO_SESSION && request.session_epoch != NEW_SESSION {
            let error = ResponseError::FetchSessionIdNotFound.code();
            return Outcome::Reply(FetchResponse::default().with_error_code(error));
        }
        let deadline = cx.arrived + request.max_wait;
        let gathered = gather(state, cx, request);
        if gathered.bytes >= request.min_bytes.min(gathered.max_bytes.max(1))
            || request.topics.is_empty()
            || gathered.has_error
            || cx.now.instant >= deadline
            || cx.hurry.is_asked()
        {
            let mut response = FetchResponse::default().with_responses(gathered.topics);
            if gathered.has_error {
                leader_hint::add_to_fetch(state, cx, &mut response);
            }
            return Outcome::Reply(response);
        }
        Outcome::Wait {
            wakeup: park(state, cx, request),
            deadline,
        }
    }
}

/// What a fetch finds at one moment.
struct Gathered {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    /// How many it may have found, but for the first batch.
    max_bytes: usize,
    has_error: bool,
}

fn gather(state: &mut State, cx: &Context, request: &Wanted) -> Gathered {
    let max_bytes = request.max_bytes.min(state.unsent.room());
    let mut budget = max_bytes;
    let mut gathered = Gathered {
        topics: Vec::with_capacity(request.topics.len()),
        bytes: 0,
        max_bytes,
        has_error: false,
    };
    for topic in &request.topics {
        let name = if cx.version >= FIRST_VERSION_WITH_IDS {
            state
                .topics
                .name_of(topic.id)
                .map(str::to_owned)
                .ok_or(ResponseError::UnknownTopicId)
        } else {
            Ok(topic.name.to_string())
        };
        let partitions = topic.partitions.iter().map(|asked| {
            let result = name.as_ref().map_err(|error| *error);
            let data = result.and_then(|name| {
                read(
                    state,
                    cx,
                    name,
                    asked,
                    request.isolation_level,
                    budget,
                    gathered.bytes == 0,
                )
            });
            match data {
                Ok(data) => {
                    let length = data.records.as_ref().map_or(0, Bytes::len);
                    gathered.bytes += length;
                    budget = budget.saturating_sub(length);
                    data
                }
                Err(error) => {
                    gathered.has_error = true;
                    empty(asked.index)
                        .with_error_code(error.code())
                        .with_high_watermark(-1)
                }
            }
        });
        let partitions = partitions.collect();
        let answer = FetchableTopicResponse::default()
            .with_topic(topic.name.clone())
            .with_topic_id(topic.id);
        gathered.topics.push(answer.with_partitions(partitions));
    }
    gathered
}

/// Reads one partition. `first` says that nothing was found yet, so one batch is returned whatever its size.
fn read(
    state: &mut State,
    cx: &Context,
    topic: &str,
    asked: &WantedPartition,
    isolation_level: i8,
    budget: usize,
    first: bool,
) -> Result<PartitionData, ResponseError> {
    let partition = readable(state, cx, topic, asked)?;
    // Of an epoch that is still to come this log can hold nothing.
    if asked.last_fetched_epoch > partition.leader_epoch {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let log = &partition.log;
    let committed_only = isolation_level == READ_COMMITTED;
    let end = match committed_only {
        true => log.last_stable_offset(),
        false => log.high_watermark(),
    };
    let max_bytes = asked.max_bytes.min(budget);
    // Without the soft limit a partition whose first batch is too large waits for its turn to be the first.
    let records = match first {
        true => log.read(asked.offset, end, max_bytes)?,
        false => log.read_within(asked.offset, end, max_bytes)?,
    };
    let aborted = committed_only.then(|| {
        let aborted = log.aborted_in(asked.offset, &records);
        aborted.map(named).collect()
    });
    Ok(empty(asked.index)
        .with_high_watermark(log.high_watermark())
        .with_last_stable_offset(log.last_stable_offset())
        .with_log_start_offset(log.start_offset())
        .with_aborted_transactions(aborted)
        .with_records(Some(records)))
}

/// The partition, if a consumer may read it from the node that it asked.
fn readable<'a>(
    state: &'a mut State,
    cx: &Context,
    topic: &str,
    asked: &WantedPartition,
) -> Result<&'a mut Partition, ResponseError> {
    // Here, unlike elsewhere, every negative epoch is that of a client that does not say.
    let (index, epoch) = (asked.index, asked.current_leader_epoch.max(-1));
    match cx.version >= FIRST_VERSION_FROM_FOLLOWERS {
        true => state.topics.replica_on(cx.node_id, topic, index, epoch),
        false => state.topics.led_in_epoch(cx.node_id, topic, index, epoch),
    }
}

/// An aborted transaction as a reader finds its records: by their producer, from the first one to the marker.
fn named(aborted: log::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(ProducerId(aborted.producer_id))
        .with_first_offset(aborted.first_offset)
}

/// An answer without records. They are empty and never null: librdkafka refuses a length of -1.
fn empty(partition: i32) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_aborted_transactions(None)
        .with_preferred_read_replica(BrokerId(-1))
        .with_records(Some(Bytes::new()))
}

/// Has every partition that was asked for wake the fetch.
fn park(state: &mut State, cx: &Context, request: &Wanted) -> Arc<Notify> {
    let wakeup = Arc::new(Notify::new());
    for topic in &request.topics {
        let name = if cx.version >= FIRST_VERSION_WITH_IDS {
            state.topics.name_of(topic.id).map(str::to_owned)
        } else {
            Some(topic.name.to_string())
        };
        let Some(name) = name else { continue };
        for asked in &topic.partitions {
            if let Ok(partition) = readable(state, cx, &name, asked) {
                partition.wait(&wakeup);
            }
        }
    }
    wakeup
}
