//! What a Fetch request asks for, each partition once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::clock::millis;
use crate::net::wire::FromWire;

/// `fetch.max.bytes` of the broker, as in Apache Kafka: no answer has more records than this, whatever the client asks.
const MAX_BYTES: usize = 55 << 20;

/// What a fetch asks for.
pub(super) struct Wanted {
    pub(super) session_epoch: i32,
    pub(super) isolation_level: i8,
    pub(super) max_wait: Duration,
    pub(super) min_bytes: usize,
    pub(super) max_bytes: usize,
    /// As a client names them; neighbours are different, and all have partitions.
    pub(super) topics: Vec<WantedTopic>,
}

pub(super) struct WantedTopic {
    /// Empty where topics are named by id.
    pub(super) name: TopicName,
    pub(super) id: Uuid,
    pub(super) partitions: Vec<WantedPartition>,
}

pub(super) struct WantedPartition {
    pub(super) index: i32,
    pub(super) current_leader_epoch: i32,
    pub(super) offset: i64,
    pub(super) last_fetched_epoch: i32,
    pub(super) max_bytes: usize,
}

impl FromWire for Wanted {
    /// Keeps what a fetch may be parked with, in memory of its own: each partition once, as in Apache Kafka the last time
    /// that it is named. A parked fetch so takes no more than the partitions that exist.
    fn from_wire(body: Bytes, version: i16) -> anyhow::Result<Self> {
        let request = FetchRequest::from_wire(body, version)?;
        let max_bytes = positive(request.max_bytes).min(MAX_BYTES);
        let mut topics: Vec<WantedTopic> = Vec::new();
        let mut places = HashMap::new();
        for topic in &request.topics {
            for asked in &topic.partitions {
                let wanted = WantedPartition::of(asked);
                match places.entry((&topic.topic, topic.topic_id, asked.partition)) {
                    Entry::Occupied(place) => {
                        let (topic, partition): (usize, usize) = *place.get();
                        topics[topic].partitions[partition] = wanted;
                    }
                    Entry::Vacant(place) => {
                        let is_same = |last: &mut WantedTopic| {
                            last.name == topic.topic && last.id == topic.topic_id
                        };
                        if !topics.last_mut().is_some_and(is_same) {
                            topics.push(WantedTopic::of(topic));
                        }
                        if let Some(last) = topics.last_mut() {
                            last.partitions.push(wanted);
                            let partition = last.partitions.len() - 1;
                            place.insert((topics.len() - 1, partition));
                        }
                    }
                }
            }
        }
        Ok(Self {
            session_epoch: request.session_epoch,
            isolation_level: request.isolation_level,
            max_wait: millis(request.max_wait_ms),
            min_bytes: positive(request.min_bytes).min(max_bytes),
            max_bytes,
            topics,
        })
    }
}

impl WantedTopic {
    /// Without its partitions.
    fn of(topic: &FetchTopic) -> Self {
        Self {
            name: TopicName(StrBytes::from_string(topic.topic.to_string())),
            id: topic.topic_id,
            partitions: Vec::new(),
        }
    }
}

impl WantedPartition {
    fn of(asked: &FetchPartition) -> Self {
        Self {
            index: asked.partition,
            current_leader_epoch: asked.current_leader_epoch,
            offset: asked.fetch_offset,
            last_fetched_epoch: asked.last_fetched_epoch,
            max_bytes: positive(asked.partition_max_bytes),
        }
    }
}

fn positive(count: i32) -> usize {
    usize::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::protocol::Encodable;

    use super::*;

    fn wanted(topics: Vec<FetchTopic>) -> Wanted {
        let request = FetchRequest::default()
            .with_max_bytes(i32::MAX)
            .with_min_bytes(i32::MAX)
            .with_topics(topics);
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, 12).expect("a request");
        Wanted::from_wire(bytes.freeze(), 12).expect("the same request")
    }

    fn topic(name: &'static str, partitions: &[(i32, i64)]) -> FetchTopic {
        let partitions = partitions.iter().map(|(index, offset)| {
            FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
        });
        FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(name)))
            .with_partitions(partitions.collect())
    }

    #[test]
    fn a_partition_is_wanted_once_and_as_the_last_time_says() {
        let wanted = wanted(vec![
            topic("a", &[(0, 5), (1, 6), (0, 7)]),
            topic("empty", &[]),
            topic("a", &[(2, 8), (1, 9)]),
            topic("b", &[(0, 1)]),
            topic("a", &[(2, 3), (3, 4)]),
        ]);
        let seen: Vec<_> = wanted
            .topics
            .iter()
            .map(|topic| {
                let partitions = topic.partitions.iter();
                let partitions = partitions.map(|asked| (asked.index, asked.offset));
                (topic.name.as_str(), partitions.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            ("a", vec![(0, 7), (1, 9), (2, 3)]),
            ("b", vec![(0, 1)]),
            ("a", vec![(3, 4)]),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_client_cannot_ask_for_more_than_the_broker_gives() {
        let wanted = wanted(Vec::new());
        assert_eq!((wanted.min_bytes, wanted.max_bytes), (MAX_BYTES, MAX_BYTES));
    }
}
