//! **OffsetForLeaderEpoch**, key 23, versions 2-4.
//!
//! Tells where the records of a leader epoch end (KIP-320). A consumer asks after a change of leader: an end before its own
//! position says that the log was truncated. An epoch that is not known, because it is yet to come or was never named, is
//! answered with epoch and offset -1; one older than the log, with the log's start.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{ApiKey, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{Api, Context, Outcome};
use crate::log::EpochEnd;
use crate::state::State;

pub(super) struct OffsetForLeaderEpoch;

impl Api for OffsetForLeaderEpoch {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    const VERSIONS: RangeInclusive<i16> = 2..=4;
    type Request = OffsetForLeaderEpochRequest;
    type Response = OffsetForLeaderEpochResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut OffsetForLeaderEpochRequest,
    ) -> Outcome<OffsetForLeaderEpochResponse> {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let answer = EpochEndOffset::default().with_partition(asked.partition);
                match find(state, cx, &topic.topic, asked) {
                    Ok(Some(end)) => answer
                        .with_leader_epoch(end.epoch)
                        .with_end_offset(end.offset),
                    Ok(None) => answer,
                    Err(error) => answer.with_error_code(error.code()),
                }
            });
            OffsetForLeaderTopicResult::default()
                .with_partitions(partitions.collect())
                .with_topic(topic.topic.clone())
        });
        let topics = topics.collect();
        Outcome::Reply(OffsetForLeaderEpochResponse::default().with_topics(topics))
    }
}

fn find(
    state: &mut State,
    cx: &Context,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ResponseError> {
    let epoch = asked.current_leader_epoch;
    let partition = state
        .topics
        .led_in_epoch(cx.node_id, topic, asked.partition, epoch)?;
    Ok(partition.log.end_of_epoch(asked.leader_epoch))
}
