//! **DeleteRecords**, key 21, versions 0-2.
//!
//! Moves the start of a partition's log forward: the records before an offset are gone at once, and their memory goes back
//! as soon as nothing beside it is left. An offset of -1 stands for the high watermark. A log whose start is behind the
//! offset already stays as it is; either way the answer is the low watermark, the start of the log on every replica.
//!
//! - A partition that is named twice is answered once, as the last time says.
//! - A topic that is only compacted refuses with POLICY_VIOLATION: somebody counts on the last record of each key.
//! - There is no other replica to wait for, so `timeout_ms` has no meaning here.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{ApiKey, DeleteRecordsRequest, DeleteRecordsResponse};

use super::once::last_of_each;
use super::{Api, Context, Outcome};
use crate::state::State;

/// Deletes all that there is.
const HIGH_WATERMARK: i64 = -1;

pub(super) struct DeleteRecords;

impl Api for DeleteRecords {
    const KEY: ApiKey = ApiKey::DeleteRecords;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Request = DeleteRecordsRequest;
    type Response = DeleteRecordsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut DeleteRecordsRequest,
    ) -> Outcome<DeleteRecordsResponse> {
        let asked = request.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|asked| (topic.name.clone(), asked.partition_index, asked.offset))
        });
        let topics = last_of_each(asked).into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, offset)| {
                let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
                match delete(state, cx, &name, index, offset) {
                    Ok(low_watermark) => result.with_low_watermark(low_watermark),
                    Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
                }
            });
            DeleteRecordsTopicResult::default()
                .with_partitions(partitions.collect())
                .with_name(name)
        });
        let topics = topics.collect();
        Outcome::Reply(DeleteRecordsResponse::default().with_topics(topics))
    }
}

/// Returns the low watermark.
fn delete(
    state: &mut State,
    cx: &Context,
    topic: &str,
    index: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    let (partition, config) = state.topics.led_by_with_config(cx.node_id, topic, index)?;
    if config.compact && !config.delete {
        return Err(ResponseError::PolicyViolation);
    }
    let offset = match offset {
        HIGH_WATERMARK => partition.log.high_watermark(),
        offset => offset,
    };
    let low_watermark = partition.log.delete_before(offset)?;
    // A fetch that is parked before the new start has an error to hear of.
    partition.wake();
    Ok(low_watermark)
}
