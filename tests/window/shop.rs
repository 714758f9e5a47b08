//! A shop whose sales are added up by product and ten seconds, and the same done by hand to compare with.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kafka_event_streaming::Error;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::event::{self, Event};
use kafka_event_streaming::event_consumer::EventConsumer;
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::topics::{self, unique_name};
use kafka_event_streaming::transaction::TransactionSettings;
use kafka_event_streaming::window::{
    Aggregation, Restored, TumblingWindows, WindowResult, WindowSettings, WindowSummary,
    WindowedProcessor,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Far longer than any of this takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const PARTITIONS: i32 = 3;

/// A window's size.
pub(crate) const SIZE_MS: i64 = 10_000;
/// How much later it closes.
pub(crate) const GRACE_MS: i64 = 3_000;

/// A key and a window's start.
pub(crate) type Cell = (String, i64);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sale {
    pub(crate) product: String,
    pub(crate) cents: i64,
    pub(crate) sold_at: Timestamp,
}

impl Event for Sale {
    const TYPE: &'static str = "sale";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.product)
    }
}

/// Revenue in cents, and how many sales it comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Takings {
    pub(crate) cents: i64,
    pub(crate) sales: u64,
}

#[derive(Clone, Default)]
pub(crate) struct TakingsByProduct {
    /// How often a sale was added, again after each abort.
    pub(crate) added: Arc<AtomicU64>,
    /// How many totals came from the changelog.
    pub(crate) restored: Arc<AtomicUsize>,
}

impl Aggregation for TakingsByProduct {
    type Event = Sale;
    type Total = Takings;

    fn time(&self, sale: &Sale) -> Timestamp {
        sale.sold_at
    }

    fn fold(&self, takings: &mut Takings, sale: &Sale) {
        takings.cents += sale.cents;
        takings.sales += 1;
        self.added.fetch_add(1, Ordering::SeqCst);
    }

    fn restored(&self, found: Restored) {
        assert!(found.records >= found.totals as u64, "{found:?}");
        self.restored.fetch_add(found.totals, Ordering::SeqCst);
    }
}

/// Names and addresses. A process that is started by a test is told them.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) cluster: Cluster,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) changelog: String,
    pub(crate) rejects: String,
    pub(crate) group: String,
}

/// A processor at work. Dropping it stops it.
pub(crate) struct Running {
    pub(crate) aggregation: TakingsByProduct,
    shutdown: CancellationToken,
    outcome: JoinHandle<Result<WindowSummary, Error>>,
    _stop: DropGuard,
}

/// What should come out, worked out from where each sale was written.
#[derive(Default)]
pub(crate) struct Expected {
    /// The offset up to which each partition's sales are in here.
    next: BTreeMap<i32, i64>,
    /// The latest sale of each partition.
    latest: BTreeMap<i32, i64>,
    totals: BTreeMap<(i32, Cell), Takings>,
    pub(crate) late: u64,
}

impl Shop {
    pub(crate) async fn open(cluster: &Cluster) -> Self {
        let shop = Self {
            cluster: cluster.clone(),
            input: unique_name("sales"),
            output: unique_name("takings"),
            changelog: unique_name("changelog"),
            rejects: unique_name("rejects"),
            group: unique_name("group"),
        };
        for topic in [&shop.input, &shop.output, &shop.rejects] {
            topics::ensure_topic(cluster, topic, PARTITIONS)
                .await
                .expect("a test's topic has to be created");
        }
        shop
    }

    /// Sells something `count` times, at `start_ms` and then in steps of 100 ms, with some delay, so that some sales come
    /// late, and some too late.
    pub(crate) async fn sell(
        &self,
        expected: &mut Expected,
        random: &mut fastrand::Rng,
        start_ms: i64,
        count: i64,
    ) {
        let mut sales = Vec::new();
        for number in 0..count {
            let delay = match random.u8(..20) {
                0 => random.i64(0..20_000),
                1..5 => random.i64(0..2_000),
                _ => 0,
            };
            sales.push(sale(
                &format!("product-{}", random.u8(..12)),
                random.i64(1..1_000),
                start_ms + number * 100 - delay,
            ));
        }
        self.write(expected, &sales).await;
    }

