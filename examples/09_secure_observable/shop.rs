//! The shop: three services, each a process of its own. None of them knows of certificates, passwords or trace ids.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use kafka_event_streaming::child;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::dead_letter::DeadLetterProducer;
use kafka_event_streaming::event::Event;
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::lag::LagMeter;
use kafka_event_streaming::metrics::Metrics;
use kafka_event_streaming::metrics_server::MetricsServer;
use kafka_event_streaming::processor::{Handler, Processor, ProcessorSettings};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::shutdown::{self, CancellationToken};
use kafka_event_streaming::{logging, topics, trace_context};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

/// In the order in which an order goes through them.
pub(crate) const SERVICES: [&str; 3] = ["orders", "payments", "shipping"];

/// Between two orders: 200 a second.
const ORDER_EVERY: Duration = Duration::from_millis(5);
/// The work on a parcel, one after the other: about 80 a second.
const SHIPPING_TAKES: Duration = Duration::from_millis(12);
/// Between two measurements of anything.
const MEASURE_EVERY: Duration = Duration::from_millis(100);
/// The longest wait for records that are on their way.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
struct OrderPlaced {
    order: u64,
}

impl Event for OrderPlaced {
    const TYPE: &'static str = "order.placed";

    fn key(&self) -> Cow<'_, str> {
        self.order.to_string().into()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct PaymentTaken {
    order: u64,
}

impl Event for PaymentTaken {
    const TYPE: &'static str = "payment.taken";

    fn key(&self) -> Cow<'_, str> {
        self.order.to_string().into()
    }
}

/// The topic that a service writes to.
fn topic_of(service: &str, run: &str) -> String {
    format!("{run}.{service}")
}

pub(crate) async fn create_topics(cluster: &Cluster, run: &str) -> Result<()> {
    for service in ["orders", "payments"] {
        let topic = topic_of(service, run);
        topics::ensure_topic(cluster, &topic, 3).await?;
        topics::ensure_topic(cluster, &topics::dead_letter_topic(&topic), 1).await?;
    }
    Ok(())
}

/// Is one of the services, until the parent asks it to stop.
pub(crate) async fn serve(name: &str, run: &str, orders: u64) -> Result<()> {
    let _spans = record_spans();
    // Ctrl-C reaches all processes of a terminal. When this one stops, the parent decides.
    let _interrupted = shutdown::on_signal()?;
    // Where the broker is and how to get in. The rest is the same with and without TLS.
    let cluster = Cluster::from_environment()?;
    let metrics = Arc::new(Metrics::new());
    let server = MetricsServer::start("127.0.0.1:0", Arc::clone(&metrics)).await?;
    writeln!(io::stdout(), "{}", server.url())?;
    let settings = ProducerSettings {
        statistics_interval: Some(MEASURE_EVERY),
        ..ProducerSettings::low_latency()
    };
    let service = Service {
        name: name.to_owned(),
        run: run.to_owned(),
        producer: RecordProducer::observed(&cluster, &settings, metrics.clone())?,
        cluster,
        metrics,
        stop: child::asked_to_stop(),
    };
    match name {
        "orders" => service.place_orders(orders).await?,
        "payments" => service.take_payments().await?,
        "shipping" => service.ship().await?,
        _ => bail!("there is no service {name}"),
    }
    service.producer.close(PATIENCE).await;
    Ok(())
}

/// Spans get their ids here, and each log line within one has them. There is no exporter: with one, a collector would draw
/// the traces.
fn record_spans() -> SdkTracerProvider {
    let provider = SdkTracerProvider::builder().build();
    logging::init_with(tracing_opentelemetry::layer().with_tracer(provider.tracer("shop")));
    provider
}

struct Service {
    name: String,
    run: String,
    cluster: Cluster,
    producer: RecordProducer,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

// ANCHOR: services
impl Service {
    /// Places `count` orders, as if each came with a request from outside: a trace begins with each.
    async fn place_orders(&self, count: u64) -> Result<()> {
        let topic = topic_of("orders", &self.run);
        let producer = EventProducer::<OrderPlaced>::sharing(&self.producer, &topic);
        let mut pace = interval(ORDER_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut reports = Vec::new();
        for order in 1..=count {
            tokio::select! {
                _ = pace.tick() => {}
                () = self.stop.cancelled() => break,
            }
            let place = async {
                info!(order, "placed");
                producer.enqueue(&OrderPlaced { order }).await
            };
            let report = trace_context::begin(place).await?;
            if order == 1 {
                // The way into the cluster takes its time. Orders that wait for it would come all at once.
                report.await?;
                pace.reset();
            } else {
                reports.push(report);
            }
        }
        for report in reports {
            report.await?;
        }
        // Its numbers can be asked for until then.
        self.stop.cancelled().await;
        Ok(())
    }

    /// Takes the payment of each order. The processor works on each record within the record's trace, and what is sent
    /// meanwhile carries that on.
    async fn take_payments(&self) -> Result<()> {
        let topic = topic_of("payments", &self.run);
        let producer = EventProducer::<PaymentTaken>::sharing(&self.producer, &topic);
        let pay = async |placed: &OrderPlaced, _: &ConsumedRecord<'_>| {
            let order = placed.order;
            info!(order, "paid");
            producer.send(&PaymentTaken { order }).await?;
            Ok(())
        };
        self.process("orders", pay).await
    }

    /// Ships what is paid, more slowly than orders come in.
    async fn ship(&self) -> Result<()> {
        let ship = async |paid: &PaymentTaken, _: &ConsumedRecord<'_>| {
            sleep(SHIPPING_TAKES).await;
            info!(order = paid.order, "shipped");
            Ok(())
        };
        self.process("payments", ship).await
    }
}
// ANCHOR_END: services

// ANCHOR: process
impl Service {
    /// Works on what `from` writes, and measures meanwhile how far this service is behind.
    async fn process<T: Event>(&self, from: &str, handler: impl Handler<T>) -> Result<()> {
        let topic = topic_of(from, &self.run);
        let group = format!("{}.{}", self.run, self.name);
        let letters = DeadLetterProducer::new(&self.producer, &topics::dead_letter_topic(&topic));
        let consumer = ConsumerSettings::reliable(&group);
        let settings = ProcessorSettings {
            commit_interval: MEASURE_EVERY,
            ..ProcessorSettings::default()
        };
        let processor = Processor::new(&self.cluster, &consumer, &[&topic], handler, letters)?;
        let meter = LagMeter::new(&self.cluster, &group, &topic)?;
        let measure = async {
            loop {
                match meter.measure().await {
                    Ok(progress) => self.metrics.group_lag(&group, &topic, &progress),
                    Err(error) => warn!(%error, "lag is not measured"),
                }
                sleep(MEASURE_EVERY).await;
            }
        };
        tokio::select! {
            ended = processor.with_settings(settings).run(self.stop.clone()) => ended?,
            never = measure => never,
        };
        Ok(())
    }
}
// ANCHOR_END: process
