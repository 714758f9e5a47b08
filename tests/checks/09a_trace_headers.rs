//! The check of exercise 9a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use embedded_broker::RecordView;
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, FutureProducer};

use super::{INVOICES, ORDERS, TRACEPARENT, TRACESTATE, TraceContext, consumer_settings, run};
use support::{create_topics, returns, runtime, start_broker, write_records};

/// From the specification.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const STATE: &str = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

/// What is no `traceparent`, and why.
const NOT_VALID: [(&str, &str); 12] = [
    ("", "it is empty"),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e4736",
        "two fields are missing",
    ),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "the flags are missing",
    ),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "the trace id has 31 digits",
    ),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7a-01",
        "the span id has 17 digits",
    ),
    (
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "it has digits in upper case",
    ),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e473x-00f067aa0ba902b7-01",
        "x is no hexadecimal digit",
    ),
    (
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "the trace id is 0",
    ),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "the span id is 0",
    ),
    (
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "there is no version ff",
    ),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-00",
        "version 00 has four fields",
    ),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e473é00f067aa0ba902b7-01",
        "é is no hexadecimal digit",
    ),
];

#[test]
fn a_traceparent_is_read() {
    let later = format!("cc-{TRACE}-{SPAN}-00-what-the-future-will-be-like");
    for (header, flags) in [
        (format!("00-{TRACE}-{SPAN}-01"), "01"),
        (format!("00-{TRACE}-{SPAN}-00"), "00"),
        (later, "00"),
    ] {
        let expected = TraceContext {
            trace_id: TRACE.to_owned(),
            span_id: SPAN.to_owned(),
            flags: flags.to_owned(),
        };
        let found = TraceContext::parse(&header);
        assert!(
            found.as_ref() == Some(&expected),
            "{header:?} is a valid traceparent, and `parse` makes {found:?} of it. Chapter 9, 'The traceparent header'."
        );
    }
}

#[test]
fn what_is_not_valid_is_not_believed() {
    for (header, why) in NOT_VALID {
        let found = TraceContext::parse(header);
        assert!(
            found.is_none(),
            "{header:?} is no traceparent, because {why}, and `parse` makes {found:?} of it. Chapter 9, 'The traceparent \
             header'."
        );
    }
}

fn child_of(trace: &TraceContext) -> TraceContext {
    let child = trace.child();
    assert!(
        child.trace_id == trace.trace_id && child.flags == trace.flags,
        "a new span in {trace:?} is {child:?}: trace id and flags stay. Chapter 9, 'One trace, many spans'."
    );
    child
}

#[test]
fn a_child_is_a_new_span_of_the_same_trace() {
    let trace = TraceContext {
        trace_id: TRACE.to_owned(),
        span_id: SPAN.to_owned(),
        flags: "00".to_owned(),
    };
    let (one, other) = (child_of(&trace), child_of(&trace));
    assert!(
        one.span_id != SPAN && one.span_id != other.span_id,
        "two new spans in {trace:?} are {:?} and {:?}: each has an id of its own. Chapter 9, 'One trace, many spans'.",
        one.span_id,
        other.span_id
    );
}

/// Has the learner's service make invoices of orders with these headers.
fn invoices_of(orders: Vec<OwnedHeaders>) -> Vec<RecordView> {
    let broker = start_broker();
    create_topics(&broker, 1, &[ORDERS, INVOICES]);
    let count = orders.len();
    let records = orders.into_iter().map(|headers| {
        let record = BaseRecord::to(ORDERS).partition(0).headers(headers);
        record.key("customer-1").payload("an order")
    });
    write_records(&broker, records);

    let servers = broker.bootstrap_servers();
    let run_all = async move || {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &servers)
            .set("linger.ms", "0")
            .create()
            .unwrap();
        let consumer: StreamConsumer = consumer_settings(&servers, "invoicing")
            .set("fetch.wait.max.ms", "50")
            .create()
            .unwrap();
        consumer.subscribe(&[ORDERS]).unwrap();
        run(&consumer, &producer, count).await
    };
    let outcome = returns("the invoices were not written", move || {
        runtime().block_on(run_all())
    });
    outcome.expect("a header is no reason to stop, valid or not");
    broker.records(INVOICES, 0).unwrap()
}

