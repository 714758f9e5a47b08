//! The consuming half of the library beside the same loop written on rdkafka directly, in one run, in turn.
//!
//! ```sh
//! cargo bench --bench consume                              # medians of 5 runs of 1,000,000 records
//! cargo bench --bench consume -- --records 200000 --runs 1 # a quick look
//! ```
//!
//! One embedded broker in this process, three partitions, the same client properties, and the same records: orders of
//! about 220 bytes of JSON, without headers and with those of a typed producer. Every loop decodes each order and looks at
//! it. The processors also commit every second. The numbers are records a second on this machine, and the time of its
//! thread that each record took (Linux only), which other work on the machine disturbs less; what counts are the ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that cannot go on ends by a panic"
)]

use std::time::{Duration, Instant};

use clap::Parser;
use embedded_broker::Broker;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::dead_letter::DeadLetterProducer;
use kafka_event_streaming::event::{self, Event, TYPE_HEADER, VERSION_HEADER};
use kafka_event_streaming::event_consumer::EventConsumer;
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
use kafka_event_streaming::processor::{Concurrency, Processor, ProcessorSettings};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::shutdown::CancellationToken;
use kafka_event_streaming::topics::{self, unique_name};
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};

/// Keys, and with them orders, are this many.
const ORDERS: usize = 1_000;

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let orders = orders();
    let bytes = event::encode(&orders[0]).unwrap().len();
    for headers in ["without", "with"] {
        let broker = Broker::builder().start().await.unwrap();
        let bench = Bench {
            cluster: Cluster::new(broker.bootstrap_servers().parse().unwrap()),
            topic: unique_name("bench"),
            records: arguments.records,
        };
        bench.fill(&orders, headers == "with").await;
        println!(
            "{} records of {bytes} bytes, {headers} headers, medians of {}",
            arguments.records, arguments.runs
        );
        // Not counted: cold caches.
        bench.directly(false).await;
        let mut rates: Vec<Vec<f64>> = Loop::ALL.map(|_| Vec::new()).into();
        let mut costs = rates.clone();
        for _ in 0..arguments.runs {
            for (index, which) in Loop::ALL.into_iter().enumerate() {
                if arguments.wants(which) {
                    let before = processor_time();
                    rates[index].push(bench.run(which).await);
                    let nanoseconds = processor_time() - before;
                    costs[index].push(nanoseconds / arguments.records as f64);
                }
            }
        }
        let medians = |all: Vec<Vec<f64>>| all.into_iter().map(median).collect::<Vec<f64>>();
        let (rates, costs) = (medians(rates), medians(costs));
        for (index, which) in Loop::ALL.into_iter().enumerate() {
            if arguments.wants(which) {
                println!(
                    "{:<32} {:>10.0}/s {:>5.2} of rdkafka   {:>6.0} ns {:>5.2}",
                    which.name(),
                    rates[index],
                    rates[index] / rates[1],
                    costs[index],
                    costs[1] / costs[index],
                );
            }
        }
    }
}

/// The loops, in the order in which they take turns.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Loop {
    /// Decodes, whatever the headers say.
    DirectlyWithoutHeaders,
    /// Looks at type and version in the headers, as the library does. The others are measured by it.
    Directly,
    Typed,
    Processed(Concurrency),
}

impl Loop {
    const ALL: [Self; 6] = [
        Self::DirectlyWithoutHeaders,
        Self::Directly,
        Self::Typed,
        Self::Processed(Concurrency::Sequential),
        Self::Processed(Concurrency::ByPartition),
        Self::Processed(Concurrency::ByKey { workers: 16 }),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::DirectlyWithoutHeaders => "rdkafka, headers not looked at",
            Self::Directly => "rdkafka",
            Self::Typed => "EventConsumer",
            Self::Processed(Concurrency::Sequential) => "Processor, sequential",
            Self::Processed(Concurrency::ByPartition) => "Processor, by partition",
            Self::Processed(Concurrency::ByKey { .. }) => "Processor, by key",
        }
    }
}

struct Bench {
    cluster: Cluster,
    topic: String,
    records: usize,
}

impl Bench {
    async fn fill(&self, orders: &[OrderEvent], with_headers: bool) {
        topics::ensure_topic(&self.cluster, &self.topic, 3)
            .await
            .unwrap();
        let settings = ProducerSettings::high_throughput();
        let producer = RecordProducer::new(&self.cluster, &settings).unwrap();
        let all = orders.iter().cycle().take(self.records);
        if with_headers {
            let events = EventProducer::sharing(&producer, &self.topic);
            events.send_all(all.cloned()).await.unwrap();
            return;
        }
        for order in all {
            let payload = event::encode(order).unwrap();
            let key = order.order_id.as_bytes();
            let _pending = producer.enqueue(&self.topic, key, &payload).await.unwrap();
        }
        producer.flush(Duration::from_secs(60)).await.unwrap();
    }

    /// A group of its own each time: it reads everything.
    fn settings() -> ConsumerSettings {
        ConsumerSettings::reliable(&unique_name("bench"))
    }

