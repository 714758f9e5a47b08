//! A pipeline to be tried: a topic of numbered records, a processor that copies them, and a ledger that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use kafka_event_streaming::Error;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, IsolationLevel, ProducerSettings};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::ledger::{Ledger, LedgerReport};
use kafka_event_streaming::producer::{Delivery, RecordProducer};
use kafka_event_streaming::topics::{self, unique_name};
use kafka_event_streaming::transaction::{
    Outputs, Summary, TransactionSettings, TransactionalProcessor,
};
use rdkafka::Message;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Far longer than any of this takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const PARTITIONS: i32 = 3;

/// Records have these many keys, so that the ledger also sees their order.
const KEYS: usize = 12;

/// Names and addresses of one pipeline. A process that is started by a test is told them.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) cluster: Cluster,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) group: String,
    pub(crate) partitions: usize,
    /// What was written to the input, and seen in the output.
    pub(crate) ledger: Ledger,
}

/// A processor at work. Dropping it stops it.
pub(crate) struct Running {
    pub(crate) shutdown: CancellationToken,
    outcome: JoinHandle<Result<Summary, Error>>,
    _stop: DropGuard,
}

impl Pipeline {
    pub(crate) async fn create(cluster: &Cluster) -> Self {
        Self::with_partitions(cluster, PARTITIONS).await
    }

    pub(crate) async fn with_partitions(cluster: &Cluster, partitions: i32) -> Self {
        let pipeline = Self {
            cluster: cluster.clone(),
            input: unique_name("input"),
            output: unique_name("output"),
            group: unique_name("group"),
            partitions: partitions as usize,
            ledger: Ledger::new(),
        };
        for topic in [&pipeline.input, &pipeline.output] {
            topics::ensure_topic(cluster, topic, partitions)
                .await
                .expect("a test's topic has to be created");
        }
        pipeline
    }

    /// Writes the first `count` records: the key says which series, the payload the number within it.
    pub(crate) async fn fill(&self, count: usize) {
        self.fill_range(0..count).await;
    }

    pub(crate) async fn fill_range(&self, numbers: Range<usize>) {
        let producer = RecordProducer::new(&self.cluster, &ProducerSettings::reliable()).unwrap();
        let mut pending = Vec::new();
        for number in numbers {
            let key = format!("key-{}", number % KEYS);
            let sequence = number / KEYS;
            let payload = sequence.to_string();
            let report = producer
                .enqueue(&self.input, key.as_bytes(), payload.as_bytes())
                .await
                .unwrap();
            pending.push((key, sequence, report));
        }
        for (key, sequence, report) in pending {
            report.await.unwrap();
            self.ledger.sent(key, sequence as u64);
        }
    }

    /// Writes one record.
    pub(crate) async fn send(&self, key: &str, payload: &str) -> Delivery {
        let producer = RecordProducer::new(&self.cluster, &ProducerSettings::reliable()).unwrap();
        let delivery = producer
            .send(&self.input, key.as_bytes(), payload.as_bytes())
            .await
            .unwrap();
        self.ledger.sent(key, payload.parse().unwrap());
        delivery
    }

    pub(crate) fn settings(&self, transactional_id: &str) -> TransactionSettings {
        TransactionSettings {
            batch_records: 20,
            ..TransactionSettings::new(&self.group, transactional_id)
        }
    }

    /// A processor that copies every record to the output.
    pub(crate) fn start(&self, settings: &TransactionSettings) -> Running {
        let output = self.output.clone();
        self.start_with(settings, move |record, outputs| {
            copy(record, outputs, &output);
            Ok(())
        })
    }

