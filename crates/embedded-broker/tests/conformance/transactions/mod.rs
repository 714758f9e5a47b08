//! Transactions, as clients before version 2 of their protocol (KIP-890) speak: AddPartitionsToTxn before the first batch,
//! the same epoch from one transaction to the next.
//!
//! Apache Kafka writes the markers of a transaction after it has answered EndTxn, and says CONCURRENT_TRANSACTIONS
//! meanwhile. A client asks again, and so do these cases: a broker that writes them before it answers passes as well.

mod compaction;
mod coordinator;
mod describe;
mod fencing;
mod isolation;
mod librdkafka;
mod markers;
mod offsets;
mod produce;
mod timeout;

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, PartitionData};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Record;

use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::records::{Batch, decode, position, values};
use crate::support::topic::{
    EARLIEST, FETCH_BY_NAME, LATEST, Topic, fetch_partition, fetch_request, fetched, list_offset,
    list_offsets_request, only, produce_request,
};
use crate::support::wait::{DEADLINE, eventually};

/// `isolation_level` of a reader that sees only what is committed.
const READ_COMMITTED: i8 = 1;
const READ_UNCOMMITTED: i8 = 0;
/// The key of a marker that aborts: version 0, type 0.
const ABORT: &[u8] = &[0, 0, 0, 0];
/// Long enough that no case but those about time-outs sees one.
const TIMEOUT_MS: i32 = 60_000;

/// A transactional producer, frame by frame.
struct Producer {
    client: RawClient,
    transactional_id: String,
    id: i64,
    epoch: i16,
    /// The next sequence number of each partition in the current epoch.
    sequences: HashMap<(String, i32), i32>,
}

impl Producer {
    /// A producer with a transactional id that nobody else uses.
    async fn start() -> Self {
        Self::start_as(&unique("transactional"), TIMEOUT_MS).await
    }

    /// A producer with this transactional id, which fences the one that had it before.
    async fn start_as(transactional_id: &str, timeout_ms: i32) -> Self {
        let mut client = RawClient::connect().await;
        let request = init_request(transactional_id).with_transaction_timeout_ms(timeout_ms);
        let (id, epoch) = init(&mut client, 4, request).await.expect("a producer id");
        Self {
            client,
            transactional_id: transactional_id.to_owned(),
            id,
            epoch,
            sequences: HashMap::new(),
        }
    }

    /// Goes on with what InitProducerId answered.
    fn continue_with(&mut self, (id, epoch): (i64, i16)) {
        (self.id, self.epoch) = (id, epoch);
        self.sequences.clear();
    }

    /// InitProducerId that names the id and epoch that the producer has (KIP-360).
    fn bump_request(&self) -> InitProducerIdRequest {
        init_request(&self.transactional_id)
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
    }

    /// Adds partitions to the transaction, all or none.
    async fn try_add(
        &mut self,
        version: i16,
        topic: &Topic,
        partitions: &[i32],
    ) -> Result<(), ResponseError> {
        let request = self.add_request(topic, partitions);
        settled(async || {
            let answer = self.client.send(version, request.clone()).await;
            let results = only(answer.results_by_topic_v3_and_below).results_by_partition;
            assert_eq!(results.len(), partitions.len());
            results
                .iter()
                .try_for_each(|partition| result(partition.partition_error_code))
        })
        .await
    }

