//! **ListOffsets**, key 2, versions 1-8.
//!
//! Finds an offset by time: the first record that is at least as young as the timestamp, looked up inside its batch. A few
//! negative timestamps have a meaning of their own. For a read_committed consumer the log ends before the first open
//! transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ApiKey, ListOffsetsRequest, ListOffsetsResponse};

use super::{Api, Context, Outcome};
use crate::state::State;

/// The end of the log.
const LATEST: i64 = -1;
/// The start of the log.
const EARLIEST: i64 = -2;
/// The record with the largest timestamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;
/// The start of what is not in remote storage, which is the start of the log (KIP-405).
const EARLIEST_LOCAL: i64 = -4;
/// Before it an answer has no leader epoch (KIP-320).
const FIRST_VERSION_WITH_LEADER_EPOCH: i16 = 4;
const FIRST_VERSION_WITH_MAX_TIMESTAMP: i16 = 7;
const FIRST_VERSION_WITH_EARLIEST_LOCAL: i16 = 8;
/// `isolation_level` of a consumer that reads only what is committed.
const READ_COMMITTED: i8 = 1;

pub(super) struct ListOffsets;

impl Api for ListOffsets {
    const KEY: ApiKey = ApiKey::ListOffsets;
    const VERSIONS: RangeInclusive<i16> = 1..=8;
    type Request = ListOffsetsRequest;
    type Response = ListOffsetsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut ListOffsetsRequest,
    ) -> Outcome<ListOffsetsResponse> {
        let committed_only = request.isolation_level == READ_COMMITTED;
        let topics = request.topics.iter().map(|topic| {
            let mut times_asked: BTreeMap<i32, usize> = BTreeMap::new();
            for asked in &topic.partitions {
                *times_asked.entry(asked.partition_index).or_default() += 1;
            }
            let mut seen = BTreeSet::new();
            let each_once = topic
                .partitions
                .iter()
                .filter(|asked| seen.insert(asked.partition_index));
            let partitions = each_once.map(|asked| {
                let answer = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index);
                let found = match times_asked.get(&asked.partition_index) {
                    Some(1) => find(state, cx, &topic.name, asked, committed_only),
                    _ => Err(ResponseError::InvalidRequest),
                };
                match found {
                    Ok((offset, timestamp, leader_epoch)) => {
                        let answer = answer.with_offset(offset).with_timestamp(timestamp);
                        if cx.version >= FIRST_VERSION_WITH_LEADER_EPOCH {
                            answer.with_leader_epoch(leader_epoch)
                        } else {
                            answer
                        }
                    }
                    Err(error) => answer
                        .with_error_code(error.code())
                        .with_offset(-1)
                        .with_timestamp(-1),
                }
            });
            ListOffsetsTopicResponse::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name.clone())
        });
        let topics = topics.collect();
        Outcome::Reply(ListOffsetsResponse::default().with_topics(topics))
    }
}

/// Offset, timestamp and leader epoch; -1 each where no record is young enough.
fn find(
    state: &mut State,
    cx: &Context,
    topic: &str,
    asked: &ListOffsetsPartition,
    committed_only: bool,
) -> Result<(i64, i64, i32), ResponseError> {
    let epoch = asked.current_leader_epoch;
    let partition = state
        .topics
        .led_in_epoch(cx.node_id, topic, asked.partition_index, epoch)?;
    let log = &partition.log;
    let end = if committed_only {
        log.last_stable_offset()
    } else {
        log.high_watermark()
    };
    let found = match asked.timestamp {
        MAX_TIMESTAMP if cx.version < FIRST_VERSION_WITH_MAX_TIMESTAMP => {
            return Err(ResponseError::UnsupportedVersion);
        }
        EARLIEST_LOCAL if cx.version < FIRST_VERSION_WITH_EARLIEST_LOCAL => {
            return Err(ResponseError::UnsupportedVersion);
        }
        LATEST => return Ok((end, -1, partition.leader_epoch)),
        EARLIEST | EARLIEST_LOCAL => return Ok((log.start_offset(), -1, partition.leader_epoch)),
        MAX_TIMESTAMP => log.find_latest_time().filter(|found| found.offset < end),
        time if time < 0 => return Err(ResponseError::UnsupportedVersion),
        time => log.find_by_time(time, end),
    };
    Ok(found.map_or((-1, -1, -1), |found| {
        (found.offset, found.timestamp, found.leader_epoch)
    }))
}