    /// Writes sales in this order.
    pub(crate) async fn write(&self, expected: &mut Expected, sales: &[Sale]) {
        let producer = RecordProducer::new(&self.cluster, &ProducerSettings::reliable()).unwrap();
        let mut pending = Vec::new();
        for sale in sales {
            let payload = event::encode(sale).unwrap();
            let report = producer
                .enqueue(&self.input, sale.product.as_bytes(), &payload)
                .await
                .unwrap();
            pending.push((sale, report));
        }
        // One producer: the order in each partition is that in which they were sent.
        for (sale, report) in pending {
            let delivery = report.await.unwrap();
            expected.add(delivery.partition, delivery.offset, sale);
        }
    }

    /// `instance` makes the transactional id: a test's own, though all tests may share one cluster.
    pub(crate) fn transactions(&self, instance: &str) -> TransactionSettings {
        let transactional_id = format!("{}-{instance}", self.group);
        TransactionSettings {
            batch_records: 50,
            ..TransactionSettings::new(&self.group, &transactional_id)
        }
    }

    pub(crate) fn windows(&self) -> WindowSettings {
        let windows = TumblingWindows::of(Duration::from_millis(SIZE_MS as u64))
            .with_grace(Duration::from_millis(GRACE_MS as u64));
        WindowSettings {
            rejects: Some(self.rejects.clone()),
            ..WindowSettings::new(windows, &self.output, &self.changelog)
        }
    }

    pub(crate) async fn start(
        &self,
        transactions: &TransactionSettings,
        windows: &WindowSettings,
    ) -> Running {
        let aggregation = TakingsByProduct::default();
        let processor = WindowedProcessor::new(
            &self.cluster,
            transactions,
            &self.input,
            windows,
            aggregation.clone(),
        );
        let processor = processor.await.unwrap();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        Running {
            _stop: shutdown.clone().drop_guard(),
            aggregation,
            shutdown,
            outcome: tokio::spawn(async move {
                let outcome = processor.run(&token).await;
                // Where a test expects it to go on, this says why it waits in vain.
                if let Err(error) = &outcome {
                    eprintln!("the processor has ended: {error:?}");
                }
                outcome
            }),
        }
    }

