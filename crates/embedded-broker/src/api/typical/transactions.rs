//! Requests of idempotent and transactional producers, and about them.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest,
    ProducerId, TransactionalId, TxnOffsetCommitRequest,
};

use super::{GROUP, INSTANCE, MEMBER, TRANSACTIONAL_ID, Typical, both, filled, group, some, text};

fn transactional_id() -> TransactionalId {
    TransactionalId(text(TRANSACTIONAL_ID))
}

fn topics() -> Vec<AddPartitionsToTxnTopic> {
    vec![
        AddPartitionsToTxnTopic::default()
            .with_name(super::topic(super::TOPIC))
            .with_partitions(vec![0, 1]),
    ]
}

pub(super) fn init_producer_id(version: i16) -> Typical {
    filled::<InitProducerIdRequest>(
        version,
        &[
            &|request| {
                request.transactional_id = Some(transactional_id());
                request.transaction_timeout_ms = 10_000;
            },
            &|request| {
                request.producer_id = ProducerId(0);
                request.producer_epoch = 0;
            },
        ],
    )
}

pub(super) fn add_partitions_to_txn(version: i16) -> Typical {
    filled::<AddPartitionsToTxnRequest>(
        version,
        &[
            &|request| request.v3_and_below_transactional_id = transactional_id(),
            &|request| request.v3_and_below_topics = topics(),
        ],
    )
}

pub(super) fn add_offsets_to_txn(version: i16) -> Typical {
    filled::<AddOffsetsToTxnRequest>(
        version,
        &[&|request| {
            request.transactional_id = transactional_id();
            request.group_id = group(GROUP);
        }],
    )
}

pub(super) fn end_txn(version: i16) -> Typical {
    filled::<EndTxnRequest>(
        version,
        &[&|request| {
            request.transactional_id = transactional_id();
            request.committed = true;
        }],
    )
}

pub(super) fn txn_offset_commit(version: i16) -> Typical {
    filled::<TxnOffsetCommitRequest>(
        version,
        &[
            &|request| {
                request.transactional_id = transactional_id();
                request.group_id = group(GROUP);
                request.topics = both(|name| {
                    let partition = |index| {
                        TxnOffsetCommitRequestPartition::default()
                            .with_partition_index(index)
                            .with_committed_offset(5)
                            .with_committed_metadata(some("typical-metadata"))
                    };
                    TxnOffsetCommitRequestTopic::default()
                        .with_name(name)
                        .with_partitions(vec![partition(0), partition(1)])
                });
            },
            &|request| request.topics[0].partitions[0].committed_leader_epoch = 0,
            &|request| {
                request.generation_id = 1;
                request.member_id = text(MEMBER);
                request.group_instance_id = some(INSTANCE);
            },
        ],
    )
}

pub(super) fn describe_producers(version: i16) -> Typical {
    filled::<DescribeProducersRequest>(
        version,
        &[&|request| {
            request.topics = both(|name| {
                TopicRequest::default()
                    .with_name(name)
                    .with_partition_indexes(vec![0, 1])
            });
        }],
    )
}

pub(super) fn describe_transactions(version: i16) -> Typical {
    filled::<DescribeTransactionsRequest>(
        version,
        &[&|request| {
            let absent = TransactionalId(text("absent-transaction"));
            request.transactional_ids = vec![transactional_id(), absent];
        }],
    )
}

pub(super) fn list_transactions(version: i16) -> Typical {
    filled::<ListTransactionsRequest>(
        version,
        &[
            &|request| {
                request.state_filters = vec![text("Ongoing"), text("Empty")];
                request.producer_id_filters = vec![ProducerId(0), ProducerId(1)];
            },
            &|request| request.duration_filter = 0,
        ],
    )
}