fn headers(headers: &[(&str, &str)]) -> OwnedHeaders {
    let headers = headers.iter();
    headers.fold(OwnedHeaders::new(), |headers, &(key, value)| {
        let value = Some(value);
        headers.insert(Header { key, value })
    })
}

/// The trace id and span id that a record was written with.
fn trace_of(invoice: &RecordView) -> (String, String) {
    let named = invoice.headers.iter().filter(|(key, _)| key == TRACEPARENT);
    let values: Vec<String> = named
        .map(|(_, value)| {
            String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
        })
        .collect();
    let [value] = &values[..] else {
        panic!(
            "the invoice has {} headers {TRACEPARENT}: {values:?}. It needs one, and the order's is not to be copied beside \
             it. Chapter 9, 'One trace, many spans'.",
            values.len()
        );
    };
    let fields: Vec<&str> = value.split('-').collect();
    match fields[..] {
        ["00", trace, span, flags] if trace.len() == 32 && span.len() == 16 && flags.len() == 2 => {
            (trace.to_owned(), span.to_owned())
        }
        _ => panic!(
            "the invoice has the {TRACEPARENT} {value:?}, which is none. Chapter 9, 'The traceparent header'."
        ),
    }
}

#[test]
fn a_trace_goes_on_in_the_record_that_is_written() {
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let orders = vec![
        headers(&[(TRACEPARENT, &traceparent), (TRACESTATE, STATE)]),
        headers(&[("source", "shop"), (TRACEPARENT, &traceparent)]),
    ];
    let invoices = invoices_of(orders);
    let mut spans = BTreeSet::from([SPAN.to_owned()]);
    for invoice in &invoices {
        let (trace, span) = trace_of(invoice);
        assert!(
            trace == TRACE,
            "the order belongs to the trace {TRACE}, and its invoice to {trace}: whoever looks at the trace sees it end at \
             this service. Chapter 9, 'One trace, many spans'."
        );
        assert!(
            spans.insert(span.clone()),
            "the invoice has the span id {span}, which was there before: each service, and each record, is a span of its \
             own. Chapter 9, 'One trace, many spans'."
        );
    }
    let states: Vec<Option<&[u8]>> = invoices
        .iter()
        .map(|invoice| invoice.header(TRACESTATE))
        .collect();
    assert!(
        states == [Some(STATE.as_bytes()), None],
        "the header {TRACESTATE} is handed on as it came, where it came. Chapter 9, 'One trace, many spans'."
    );
}

#[test]
fn without_a_valid_trace_a_new_one_begins() {
    let orders = NOT_VALID
        .iter()
        .map(|(header, _)| headers(&[(TRACEPARENT, header), (TRACESTATE, STATE)]));
    let no_text = OwnedHeaders::new().insert(Header {
        key: TRACEPARENT,
        value: Some(&[0xff_u8; 55]),
    });
    let orders = orders.chain([OwnedHeaders::new(), no_text]).collect();
    let mut traces = BTreeSet::from([TRACE.to_owned(), "0".repeat(32)]);
    for invoice in invoices_of(orders) {
        let (trace, _) = trace_of(&invoice);
        assert!(
            traces.insert(trace.clone()),
            "an order came without a valid {TRACEPARENT}, and its invoice has the trace {trace}, which was there before: \
             begin a new one. Chapter 9, 'The traceparent header'."
        );
        assert!(
            invoice.header(TRACESTATE).is_none(),
            "a new trace began, and its {TRACESTATE} is from another one. Chapter 9, 'The traceparent header'."
        );
    }
}
