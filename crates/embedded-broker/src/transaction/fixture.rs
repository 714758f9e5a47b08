//! A broker's state with one topic, and a clock that only the test moves.

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use super::{Ended, Participant, ProducerIdAndEpoch};
use crate::clock::Now;
use crate::cluster::{Cluster, Node};
use crate::log::{BatchHeader, PartitionLog, TransactionResult};
use crate::settings::Settings;
use crate::state::State;

pub(super) const TOPIC: &str = "orders";
/// Of every transaction.
pub(super) const TIMEOUT_MS: i32 = 1_000;

#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) state: State,
    pub(super) now: Now,
}

impl Fixture {
    /// A topic with as many partitions, on one node.
    pub(super) fn new(partitions: usize) -> Self {
        Self::with_config(partitions, &[])
    }

    /// The same, with settings of the topic.
    pub(super) fn with_config(partitions: usize, overrides: &[(&str, &str)]) -> Self {
        let node = Node {
            id: 0,
            running: true,
            address: ([127, 0, 0, 1], 9092).into(),
            advertised_host: "127.0.0.1".to_owned(),
            tls: None,
        };
        let mut state = State::new(Settings::default(), Cluster::new(vec![node]));
        let overrides = overrides
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = state.configs.topic(overrides.collect()).unwrap();
        state
            .topics
            .create(TOPIC, vec![vec![0]; partitions], config);
        Self {
            state,
            now: Now {
                instant: Instant::now(),
                unix_ms: 1_000_000,
            },
        }
    }

    pub(super) fn log(&self, partition: usize) -> &PartitionLog {
        &self.state.topics.get(TOPIC).unwrap().partitions[partition].log
    }

    pub(super) fn log_mut(&mut self, partition: usize) -> &mut PartitionLog {
        let topic = self.state.topics.get_mut(TOPIC).unwrap();
        &mut topic.partitions[partition].log
    }

    /// What InitProducerId does.
    pub(super) fn init(
        &mut self,
        id: &str,
        claimed: Option<ProducerIdAndEpoch>,
    ) -> Result<ProducerIdAndEpoch, ResponseError> {
        let transactions = &mut self.state.transactions;
        if let Some(ended) = transactions.abort_before_initialising(id, claimed)? {
            self.tell(ended);
        }
        self.state.transactions.initialise(id, TIMEOUT_MS, claimed)
    }

    /// What AddPartitionsToTxn does.
    pub(super) fn add(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        partition: i32,
    ) -> Result<(), ResponseError> {
        let State {
            transactions,
            timers,
            ..
        } = &mut self.state;
        transactions.add(id, producer, [participant(partition)], self.now, timers)
    }

    /// What Produce does with a transactional batch of one record: its offset.
    pub(super) fn produce(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        partition: i32,
        sequence: i32,
    ) -> Result<i64, ResponseError> {
        let header = self.header(producer, sequence);
        let log = self.log(usize::try_from(partition).unwrap());
        if !log.has_open_transaction(&header)? {
            let transactions = &mut self.state.transactions;
            transactions.verify(id, producer, &participant(partition))?;
        }
        self.append(partition, &header)
    }

    /// Appends a batch of one record that belongs to nobody.
    pub(super) fn produce_plainly(&mut self, partition: i32) -> i64 {
        let nobody = ProducerIdAndEpoch { id: -1, epoch: -1 };
        let header = BatchHeader {
            attributes: 0,
            ..self.header(nobody, -1)
        };
        self.append(partition, &header).unwrap()
    }

    /// Of a transactional batch of one record, made now.
    fn header(&self, producer: ProducerIdAndEpoch, sequence: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0x10,
            last_offset_delta: 0,
            base_timestamp: self.now.unix_ms,
            max_timestamp: self.now.unix_ms,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: sequence,
            record_count: 1,
        }
    }

    fn append(&mut self, partition: i32, header: &BatchHeader) -> Result<i64, ResponseError> {
        // Length, attributes, timestamp delta, offset delta, no key, no value, no headers.
        let bytes = header.with_records(&[12, 0, 0, 0, 1, 1, 0]);
        let header = BatchHeader::check(&bytes).unwrap();
        let now = self.now;
        let topics = &mut self.state.topics;
        let (partition, config) = topics.led_by_with_config(0, TOPIC, partition)?;
        let appended = partition.log.append(&bytes, &header, 0, config, now)?;
        Ok(appended.base_offset)
    }

    /// What EndTxn does.
    pub(super) fn end(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        result: TransactionResult,
    ) -> Result<(), ResponseError> {
        if let Some(ended) = self.state.transactions.end(id, producer, result)? {
            self.tell(ended);
        }
        Ok(())
    }

    fn tell(&mut self, ended: Ended) {
        self.state.tell_participants(ended, self.now);
    }

    /// Compacts a partition.
    pub(super) fn compact(&mut self, partition: usize) {
        let now = self.now;
        let topic = self.state.topics.get_mut(TOPIC).unwrap();
        let config = topic.config.on(0);
        let log = &mut topic.partitions[partition].log;
        let cleaning = log.begin_cleaning(config, now).expect("something to do");
        assert!(log.finish_cleaning(cleaning.run().unwrap()).is_some());
    }

    /// Lets time pass, and happen what falls due.
    pub(super) fn wait(&mut self, milliseconds: u64) {
        self.now = self.now.after(Duration::from_millis(milliseconds));
        self.state.tick(self.now);
    }

    /// The offsets of the records that a read_committed consumer is given, who begins at the start of the log and fetches
    /// at most `max_bytes` at once.
    pub(super) fn committed(&self, partition: usize, max_bytes: usize) -> Vec<i64> {
        let log = self.log(partition);
        let end = log.last_stable_offset();
        let mut offset = log.start_offset();
        let mut offsets = Vec::new();
        while offset < end {
            let records = log.read(offset, end, max_bytes).unwrap();
            let mut aborted: Vec<_> = log.aborted_in(offset, &records).collect();
            aborted.sort_by_key(|transaction| transaction.first_offset);
            let mut aborted = aborted.into_iter().peekable();
            let mut aborting = Vec::new();
            let mut rest = &records[..];
            while let Some(batch) = BatchHeader::parse(rest) {
                rest = &rest[usize::try_from(batch.batch_length).unwrap() + 12..];
                while let Some(begun) =
                    aborted.next_if(|next| next.first_offset <= batch.last_offset())
                {
                    aborting.push(begun.producer_id);
                }
                if batch.is_control() {
                    aborting.retain(|id| *id != batch.producer_id);
                } else if !(batch.is_transactional() && aborting.contains(&batch.producer_id)) {
                    // A compaction may have emptied it.
                    let is_record = batch.record_count > 0 && batch.base_offset >= offset;
                    offsets.extend(is_record.then_some(batch.base_offset));
                }
                offset = batch.last_offset() + 1;
            }
        }
        offsets
    }
}

pub(super) fn participant(partition: i32) -> Participant {
    Participant::Partition(TOPIC.to_owned(), partition)
}
