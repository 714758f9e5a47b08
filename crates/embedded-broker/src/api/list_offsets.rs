//! **ListOffsets**, key 2, versions 1-8.
//!
//! Finds an offset by time: the first record that is at least as young as the timestamp, looked up inside its batch. A few
//! negative timestamps have a meaning of their own. For a read_committed consumer the log ends before the first open
//! transaction.
//!
//! - A partition that is named twice is refused.
//! - Batches are opened without the state, a few at a time: a client may ask for thousands of them, and a small one may be a
//!   hundred megabytes of records.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ApiKey, ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::once::last_of_each;
use super::{Api, Context, Outcome};
use crate::log::Lookup;
use crate::net::wire::FromWire;
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

/// So many lookups take their batches from the logs at a time.
const AT_ONCE: usize = 16;

pub(super) struct ListOffsets;

/// Questions for offsets, some of them answered.
pub(super) struct Questions {
    committed_only: bool,
    topics: Vec<(TopicName, Vec<(i32, Question)>)>,
}

struct Question {
    timestamp: i64,
    current_leader_epoch: i32,
    /// Whether the request names the partition more than once.
    is_repeated: bool,
    /// Set while it takes a look into batches.
    lookup: Option<Lookup>,
    answer: Option<ListOffsetsPartitionResponse>,
}

/// Offset, timestamp and leader epoch.
type Found = (i64, i64, i32);

/// No record is young enough.
const NOTHING: Found = (-1, -1, -1);

impl FromWire for Questions {
    fn from_wire(body: Bytes, version: i16) -> anyhow::Result<Self> {
        let request = ListOffsetsRequest::from_wire(body, version)?;
        let asked = request.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|asked| (&topic.name, asked))
        });
        let mut seen = HashSet::new();
        let mut repeated = HashSet::new();
        for (name, asked) in asked.clone() {
            if !seen.insert((name, asked.partition_index)) {
                repeated.insert((name, asked.partition_index));
            }
        }
        let questions = asked.map(|(name, asked)| {
            let is_repeated = repeated.contains(&(name, asked.partition_index));
            (
                name.clone(),
                asked.partition_index,
                Question::of(asked, is_repeated),
            )
        });
        Ok(Self {
            committed_only: request.isolation_level == READ_COMMITTED,
            topics: last_of_each(questions),
        })
    }
}

impl Question {
    fn of(asked: &ListOffsetsPartition, is_repeated: bool) -> Self {
        Self {
            timestamp: asked.timestamp,
            current_leader_epoch: asked.current_leader_epoch,
            is_repeated,
            lookup: None,
            answer: None,
        }
    }
}

impl Api for ListOffsets {
    const KEY: ApiKey = ApiKey::ListOffsets;
    const VERSIONS: RangeInclusive<i16> = 1..=8;
    type Request = Questions;
    type Response = ListOffsetsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut Questions,
    ) -> Outcome<ListOffsetsResponse> {
        let mut working = 0;
        for (topic, questions) in &mut request.topics {
            for (index, question) in questions {
                if question.answer.is_some() {
                    continue;
                }
                let found = find(state, cx, topic, *index, question, request.committed_only);
                match found.transpose() {
                    Some(found) => question.answer = Some(answer(cx, *index, found)),
                    None => working += 1,
                }
                if working == AT_ONCE {
                    return Outcome::Work;
                }
            }
        }
        if working > 0 {
            return Outcome::Work;
        }
        let topics = request.topics.drain(..).map(|(name, questions)| {
            let answers = questions.into_iter();
            let answers = answers.filter_map(|(_, question)| question.answer);
            ListOffsetsTopicResponse::default()
                .with_partitions(answers.collect())
                .with_name(name)
        });
        let topics = topics.collect();
        Outcome::Reply(ListOffsetsResponse::default().with_topics(topics))
    }

    /// Opens the batches that were taken from the logs.
    fn work(request: &mut Questions, end: Instant) {
        let questions = request
            .topics
            .iter_mut()
            .flat_map(|(_, questions)| questions);
        let lookups = questions.filter_map(|(_, question)| question.lookup.as_mut());
        for lookup in lookups.filter(|lookup| lookup.has_work()) {
            lookup.open();
            if Instant::now() >= end {
                return;
            }
        }
    }
}

/// None if batches have to be opened first.
fn find(
    state: &mut State,
    cx: &Context,
    topic: &str,
    index: i32,
    question: &mut Question,
    committed_only: bool,
) -> Result<Option<Found>, ResponseError> {
    if question.is_repeated {
        return Err(ResponseError::InvalidRequest);
    }
    let epoch = question.current_leader_epoch;
    let partition = state.topics.led_in_epoch(cx.node_id, topic, index, epoch)?;
    let log = &partition.log;
    let end = if committed_only {
        log.last_stable_offset()
    } else {
        log.high_watermark()
    };
    let new_lookup = match question.timestamp {
        MAX_TIMESTAMP if cx.version < FIRST_VERSION_WITH_MAX_TIMESTAMP => {
            return Err(ResponseError::UnsupportedVersion);
        }
        EARLIEST_LOCAL if cx.version < FIRST_VERSION_WITH_EARLIEST_LOCAL => {
            return Err(ResponseError::UnsupportedVersion);
        }
        LATEST => return Ok(Some((end, -1, partition.leader_epoch))),
        EARLIEST | EARLIEST_LOCAL => {
            return Ok(Some((log.start_offset(), -1, partition.leader_epoch)));
        }
        MAX_TIMESTAMP => Lookup::of_latest(),
        time if time < 0 => return Err(ResponseError::UnsupportedVersion),
        time => Lookup::of_time(time),
    };
    let lookup = question.lookup.get_or_insert(new_lookup);
    lookup.advance(log);
    let result = lookup.result();
    Ok(result.map(|found| {
        let found = found.filter(|found| found.offset < end);
        found.map_or(NOTHING, |found| {
            (found.offset, found.timestamp, found.leader_epoch)
        })
    }))
}

fn answer(
    cx: &Context,
    index: i32,
    found: Result<Found, ResponseError>,
) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse::default().with_partition_index(index);
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
}
