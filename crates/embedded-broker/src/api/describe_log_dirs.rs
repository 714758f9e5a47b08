//! **DescribeLogDirs**, key 35, versions 1-4.
//!
//! Tells how many bytes each partition takes (KIP-113): of the partitions that are named, or of all. The one directory is
//! memory; how large it is, nobody knows.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{
    ApiKey, DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::settings::LOG_DIRECTORY;
use crate::state::State;
use crate::topic::{Partition, Topic};

pub(super) struct DescribeLogDirs;

impl Api for DescribeLogDirs {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    type Request = DescribeLogDirsRequest;
    type Response = DescribeLogDirsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut DescribeLogDirsRequest,
    ) -> Outcome<DescribeLogDirsResponse> {
        let asked: Option<HashSet<(&str, i32)>> = request.topics.as_ref().map(|topics| {
            let partitions = topics.iter().flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|index| (topic.topic.as_str(), *index))
            });
            partitions.collect()
        });
        let topics = state
            .topics
            .iter()
            .map(|(name, topic)| describe(cx, name, topic, asked.as_ref()))
            .filter(|topic| !topic.partitions.is_empty());
        let directory = DescribeLogDirsResult::default()
            .with_log_dir(StrBytes::from_static_str(LOG_DIRECTORY))
            .with_topics(topics.collect());
        Outcome::Reply(DescribeLogDirsResponse::default().with_results(vec![directory]))
    }
}

/// The partitions of a topic that this node holds and that are asked for.
fn describe(
    cx: &Context,
    name: &str,
    topic: &Topic,
    asked: Option<&HashSet<(&str, i32)>>,
) -> DescribeLogDirsTopic {
    let is_asked = |index: i32| asked.is_none_or(|asked| asked.contains(&(name, index)));
    let partitions = (0..)
        .zip(&topic.partitions)
        .filter(|(index, partition)| partition.replicas.contains(&cx.node_id) && is_asked(*index))
        .map(size);
    DescribeLogDirsTopic::default()
        .with_partitions(partitions.collect())
        .with_name(TopicName(StrBytes::from_string(name.to_owned())))
}

fn size((index, partition): (i32, &Partition)) -> DescribeLogDirsPartition {
    DescribeLogDirsPartition::default()
        .with_partition_index(index)
        .with_partition_size(i64::try_from(partition.log.bytes()).unwrap_or(i64::MAX))
}