    fn add_request(&self, topic: &Topic, partitions: &[i32]) -> AddPartitionsToTxnRequest {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(topic.topic_name())
            .with_partitions(partitions.to_vec());
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id(&self.transactional_id))
            .with_v3_and_below_producer_id(self.id.into())
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic])
    }

    /// Adds partitions, which must be taken. The first ones begin the transaction.
    async fn add(&mut self, topic: &Topic, partitions: &[i32]) {
        let added = self.try_add(3, topic, partitions).await;
        assert_eq!(added, Ok(()), "add {partitions:?} of {}", topic.name);
    }

    /// Adds a group's offsets to the transaction.
    async fn try_add_offsets(&mut self, version: i16, group: &str) -> Result<(), ResponseError> {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(transactional_id(&self.transactional_id))
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
            .with_group_id(StrBytes::from(group.to_owned()).into());
        settled(async || result(self.client.send(version, request.clone()).await.error_code)).await
    }

    /// The next batch of this producer for this partition, inside the transaction.
    fn batch(&self, topic: &Topic, partition: i32, values: &[&str]) -> Batch {
        self.numbered(topic, partition, Batch::of(values))
    }

    /// The same with these records.
    fn numbered(&self, topic: &Topic, partition: i32, batch: Batch) -> Batch {
        let key = (topic.name.clone(), partition);
        let sequence = self.sequences.get(&key).copied().unwrap_or(0);
        batch
            .from_producer(self.id, self.epoch, sequence)
            .transactional()
    }

    /// Sends `batch` under the producer's transactional id: its offset, or why it was refused.
    async fn try_send(
        &mut self,
        version: i16,
        topic: &Topic,
        partition: i32,
        batch: &Batch,
    ) -> Result<i64, ResponseError> {
        let request = produce_request(topic, partition, batch.encode())
            .with_transactional_id(Some(transactional_id(&self.transactional_id)));
        let response = self.client.send(version, request).await;
        let answer = only(only(response.responses).partition_responses);
        result(answer.error_code).map(|()| answer.base_offset)
    }

    /// Appends a batch of `values` to the transaction, which must be taken: its offset.
    async fn send(&mut self, topic: &Topic, partition: i32, values: &[&str]) -> i64 {
        let count = i32::try_from(values.len()).expect("few values");
        self.send_records(topic, partition, Batch::of(values), count)
            .await
    }

    /// The same with these records, `count` of them.
    async fn send_records(
        &mut self,
        topic: &Topic,
        partition: i32,
        batch: Batch,
        count: i32,
    ) -> i64 {
        let batch = self.numbered(topic, partition, batch);
        let sent = self.try_send(10, topic, partition, &batch).await;
        let offset = sent.expect("the batch was refused");
        let key = (topic.name.clone(), partition);
        *self.sequences.entry(key).or_default() += count;
        offset
    }

    async fn try_end(&mut self, version: i16, committed: bool) -> Result<(), ResponseError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional_id(&self.transactional_id))
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        settled(async || result(self.client.send(version, request.clone()).await.error_code)).await
    }

    /// Commits, and waits until the markers are written: then the same EndTxn succeeds again.
    async fn commit(&mut self) {
        assert_eq!(self.try_end(4, true).await, Ok(()), "commit");
        assert_eq!(self.try_end(4, true).await, Ok(()), "commit again");
    }

    /// Aborts, and waits until the markers are written.
    async fn abort(&mut self) {
        assert_eq!(self.try_end(4, false).await, Ok(()), "abort");
        assert_eq!(self.try_end(4, false).await, Ok(()), "abort again");
    }
}

fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(id.to_owned().into())
}

fn result(code: i16) -> Result<(), ResponseError> {
    code.err().map_or(Ok(()), Err)
}

/// Asks again while the broker still ends the transaction before.
async fn settled<T>(
    mut ask: impl AsyncFnMut() -> Result<T, ResponseError>,
) -> Result<T, ResponseError> {
    eventually(
        DEADLINE,
        "the end of the transaction before",
        async || match ask().await {
            Err(ResponseError::ConcurrentTransactions) => None,
            answer => Some(answer),
        },
    )
    .await
}

/// Every version carries this much.
fn init_request(id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id(id)))
        .with_transaction_timeout_ms(TIMEOUT_MS)
}

/// The producer id and epoch, or why there is none.
async fn init(
    client: &mut RawClient,
    version: i16,
    request: InitProducerIdRequest,
) -> Result<(i64, i16), ResponseError> {
    settled(async || {
        let answer = client.send(version, request.clone()).await;
        result(answer.error_code)?;
        Ok((answer.producer_id.0, answer.producer_epoch))
    })
    .await
}

