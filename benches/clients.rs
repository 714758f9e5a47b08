//! The typed clients beside the same loops written on rdkafka directly, in one run, in turn.
//!
//! ```sh
//! cargo bench --bench clients                              # medians of 15 runs of 200,000 records
//! cargo bench --bench clients -- --records 100000 --runs 1 # a quick look
//! ```
//!
//! One embedded broker in this process, one partition, the same client properties, and the same record: an order of about
//! 240 bytes of JSON with four headers. Both loops keep as many records on their way. The numbers are records a second,
//! and processor time for each record, the broker's included, on this machine; what counts is their ratio.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that cannot go on ends by a panic"
)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Parser;
use embedded_broker::Broker;
use jiff::Timestamp;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::event::{self, Event};
use kafka_event_streaming::event_consumer::EventConsumer;
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
use kafka_event_streaming::topics;
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// As many as `EventProducer::send_all` has.
const IN_FLIGHT: usize = 20_000;

/// Far longer than any record takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keys, and with them orders, are this many.
const ORDERS: usize = 1_000;

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let broker = Broker::builder().start().await.unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    let orders = orders();
    let bytes = event::encode(&orders[0]).unwrap().len();
    println!(
        "{} records of {bytes} bytes, medians of {}",
        arguments.records, arguments.runs
    );

    let bench = Bench {
        cluster,
        orders,
        records: arguments.records,
        runs: arguments.runs,
    };
    // Not counted: fresh memory, cold caches.
    bench.produce_typed().await;
    bench.produce().await;
    bench.consume().await;
}

struct Bench {
    cluster: Cluster,
    orders: Vec<OrderEvent>,
    records: usize,
    runs: usize,
}

impl Bench {
    async fn produce(&self) {
        let (mut bare, mut direct, mut typed) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs {
            direct.push(self.produce_directly(true).await);
            typed.push(self.produce_typed().await);
            bare.push(self.produce_directly(false).await);
        }
        print_run("produce, rdkafka, no headers", &bare);
        let direct = ("produce, rdkafka, same headers", &direct[..]);
        print_pairs(direct, ("produce, EventProducer", &typed));
    }