    /// Waits until the group has given its partitions to somebody.
    pub(crate) async fn wait_until_assigned(&self) {
        let client: BaseConsumer = self.cluster.client_config().unwrap().create().unwrap();
        let group = self.group.clone();
        let waiting = tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let list = client.fetch_group_list(Some(&group), PATIENCE).unwrap();
                let found = list.groups().first();
                let state = found.map_or("missing", |group| group.state()).to_owned();
                if state == "Stable" {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "the group was still {state} after {PATIENCE:?}"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        waiting.await.unwrap();
    }

    /// Reads committed records of `topic` until `enough` says so and every partition is at its end.
    pub(crate) async fn read<T: Event>(
        &self,
        topic: &str,
        mut see: impl FnMut(Result<T, String>, &ConsumedRecord<'_>),
        mut enough: impl FnMut() -> Result<(), String>,
    ) {
        let settings = ConsumerSettings::reliable(&unique_name("reader"));
        let consumer = EventConsumer::<T>::new(&self.cluster, &settings, &[topic]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut is_quiet = false;
        loop {
            match consumer.next(Duration::from_millis(300)).await {
                Ok(Some(received)) => {
                    is_quiet = false;
                    let event = received
                        .event
                        .map_err(|undecodable| undecodable.to_string());
                    see(event, &received.record);
                    continue;
                }
                // The end of a partition, or nothing for a while.
                Ok(None) => {}
                Err(error) => eprintln!("{error:?}"),
            }
            let missing = enough();
            if missing.is_ok() && is_quiet {
                break;
            }
            is_quiet = missing.is_ok();
            if let Err(missing) = missing {
                assert!(Instant::now() < deadline, "after {PATIENCE:?}: {missing}");
            }
        }
        consumer.close().await.unwrap();
    }

    /// Reads the results of closed windows, and expects each once, and none else.
    pub(crate) async fn expect_results(&self, expected: &Expected) {
        let wanted = expected.closed();
        let mut results: BTreeMap<Cell, Vec<Takings>> = BTreeMap::new();
        let seen = std::cell::RefCell::new(BTreeSet::new());
        self.read::<WindowResult<Takings>>(
            &self.output,
            |result, _| {
                let result = result.unwrap();
                assert_eq!(
                    result.end.as_millisecond() - result.start.as_millisecond(),
                    SIZE_MS
                );
                let cell = (result.key, result.start.as_millisecond());
                seen.borrow_mut().insert(cell.clone());
                results.entry(cell).or_default().push(result.total);
            },
            || {
                let missing = wanted.len().saturating_sub(seen.borrow().len());
                if missing == 0 {
                    Ok(())
                } else {
                    Err(format!("{missing} of {} results are missing", wanted.len()))
                }
            },
        )
        .await;
        let wanted: BTreeMap<Cell, Vec<Takings>> = wanted
            .into_iter()
            .map(|(cell, takings)| (cell, vec![takings]))
            .collect();
        assert_eq!(results, wanted);
    }
}

impl Running {
    pub(crate) async fn stop(self) -> WindowSummary {
        self.shutdown.cancel();
        self.outcome().await.expect("the processor has to end well")
    }

    /// Waits until the processor ends by itself.
    pub(crate) async fn outcome(self) -> Result<WindowSummary, Error> {
        tokio::time::timeout(PATIENCE, self.outcome)
            .await
            .expect("the processor has to end")
            .expect("the processor must not panic")
    }
}

impl Expected {
    fn add(&mut self, partition: i32, offset: i64, sale: &Sale) {
        let next = self.next.entry(partition).or_default();
        assert_eq!(
            *next, offset,
            "the order in partition {partition} is unknown"
        );
        *next += 1;
        let time = sale.sold_at.as_millisecond();
        let latest = self.latest.entry(partition).or_insert(time);
        *latest = (*latest).max(time);
        let start = time / SIZE_MS * SIZE_MS;
        if start + SIZE_MS + GRACE_MS <= *latest {
            self.late += 1;
            return;
        }
        let cell = (partition, (sale.product.clone(), start));
        let takings = self.totals.entry(cell).or_default();
        takings.cents += sale.cents;
        takings.sales += 1;
    }

    /// How many sales there are, late ones included.
    pub(crate) fn sales(&self) -> u64 {
        self.next.values().sum::<i64>() as u64
    }

    /// The partition of sales that are all in one.
    pub(crate) fn only_partition(&self) -> i32 {
        let partitions: Vec<i32> = self.next.keys().copied().collect();
        assert_eq!(partitions.len(), 1, "the sales are in several partitions");
        partitions[0]
    }

    /// The totals of the windows that are over.
    pub(crate) fn closed(&self) -> BTreeMap<Cell, Takings> {
        self.totals_where(|start, latest| start + SIZE_MS + GRACE_MS <= latest)
    }

    /// The totals of all windows.
    pub(crate) fn all(&self) -> BTreeMap<Cell, Takings> {
        self.totals_where(|_, _| true)
    }

    /// How many totals belong to windows that are not over.
    pub(crate) fn open(&self) -> usize {
        self.all().len() - self.closed().len()
    }

    fn totals_where(&self, wanted: impl Fn(i64, i64) -> bool) -> BTreeMap<Cell, Takings> {
        self.totals
            .iter()
            .filter(|((partition, (_, start)), _)| wanted(*start, self.latest[partition]))
            .map(|((_, cell), takings)| (cell.clone(), *takings))
            .collect()
    }
}

pub(crate) fn sale(product: &str, cents: i64, sold_at_ms: i64) -> Sale {
    Sale {
        product: product.to_owned(),
        cents,
        sold_at: Timestamp::from_millisecond(sold_at_ms).unwrap(),
    }
}