    pub(crate) fn start_with<F>(&self, settings: &TransactionSettings, transform: F) -> Running
    where
        F: FnMut(
                &ConsumedRecord<'_>,
                &mut Outputs,
            ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
            + Send
            + 'static,
    {
        let processor =
            TransactionalProcessor::new(&self.cluster, settings, &[&self.input]).unwrap();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        Running {
            _stop: shutdown.clone().drop_guard(),
            shutdown,
            outcome: tokio::spawn(async move {
                let outcome = processor.run(&token, transform).await;
                // Where a test expects it to go on, this says why it waits in vain.
                if let Err(error) = &outcome {
                    eprintln!("the processor has ended: {error:?}");
                }
                outcome
            }),
        }
    }

    /// Reads the output as a reader of committed records does, until all that was sent was seen and every partition is
    /// at its end, and gives the numbers.
    pub(crate) async fn count(&self) -> LedgerReport {
        let sent = self.ledger.report().sent;
        let settings = ConsumerSettings::reliable(&unique_name("reader"));
        let consumer = RecordConsumer::new(&self.cluster, &settings, &[&self.output]).unwrap();
        let mut ended = BTreeSet::new();
        let mut position = Position::default();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match consumer.next(Duration::from_millis(100)).await {
                Ok(Polled::Record(record)) if position.was_here(&record) => {}
                Ok(Polled::Record(record)) => {
                    let payload = record.payload_view::<str>().unwrap().unwrap();
                    self.ledger
                        .seen(record.key().unwrap(), payload.parse().unwrap());
                    ended.remove(&record.partition());
                }
                Ok(Polled::EndOfPartition(partition)) => {
                    ended.insert(partition);
                }
                Ok(Polled::Nothing) => {}
                Err(error) => eprintln!("{error:?}"),
            }
            let report = self.ledger.report();
            let is_at_the_end = ended.len() == self.partitions;
            if is_at_the_end && report.once + report.duplicated >= sent {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "after {PATIENCE:?} the results are still not complete: {report}"
            );
        }
        consumer.close().await.unwrap();
        self.ledger.report()
    }

    /// As [`count`](Self::count), and it was exactly once and in order.
    pub(crate) async fn expect_exactly_once(&self) {
        let report = self.count().await;
        assert!(
            report.is_exactly_once(),
            "{report}: {:?}",
            self.ledger.faults()
        );
        assert_eq!(report.reordered, 0, "{report}: {:?}", self.ledger.faults());
    }

    /// How many records can be read of the output, aborted ones included or not. Waits until there are `at_least`.
    pub(crate) async fn visible(&self, isolation: IsolationLevel, at_least: usize) -> usize {
        let settings = ConsumerSettings {
            isolation,
            ..ConsumerSettings::reliable(&unique_name("reader"))
        };
        let consumer = RecordConsumer::new(&self.cluster, &settings, &[&self.output]).unwrap();
        let mut ended = BTreeSet::new();
        let mut seen = 0;
        let mut position = Position::default();
        let deadline = Instant::now() + PATIENCE;
        while seen < at_least || ended.len() < self.partitions {
            match consumer.next(Duration::from_millis(100)).await {
                Ok(Polled::Record(record)) if position.was_here(&record) => {}
                Ok(Polled::Record(record)) => {
                    seen += 1;
                    ended.remove(&record.partition());
                }
                Ok(Polled::EndOfPartition(partition)) => {
                    ended.insert(partition);
                }
                Ok(Polled::Nothing) => {}
                Err(error) => eprintln!("{error:?}"),
            }
            assert!(
                Instant::now() < deadline,
                "{seen} instead of {at_least} records were visible after {PATIENCE:?}"
            );
        }
        consumer.close().await.unwrap();
        seen
    }
}

/// How far a reader has come. When a server stands still for longer than a session lasts, the reader is put out of its group,
/// joins again and, having committed nothing, begins anew: that is the reader's repetition, and not the pipeline's.
#[derive(Default)]
struct Position {
    /// The next offset of each partition.
    next: BTreeMap<i32, i64>,
}

impl Position {
    /// Whether the reader has passed this record already. If not, it has now.
    fn was_here(&mut self, record: &impl Message) -> bool {
        let next = self.next.entry(record.partition()).or_default();
        let was_here = record.offset() < *next;
        *next = (record.offset() + 1).max(*next);
        was_here
    }
}

impl Running {
    /// Shuts the processor down, and says what it did.
    pub(crate) async fn stop(self) -> Summary {
        self.shutdown.cancel();
        self.outcome().await.expect("the processor has to end well")
    }

    /// Waits until the processor ends by itself.
    pub(crate) async fn outcome(self) -> Result<Summary, Error> {
        tokio::time::timeout(PATIENCE, self.outcome)
            .await
            .expect("the processor has to end")
            .expect("the processor must not panic")
    }
}

pub(crate) fn copy(record: &ConsumedRecord<'_>, outputs: &mut Outputs, output: &str) {
    outputs.send(
        output,
        record.key().unwrap_or_default(),
        record.payload().unwrap_or_default(),
    );
}