    async fn consume(&self) {
        let topic = self.topic().await;
        let producer =
            EventProducer::<OrderEvent>::new(&self.cluster, &topic, &Self::settings()).unwrap();
        producer.send_all(self.events()).await.unwrap();
        let (mut direct, mut typed) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            direct.push(self.consume_directly(&topic).await);
            typed.push(self.consume_typed(&topic).await);
        }
        let direct = ("consume, rdkafka and serde_json", &direct[..]);
        print_pairs(direct, ("consume, EventConsumer", &typed));
    }

    fn settings() -> ProducerSettings {
        ProducerSettings::high_throughput()
    }

    async fn topic(&self) -> String {
        let topic = topics::unique_name("bench");
        topics::ensure_topic(&self.cluster, &topic, 1)
            .await
            .unwrap();
        topic
    }

    /// The orders over and over.
    fn events(&self) -> impl Iterator<Item = &OrderEvent> {
        self.orders.iter().cycle().take(self.records)
    }

    async fn produce_typed(&self) -> Run {
        let topic = self.topic().await;
        let producer =
            EventProducer::<OrderEvent>::new(&self.cluster, &topic, &Self::settings()).unwrap();
        // Connected, and with its producer id.
        producer.send(&self.orders[0]).await.unwrap();
        let clock = Clock::start();
        let sent = producer.send_all(self.events()).await.unwrap();
        clock.stop(sent)
    }

    async fn produce_directly(&self, with_headers: bool) -> Run {
        let topic = self.topic().await;
        let config = Self::settings().client_config(&self.cluster).unwrap();
        let producer: FutureProducer = config.create().unwrap();
        let source = self.cluster.service();
        enqueue(&producer, &topic, source, &self.orders[0], with_headers)
            .await
            .await
            .unwrap()
            .unwrap();
        let clock = Clock::start();
        let mut pending: VecDeque<DeliveryFuture> = VecDeque::new();
        for event in self.events() {
            if pending.len() == IN_FLIGHT {
                pending.pop_front().unwrap().await.unwrap().unwrap();
            }
            pending.push_back(enqueue(&producer, &topic, source, event, with_headers).await);
        }
        for report in pending {
            report.await.unwrap().unwrap();
        }
        clock.stop(self.records)
    }

    /// From the first record to the last, as a new group. Joining it is not counted.
    async fn consume_typed(&self, topic: &str) -> Run {
        let settings = ConsumerSettings::high_throughput(&topics::unique_name("bench"));
        let consumer =
            EventConsumer::<OrderEvent>::new(&self.cluster, &settings, &[topic]).unwrap();
        while consumer.next(PATIENCE).await.unwrap().is_none() {}
        let clock = Clock::start();
        let mut read = 1;
        while read < self.records {
            if let Some(received) = consumer.next(PATIENCE).await.unwrap() {
                black_box(received.event.unwrap());
                read += 1;
            }
        }
        let run = clock.stop(read);
        consumer.close().await.unwrap();
        run
    }

    async fn consume_directly(&self, topic: &str) -> Run {
        let settings = ConsumerSettings::high_throughput(&topics::unique_name("bench"));
        let config = settings.client_config(&self.cluster).unwrap();
        let consumer: StreamConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        consumer.recv().await.unwrap();
        let clock = Clock::start();
        let mut read = 1;
        while read < self.records {
            match consumer.recv().await {
                Ok(record) => {
                    let payload = record.payload().unwrap();
                    black_box(serde_json::from_slice::<OrderEvent>(payload).unwrap());
                    read += 1;
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        clock.stop(read)
    }
}

/// What a program without this library would write.
async fn enqueue(
    producer: &FutureProducer,
    topic: &str,
    source: &str,
    event: &OrderEvent,
    with_headers: bool,
) -> DeliveryFuture {
    let payload = serde_json::to_vec(event).unwrap();
    let mut record = FutureRecord::to(topic)
        .key(event.order_id.as_str())
        .payload(&payload);
    if with_headers {
        let header = |key, value| Header {
            key,
            value: Some(value),
        };
        record = record.headers(
            OwnedHeaders::new()
                .insert(header(
                    event::TIMESTAMP_HEADER,
                    &format!("{:.3}", Timestamp::now()),
                ))
                .insert(header(event::SOURCE_HEADER, &source.to_owned()))
                .insert(header(event::TYPE_HEADER, &OrderEvent::TYPE.to_owned()))
                .insert(header(
                    event::VERSION_HEADER,
                    &OrderEvent::VERSION.to_string(),
                )),
        );
    }
    loop {
        record = match producer.send_result(record) {
            Ok(report) => return report,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => refused,
            Err((error, _)) => panic!("{error}"),
        };
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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

/// One loop, from its first record to its last.
#[derive(Clone, Copy)]
struct Run {
    /// Records a second.
    rate: f64,
    /// Processor time for each record, in microseconds: of all threads, the broker's too.
    work: f64,
}

/// Measures a loop from here on.
struct Clock {
    started: Instant,
    worked: Duration,
}

impl Clock {
    fn start() -> Self {
        Self {
            worked: processor_time(),
            started: Instant::now(),
        }
    }

    fn stop(self, records: usize) -> Run {
        let elapsed = self.started.elapsed();
        let worked = processor_time() - self.worked;
        Run {
            rate: records as f64 / elapsed.as_secs_f64(),
            work: worked.as_secs_f64() * 1e6 / records as f64,
        }
    }
}

/// The processor time of this process so far. Other processes lengthen a run, and leave this alone. Linux tells it
/// (proc_pid_stat(5): fields 14 and 15, in hundredths of a second); elsewhere it is 0.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may hold blanks, field 3 is the first.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn print_run(name: &str, runs: &[Run]) {
    let rate = median(runs.iter().map(|run| run.rate).collect());
    println!("{name:<31} {rate:>9.0}/s   {:>5.2} µs", mean_work(runs));
}

/// Both, and how much of rdkafka's speed is left: by time, the median of the ratios of neighbours, and by work.
fn print_pairs(direct: (&str, &[Run]), typed: (&str, &[Run])) {
    print_run(direct.0, direct.1);
    print_run(typed.0, typed.1);
    let pairs = direct.1.iter().zip(typed.1);
    let by_time = median(
        pairs
            .map(|(direct, typed)| typed.rate / direct.rate)
            .collect(),
    );
    let by_work = mean_work(direct.1) / mean_work(typed.1);
    println!(
        "{:<31} {by_time:>9.2} by time, {by_work:.2} by work",
        "  of rdkafka"
    );
}

fn mean_work(runs: &[Run]) -> f64 {
    runs.iter().map(|run| run.work).sum::<f64>() / runs.len() as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measure the typed clients against rdkafka.
#[derive(Parser)]
struct Arguments {
    /// How many records each loop handles
    #[arg(long, default_value_t = 200_000)]
    records: usize,

    /// How often each loop runs
    #[arg(long, default_value_t = 15)]
    runs: usize,

    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}
