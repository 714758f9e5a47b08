//! The typed clients beside the same loops written on rdkafka directly, in one run, in turn.
//!
//! ```sh
//! cargo bench --bench clients                              # medians of 5 runs of 500,000 records
//! cargo bench --bench clients -- --records 100000 --runs 1 # a quick look
//! ```
//!
//! One embedded broker in this process, one partition, the same client properties, and the same record: an order of about
//! 220 bytes of JSON with four headers. Both loops keep as many records on their way. The numbers are records a second
//! on this machine; what counts is their ratio.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that cannot go on ends by a panic"
)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clap::Parser;
use embedded_broker::Broker;
use jiff::Timestamp;
use kafka_event_streaming::config::{Cluster, ProducerSettings};
use kafka_event_streaming::event::{self, Event};
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
use kafka_event_streaming::topics;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// As many as `EventProducer::send_all` has.
const IN_FLIGHT: usize = 20_000;

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
    };
    // Not counted: fresh memory, cold caches.
    bench.produce_typed().await;
    let (mut direct, mut bare, mut typed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        direct.push(bench.produce_directly(true).await);
        typed.push(bench.produce_typed().await);
        bare.push(bench.produce_directly(false).await);
    }
    let (direct, bare, typed) = (median(direct), median(bare), median(typed));
    println!("produce, rdkafka, no headers    {bare:>10.0}/s");
    println!("produce, rdkafka, same headers  {direct:>10.0}/s");
    println!(
        "produce, EventProducer          {typed:>10.0}/s   {:.2} of rdkafka",
        typed / direct
    );
}

struct Bench {
    cluster: Cluster,
    orders: Vec<OrderEvent>,
    records: usize,
}

impl Bench {
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

    async fn produce_typed(&self) -> f64 {
        let topic = self.topic().await;
        let producer = EventProducer::new(&self.cluster, &topic, &Self::settings()).unwrap();
        // Connected, and with its producer id.
        producer.send(&self.orders[0]).await.unwrap();
        let started = Instant::now();
        let sent = producer.send_all(self.events()).await.unwrap();
        rate(sent, started.elapsed())
    }

    async fn produce_directly(&self, with_headers: bool) -> f64 {
        let topic = self.topic().await;
        let config = Self::settings().client_config(&self.cluster).unwrap();
        let producer: FutureProducer = config.create().unwrap();
        let source = self.cluster.service();
        enqueue(&producer, &topic, source, &self.orders[0], with_headers)
            .await
            .await
            .unwrap()
            .unwrap();
        let started = Instant::now();
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
        rate(self.records, started.elapsed())
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

fn rate(records: usize, elapsed: Duration) -> f64 {
    records as f64 / elapsed.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Measure the typed clients against rdkafka.
#[derive(Parser)]
struct Arguments {
    /// How many records each loop handles
    #[arg(long, default_value_t = 500_000)]
    records: usize,

    /// How often each loop runs
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}
