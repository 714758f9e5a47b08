//! Requests for records and for where they lie.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, DeleteRecordsRequest, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
    ProduceRequest, TransactionalId,
};
use uuid::Uuid;

use super::{TRANSACTIONAL_ID, Typical, both, filled, text};

/// A batch of one record, with key, value and a header.
fn batch() -> Bytes {
    let record: &[u8] = &[24, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'h', 2, b'w'];
    let mut batch = BytesMut::new();
    batch.put_i64(0);
    batch.put_i32(49 + record.len() as i32);
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(0);
    let checksummed = batch.len();
    batch.put_i16(0);
    batch.put_i32(0);
    batch.put_i64(1_700_000_000_000);
    batch.put_i64(1_700_000_000_000);
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    batch.put_i32(1);
    batch.put_slice(record);
    let checksum = crc32c::crc32c(&batch[checksummed..]);
    batch[checksummed - 4..checksummed].copy_from_slice(&checksum.to_be_bytes());
    batch.freeze()
}

pub(super) fn produce(version: i16) -> Typical {
    filled::<ProduceRequest>(
        version,
        &[
            &|request| {
                request.acks = -1;
                request.timeout_ms = 30_000;
                request.topic_data = both(|name| {
                    let data = |index| {
                        PartitionProduceData::default()
                            .with_index(index)
                            .with_records(Some(batch()))
                    };
                    TopicProduceData::default()
                        .with_name(name)
                        .with_partition_data(vec![data(0), data(1)])
                });
            },
            &|request| request.transactional_id = Some(TransactionalId(text(TRANSACTIONAL_ID))),
        ],
    )
}

pub(super) fn fetch(version: i16, topic_id: Uuid) -> Typical {
    filled::<FetchRequest>(
        version,
        &[
            &|request| {
                request.max_wait_ms = 500;
                request.min_bytes = 1;
                request.isolation_level = 1;
                request.topics = vec![FetchTopic::default()];
                for topic in &mut request.topics {
                    let partition = |index| {
                        FetchPartition::default()
                            .with_partition(index)
                            .with_partition_max_bytes(1 << 20)
                    };
                    topic.partitions = vec![partition(0), partition(1)];
                }
            },
            &|request| request.topics[0].topic = super::topic(super::TOPIC),
            &|request| request.topics[0].topic_id = topic_id,
            &|request| request.max_bytes = 1 << 20,
            &|request| {
                request.session_id = 0;
                request.session_epoch = -1;
            },
            &|request| {
                request.forgotten_topics_data = vec![
                    ForgottenTopic::default()
                        .with_topic(super::topic(super::ABSENT))
                        .with_partitions(vec![0, 1]),
                ];
            },
            &|request| {
                request.forgotten_topics_data = vec![
                    ForgottenTopic::default()
                        .with_topic_id(Uuid::from_u128(1))
                        .with_partitions(vec![0, 1]),
                ];
            },
            &|request| request.topics[0].partitions[0].current_leader_epoch = 0,
            &|request| request.topics[0].partitions[0].log_start_offset = -1,
            &|request| request.topics[0].partitions[0].last_fetched_epoch = 0,
            &|request| request.rack_id = text("typical-rack"),
            &|request| request.cluster_id = super::some("typical-cluster"),
            &|request| request.replica_id = BrokerId(-1),
            &|request| request.replica_state.replica_epoch = -1,
        ],
    )
}

pub(super) fn list_offsets(version: i16) -> Typical {
    filled::<ListOffsetsRequest>(
        version,
        &[
            &|request| {
                request.replica_id = BrokerId(-1);
                request.topics = both(|name| {
                    let partition = |index, timestamp| {
                        ListOffsetsPartition::default()
                            .with_partition_index(index)
                            .with_timestamp(timestamp)
                    };
                    ListOffsetsTopic::default()
                        .with_name(name)
                        .with_partitions(vec![partition(0, 1_000), partition(1, -1)])
                });
            },
            &|request| request.isolation_level = 1,
            &|request| request.topics[0].partitions[0].current_leader_epoch = 0,
            &|request| request.timeout_ms = 1_000,
        ],
    )
}

pub(super) fn delete_records(version: i16) -> Typical {
    filled::<DeleteRecordsRequest>(
        version,
        &[&|request| {
            request.timeout_ms = 1_000;
            request.topics = both(|name| {
                let partition = |index, offset| {
                    DeleteRecordsPartition::default()
                        .with_partition_index(index)
                        .with_offset(offset)
                };
                DeleteRecordsTopic::default()
                    .with_name(name)
                    .with_partitions(vec![partition(0, 1), partition(1, -1)])
            });
        }],
    )
}

pub(super) fn offset_for_leader_epoch(version: i16) -> Typical {
    filled::<OffsetForLeaderEpochRequest>(
        version,
        &[
            &|request| {
                request.topics = both(|topic| {
                    let partition = |index| {
                        OffsetForLeaderPartition::default()
                            .with_partition(index)
                            .with_leader_epoch(0)
                    };
                    OffsetForLeaderTopic::default()
                        .with_topic(topic)
                        .with_partitions(vec![partition(0), partition(1)])
                });
            },
            &|request| request.replica_id = BrokerId(-1),
            &|request| request.topics[0].partitions[0].current_leader_epoch = 0,
        ],
    )
}