    /// From the first record on: joining the group has nothing to do with it.
    fn rate(&self, started: Option<Instant>) -> f64 {
        self.records as f64 / started.unwrap().elapsed().as_secs_f64()
    }

    async fn run(&self, which: Loop) -> f64 {
        match which {
            Loop::DirectlyWithoutHeaders => self.directly(false).await,
            Loop::Directly => self.directly(true).await,
            Loop::Typed => self.typed().await,
            Loop::Processed(concurrency) => self.processed(concurrency).await,
        }
    }

    async fn directly(&self, checks_headers: bool) -> f64 {
        let config = Self::settings().client_config(&self.cluster).unwrap();
        let consumer: StreamConsumer = config.create().unwrap();
        consumer.subscribe(&[&self.topic]).unwrap();
        let (mut read, mut started) = (0, None);
        while read < self.records {
            let record = match consumer.recv().await {
                Ok(record) => record,
                Err(KafkaError::PartitionEOF(_)) => continue,
                Err(error) => panic!("{error}"),
            };
            started.get_or_insert_with(Instant::now);
            if checks_headers {
                check_headers(&record);
            }
            let order: OrderEvent = serde_json::from_slice(record.payload().unwrap()).unwrap();
            look_at(&order);
            read += 1;
        }
        self.rate(started)
    }

    async fn typed(&self) -> f64 {
        let consumer =
            EventConsumer::<OrderEvent>::new(&self.cluster, &Self::settings(), &[&self.topic])
                .unwrap();
        let (mut read, mut started) = (0, None);
        while read < self.records {
            let Some(received) = consumer.next(Duration::from_secs(10)).await.unwrap() else {
                continue;
            };
            started.get_or_insert_with(Instant::now);
            look_at(&received.event.unwrap());
            read += 1;
        }
        let rate = self.rate(started);
        consumer.close().await.unwrap();
        rate
    }

    async fn processed(&self, concurrency: Concurrency) -> f64 {
        let producer = RecordProducer::new(&self.cluster, &ProducerSettings::reliable()).unwrap();
        let (stop, progress) = (CancellationToken::new(), std::sync::Mutex::new((0, None)));
        let done = stop.clone();
        let rate = std::sync::Mutex::new(0.0);
        let processor = Processor::new(
            &self.cluster,
            &Self::settings(),
            &[&self.topic],
            async |order: &OrderEvent, _: &ConsumedRecord<'_>| {
                look_at(order);
                let mut progress = progress.lock().unwrap();
                progress.1.get_or_insert_with(Instant::now);
                progress.0 += 1;
                if progress.0 == self.records {
                    *rate.lock().unwrap() = self.rate(progress.1);
                    done.cancel();
                }
                Ok(())
            },
            DeadLetterProducer::new(&producer, "unused"),
        )
        .unwrap()
        .with_settings(ProcessorSettings {
            concurrency,
            ..ProcessorSettings::default()
        });
        let counts = processor.run(stop).await.unwrap();
        assert_eq!(counts.done, self.records as u64);
        rate.into_inner().unwrap()
    }
}

/// What a program without this library would write.
fn check_headers(record: &BorrowedMessage<'_>) {
    let Some(headers) = record.headers() else {
        return;
    };
    for header in headers.iter() {
        let value = header.value.unwrap_or_default();
        match header.key {
            TYPE_HEADER => assert_eq!(value, OrderEvent::TYPE.as_bytes()),
            VERSION_HEADER => {
                let version: u32 = std::str::from_utf8(value).unwrap().parse().unwrap();
                assert_eq!(version, OrderEvent::VERSION);
            }
            _ => {}
        }
    }
}

/// How long this thread has run, in nanoseconds, as Linux counts it.
fn processor_time() -> f64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let time = counted.split(' ').next().unwrap_or_default();
    time.parse().unwrap_or(f64::NAN)
}

/// Keeps the compiler from leaving out what nobody uses.
fn look_at(order: &OrderEvent) {
    std::hint::black_box(order);
}

fn orders() -> Vec<OrderEvent> {
    let order = |number: usize| {
        let items =
            vec![LineItem::new("coffee".parse().unwrap(), 2, "3.50 EUR".parse().unwrap()).unwrap()];
        let id = format!("order-{number}").parse().unwrap();
        let placed_at = "2026-03-14T09:26:53Z".parse().unwrap();
        OrderEvent::from(
            &Order::place(id, "customer-7".parse().unwrap(), placed_at, items).unwrap(),
        )
    };
    (0..ORDERS).map(order).collect()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measure the consuming half of the library against rdkafka.
#[derive(Parser)]
struct Arguments {
    /// How many records each loop reads
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,

    /// How often each loop runs
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Only the loops whose names contain this; the ratios make no sense then
    #[arg(long)]
    only: Option<String>,

    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn wants(&self, which: Loop) -> bool {
        let name = which.name();
        self.only.as_deref().is_none_or(|only| name.contains(only))
    }
}
