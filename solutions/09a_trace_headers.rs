//! Exercise 9a: the trace.
//!
//! One order passes many services. To see its whole way, each service records a span, what it did and for how long, and all
//! spans of one way have the same trace id. Which trace a record belongs to, and which span it came out of, its header
//! `traceparent` says: <https://www.w3.org/TR/trace-context/#traceparent-header>. It holds four fields in lower-case
//! hexadecimal digits: `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01` is version, trace id, span id, flags.
//!
//! Write the three functions below. A service hands on the trace id, and puts its own span in the place of the one before.
//!
//! Check it with `make exercise-9a`. Read first: book/src/09_security_and_observability.md

use std::str;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};

const ORDERS: &str = "orders";
const INVOICES: &str = "invoices";
const TRACEPARENT: &str = "traceparent";
/// What tracing systems add for themselves. It is handed on as it is, with a trace that goes on.
const TRACESTATE: &str = "tracestate";
/// How long a record may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a trace stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TraceContext {
    /// 32 hexadecimal digits in lower case, not all of them 0.
    trace_id: String,
    /// 16 of them.
    span_id: String,
    /// 2 of them. `01` says that the trace is recorded.
    flags: String,
}

impl TraceContext {
    /// Begins a new trace.
    fn begin() -> Self {
        Self {
            trace_id: format!("{:032x}", fastrand::u128(1..)),
            span_id: new_span_id(),
            flags: "01".to_owned(),
        }
    }

    /// Reads a `traceparent`. None when it is not valid: then nothing in it is to be used.
    ///
    /// Version `ff` is not valid. Version `00` has exactly four fields, a later one may have more behind them.
    fn parse(header: &str) -> Option<Self> {
        let mut fields = header.split('-');
        let version = fields.next()?;
        let (trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?);
        let is_hex = |field: &str, digits: usize| {
            let lower_case = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
            field.len() == digits && field.bytes().all(lower_case)
        };
        let is_id = |field: &str, digits: usize| {
            is_hex(field, digits) && field.bytes().any(|digit| digit != b'0')
        };
        let is_known = match version {
            "00" => fields.next().is_none(),
            _ => is_hex(version, 2) && version != "ff",
        };
        let is_valid = is_known && is_id(trace_id, 32) && is_id(span_id, 16) && is_hex(flags, 2);
        is_valid.then(|| Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
            flags: flags.to_owned(),
        })
    }

    /// A new span in the same trace.
    fn child(&self) -> Self {
        Self {
            span_id: new_span_id(),
            ..self.clone()
        }
    }

    fn to_header(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }
}

fn new_span_id() -> String {
    format!("{:016x}", fastrand::u64(1..))
}

/// The headers of a record that is made of `record`: a span of its own in `record`'s trace, or in a new one if there is none
/// or it is not valid. `tracestate` comes along if the trace goes on.
fn trace_headers(record: &BorrowedMessage<'_>) -> OwnedHeaders {
    let incoming = text_header(record, TRACEPARENT).and_then(TraceContext::parse);
    let span = incoming
        .as_ref()
        .map_or_else(TraceContext::begin, TraceContext::child);
    let headers = OwnedHeaders::new().insert(Header {
        key: TRACEPARENT,
        value: Some(&span.to_header()),
    });
    match text_header(record, TRACESTATE) {
        Some(state) if incoming.is_some() => headers.insert(Header {
            key: TRACESTATE,
            value: Some(state),
        }),
        _ => headers,
    }
}

/// The value of the last header of this name, if it is text.
fn text_header<'a>(record: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let headers = record.headers()?;
    let named = headers.iter().filter(|header| header.key == name);
    str::from_utf8(named.last()?.value?).ok()
}

/// Reads `count` orders, and writes the invoice of each.
///
/// # Errors
///
/// When reading, writing or committing fails.
async fn run(
    consumer: &StreamConsumer,
    producer: &FutureProducer,
    count: usize,
) -> anyhow::Result<()> {
    for _ in 0..count {
        let order = consumer.recv().await?;
        let invoice = FutureRecord::to(INVOICES)
            .key(order.key().unwrap_or_default())
            .payload(order.payload().unwrap_or_default())
            .headers(trace_headers(&order));
        let report = producer.send(invoice, QUEUE_TIMEOUT).await;
        report.map_err(|(error, _record)| error)?;
        consumer.commit_message(&order, CommitMode::Sync)?;
    }
    Ok(())
}

fn consumer_settings(servers: &str, group: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    settings
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder().start().await?;
    let servers = broker.bootstrap_servers();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()?;
    let request = TraceContext::begin();
    let order = request.child();
    println!("the shop was asked:     {request:?}");
    println!("it wrote an order:      {order:?}");
    let headers = OwnedHeaders::new().insert(Header {
        key: TRACEPARENT,
        value: Some(&order.to_header()),
    });
    let record = FutureRecord::to(ORDERS).key("customer-1");
    let record = record.payload("2 coffees").headers(headers);
    let report = producer.send(record, QUEUE_TIMEOUT).await;
    report.map_err(|(error, _record)| error)?;

    let consumer: StreamConsumer = consumer_settings(&servers, "invoicing").create()?;
    consumer.subscribe(&[ORDERS])?;
    run(&consumer, &producer, 1).await?;
    let reader: StreamConsumer = consumer_settings(&servers, "reader").create()?;
    reader.subscribe(&[INVOICES])?;
    let invoice = reader.recv().await?;
    let invoice = text_header(&invoice, TRACEPARENT).and_then(TraceContext::parse);
    println!("an invoice was made:    {invoice:?}");
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/09a_trace_headers.rs"]
mod checks;
