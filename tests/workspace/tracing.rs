//! Spans of producers and consumers as OpenTelemetry sees them. Here, and not in the library's own tests, because the SDK
//! is ten crates that the first example does not need.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::borrow::Cow;
use std::future::{Future, ready};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use embedded_broker::Broker;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::event::Event;
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::topics;
use kafka_event_streaming::trace_context::{self, TraceContext};
use opentelemetry::trace::{SpanId, SpanKind, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize)]
struct OrderPlaced {
    order_id: String,
}

impl Event for OrderPlaced {
    const TYPE: &'static str = "order.placed";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order_id)
    }
}

/// Keeps spans that have ended, instead of sending them to a collector.
#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Ended {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.lock().unwrap().extend(batch);
        ready(Ok(()))
    }
}

impl Ended {
    /// The spans of this name, once there are `count`: a publishing ends on librdkafka's thread.
    async fn spans(&self, name: &str, count: usize) -> Vec<SpanData> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut spans = self.0.lock().unwrap().clone();
            spans.retain(|span| span.name == name);
            if spans.len() == count {
                spans.sort_by_key(|span| span.start_time);
                return spans;
            }
            assert!(
                Instant::now() < deadline,
                "{count} spans {name:?}: {spans:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// S1-10, S3-04: each record names the span that sent it, and the span of its processing is that one's child, in the
/// same trace; what is sent meanwhile goes on from there.
#[tokio::test]
async fn the_span_of_processing_is_a_child_of_the_span_of_publishing() {
    let broker = Broker::builder().start().await.unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    topics::ensure_topic(&cluster, "orders", 1).await.unwrap();
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(ended.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    // Of the whole process: spans end on librdkafka's thread, and end their parents through that thread's subscriber.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let producer = EventProducer::new(&cluster, "orders", &ProducerSettings::reliable()).unwrap();
    let order = |number| OrderPlaced {
        order_id: format!("order-{number}"),
    };
    producer.send(&order(1)).await.unwrap();

    let settings = ConsumerSettings::reliable("billing");
    let consumer = RecordConsumer::new(&cluster, &settings, &["orders"]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let record = loop {
        if let Polled::Record(record) = consumer.next(PATIENCE).await.unwrap() {
            break record;
        }
        assert!(Instant::now() < deadline, "no record within {PATIENCE:?}");
    };
    trace_context::follow(&record, producer.send(&order(2)))
        .await
        .unwrap();

    let published = ended.spans("publish", 2).await;
    let processed = ended.spans("process", 1).await.remove(0);
    assert_eq!(published[0].span_kind, SpanKind::Producer);
    assert_eq!(published[0].parent_span_id, SpanId::INVALID);
    assert_eq!(processed.span_kind, SpanKind::Consumer);
    assert_eq!(
        processed.parent_span_id,
        published[0].span_context.span_id()
    );
    assert!(processed.parent_span_is_remote);
    assert_eq!(
        published[1].parent_span_id,
        processed.span_context.span_id()
    );
    for span in [&processed, &published[1]] {
        let trace_id = span.span_context.trace_id();
        assert_eq!(trace_id, published[0].span_context.trace_id());
    }
    let attribute = |span: &SpanData, name: &str| {
        let mut attributes = span.attributes.iter();
        attributes
            .find(|attribute| attribute.key.as_str() == name)
            .map(|attribute| attribute.value.to_string())
    };
    assert_eq!(attribute(&published[0], "topic").as_deref(), Some("orders"));
    assert_eq!(attribute(&published[0], "key").as_deref(), Some("order-1"));
    assert_eq!(attribute(&processed, "offset").as_deref(), Some("0"));

    // The headers say the same to services that are not written in Rust.
    let records = broker.records("orders", 0).unwrap();
    for (record, span) in records.iter().zip(&published) {
        let traceparent = std::str::from_utf8(record.header("traceparent").unwrap()).unwrap();
        let expected = format!(
            "00-{}-{}-01",
            span.span_context.trace_id(),
            span.span_context.span_id()
        );
        assert_eq!(traceparent, expected);
        assert!(TraceContext::parse(traceparent, None).is_some());
    }
    consumer.close().await.unwrap();
}