/// What a read_committed consumer is given from `offset`, without waiting.
async fn fetch_committed(
    client: &mut RawClient,
    topic: &Topic,
    partition: i32,
    offset: i64,
) -> PartitionData {
    let request = fetch_request(topic, vec![fetch_partition(partition, offset)])
        .with_isolation_level(READ_COMMITTED);
    fetched(client.send(FETCH_BY_NAME, request).await)
}

/// The records that a read_committed consumer is left with: those of aborted transactions are left out as a client leaves
/// them out.
async fn committed(client: &mut RawClient, topic: &Topic, partition: i32) -> Vec<String> {
    read(client, topic, partition, READ_COMMITTED).await
}

/// Every record that is not a marker, committed or not.
async fn everything(client: &mut RawClient, topic: &Topic, partition: i32) -> Vec<String> {
    read(client, topic, partition, READ_UNCOMMITTED).await
}

/// Reads a partition from start to end, fetch by fetch.
async fn read(
    client: &mut RawClient,
    topic: &Topic,
    partition: i32,
    isolation_level: i8,
) -> Vec<String> {
    let mut offset = list_offset(client, topic, partition, EARLIEST).await.offset;
    let mut seen = Vec::new();
    loop {
        let request = fetch_request(topic, vec![fetch_partition(partition, offset)])
            .with_isolation_level(isolation_level);
        let answer = fetched(client.send(FETCH_BY_NAME, request).await);
        let aborted = answer.aborted_transactions.unwrap_or_default();
        let batches = split(answer.records.expect("records are empty, never null"));
        let Some(last) = batches.last() else {
            return values(&seen);
        };
        let next = last_offset(last) + 1;
        let visible = leave_out(aborted, batches).into_iter();
        seen.extend(visible.filter(|record| record.offset >= offset));
        offset = next;
    }
}

/// The records that are neither markers nor aborted.
fn leave_out(mut aborted: Vec<AbortedTransaction>, batches: Vec<Bytes>) -> Vec<Record> {
    aborted.sort_by_key(|transaction| transaction.first_offset);
    let mut aborted = aborted.into_iter().peekable();
    let mut aborting: Vec<i64> = Vec::new();
    let mut left = Vec::new();
    for batch in batches {
        let last_offset = last_offset(&batch);
        while let Some(begun) = aborted.next_if(|next| next.first_offset <= last_offset) {
            aborting.push(begun.producer_id.0);
        }
        for record in records_of(batch) {
            let is_aborted = record.transactional && aborting.contains(&record.producer_id);
            if !record.control && !is_aborted {
                left.push(record);
            } else if record.control && record.key.as_deref() == Some(ABORT) {
                // This is where the transaction ends that the list began.
                aborting.retain(|id| *id != record.producer_id);
            }
        }
    }
    left
}

/// The batches, one by one.
fn split(mut batches: Bytes) -> Vec<Bytes> {
    let mut split = Vec::new();
    while !batches.is_empty() {
        let length = field::<4>(&batches, position::BATCH_LENGTH);
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a length");
        split.push(batches.split_to(position::BATCH_LENGTH + 4 + length));
    }
    split
}

fn last_offset(batch: &Bytes) -> i64 {
    let delta = i32::from_be_bytes(field(batch, position::LAST_OFFSET_DELTA));
    i64::from_be_bytes(field(batch, 0)) + i64::from(delta)
}

/// None of a batch that a compaction has emptied.
fn records_of(batch: Bytes) -> Vec<Record> {
    match i32::from_be_bytes(field(&batch, position::RECORD_COUNT)) {
        0 => Vec::new(),
        _ => decode(Some(batch)),
    }
}

fn field<const LENGTH: usize>(batch: &Bytes, position: usize) -> [u8; LENGTH] {
    let bytes = batch.get(position..position + LENGTH);
    bytes
        .expect("a whole batch")
        .try_into()
        .expect("the length")
}

/// The last stable offset, as a read_committed consumer asks for the end.
async fn stable_end(client: &mut RawClient, topic: &Topic, partition: i32) -> i64 {
    let request =
        list_offsets_request(topic, partition, LATEST).with_isolation_level(READ_COMMITTED);
    only(only(client.send(8, request).await.topics).partitions).offset
}
