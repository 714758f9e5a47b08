//! W3C trace context: which trace a record belongs to, carried in its headers from service to service
//! (<https://www.w3.org/TR/trace-context/>).
//!
//! What comes from outside is done within [`begin`], and a consumer does its work within [`follow`]; whatever a typed
//! producer sends meanwhile carries the same trace on. That needs no tracing system: headers are passed on even by a
//! service that records nothing. With an OpenTelemetry layer in the subscriber (`tracing_opentelemetry::layer()`), the
//! spans of this library become part of the trace, each record names the span that sent it, and log lines hold the ids of
//! their trace and span.
//!
//! ```
//! use kafka_event_streaming::trace_context::{self, TraceContext};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! assert_eq!(trace_context::current(), None);
//! let trace = TraceContext::start();
//! trace_context::within(trace.clone(), async {
//!     // Typed events that are sent here have the header traceparent.
//!     assert_eq!(trace_context::current(), Some(trace));
//! })
//! .await;
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::str::{self, FromStr};
use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use rdkafka::message::Message;
use tracing::{Instrument, Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::event;

/// The trace, the span that the record comes from, and whether it is recorded.
pub const TRACEPARENT_HEADER: &str = "traceparent";
/// What tracing systems add for themselves. Passed on unread.
pub const TRACESTATE_HEADER: &str = "tracestate";

/// The length of version 00, and the shortest that a later version may have.
const LENGTH: usize = 55;
/// The most that has to be passed on (W3C Trace Context, 3.3.1.5). Longer ones are dropped.
const LONGEST_STATE: usize = 512;

tokio::task_local! {
    /// The trace that the running task works for, if it works for one.
    static CURRENT: Option<TraceContext>;
}

/// One place in one trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The same in every service that the trace goes through. Never 0.
    trace_id: u128,
    /// The span that comes before. Never 0.
    span_id: u64,
    /// Bit 0: somebody records this trace.
    flags: u8,
    /// What tracing systems add for themselves.
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// A trace that begins here, for programs without a tracing system.
    pub fn start() -> Self {
        // The upper half of a random UUID has four fixed bits, and so is never 0.
        let (span_id, _) = Uuid::new_v4().as_u64_pair();
        Self {
            trace_id: Uuid::new_v4().as_u128(),
            span_id,
            flags: 0,
            state: None,
        }
    }

    /// Reads the two headers. Nothing comes of what breaks the rules: a receiver then starts anew (W3C Trace
    /// Context, 2.2.2), and the record itself is fine.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let (version, rest) = (hex(bytes.get(..2)?)?, bytes.get(2..LENGTH)?);
        let longer = bytes.get(LENGTH);
        // Version ff is forbidden. Version 00 ends here; a later one may go on behind a hyphen.
        if version == 0xff
            || (version == 0 && longer.is_some())
            || longer.is_some_and(|&b| b != b'-')
        {
            return None;
        }
        // -TRACE-SPAN-FLAGS, with 32, 16 and 2 digits.
        if [0, 33, 50].iter().any(|&hyphen| rest[hyphen] != b'-') {
            return None;
        }
        let trace_id = hex(&rest[1..33])?;
        let span_id = u64::try_from(hex(&rest[34..50])?).ok()?;
        if trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Self {
            trace_id,
            span_id,
            flags: u8::try_from(hex(&rest[51..53])?).ok()?,
            state: tracestate
                .filter(|state| !state.is_empty() && state.len() <= LONGEST_STATE)
                .map(Arc::from),
        })
    }

    /// The context in a record's headers.
    pub fn of_record(record: &impl Message) -> Option<Self> {
        TraceHeaders {
            parent: event::header(record, TRACEPARENT_HEADER),
            state: event::header(record, TRACESTATE_HEADER),
        }
        .context()
    }

    /// The header `tracestate`, if there is one to be sent.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace's id, as tracing systems show it.
    pub fn trace_id(&self) -> impl fmt::Display + use<> {
        HexTrace(self.trace_id)
    }
}

/// The header `traceparent`, in version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
            ..
        } = self;
        write!(formatter, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// What of a record's headers is about its trace, for those who look at them all anyway.
#[derive(Default)]
pub(crate) struct TraceHeaders<'a> {
    parent: Option<&'a [u8]>,
    state: Option<&'a [u8]>,
}

impl<'a> TraceHeaders<'a> {
    /// Takes note of a header. Of several with one name the last one counts.
    pub(crate) fn note(&mut self, name: &str, value: Option<&'a [u8]>) {
        match name {
            TRACEPARENT_HEADER => self.parent = value,
            TRACESTATE_HEADER => self.state = value,
            _ => {}
        }
    }

    /// The context, if there is one that can be read.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        let parent = str::from_utf8(self.parent?).ok()?;
        let state = self.state.and_then(|state| str::from_utf8(state).ok());
        TraceContext::parse(parent, state)
    }
}

struct HexTrace(u128);

impl fmt::Display for HexTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

struct HexSpan(u64);

impl fmt::Display for HexSpan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// The context that the running task works in: that of its span if OpenTelemetry records it, else that of [`within`] or
/// [`follow`].
pub fn current() -> Option<TraceContext> {
    of_span(&Span::current())
}

/// The context that a record sent in `span` carries.
pub(crate) fn of_span(span: &Span) -> Option<TraceContext> {
    recorded(span).or_else(inherited)
}

/// What [`within`] or [`follow`] have set around the running task.
fn inherited() -> Option<TraceContext> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Does `work` as the beginning of a new trace, in a span of its own: for what comes from outside, such as a request.
pub async fn begin<F: Future>(work: F) -> F::Output {
    let span = info_span!(
        parent: None,
        "begin",
        trace_id = field::Empty,
        span_id = field::Empty,
    );
    if recorded(&span).is_some() {
        identify(&span, None);
        return work.instrument(span).await;
    }
    // Nobody records spans. The trace goes through the headers all the same.
    let context = TraceContext::start();
    span.record("trace_id", field::display(context.trace_id()));
    within(context, work.instrument(span)).await
}

/// Does `work` as a part of the trace `context`.
pub async fn within<F: Future>(context: TraceContext, work: F) -> F::Output {
    CURRENT.scope(Some(context), work).await
}

/// Does the `work` that `record` asks for: in a span of its own, and as a part of the record's trace if it has one (row
/// S3-04).
pub fn follow<F: Future, M: Message>(
    record: &M,
    work: F,
) -> impl Future<Output = F::Output> + use<F, M> {
    follow_context(TraceContext::of_record(record), record, work)
}

/// As [`follow`], for whoever knows the record's context already.
pub(crate) fn follow_context<F: Future, M: Message>(
    context: Option<TraceContext>,
    record: &M,
    work: F,
) -> impl Future<Output = F::Output> + use<F, M> {
    let span = span_of(record, context.as_ref());
    // Not an async function: it would hold `work` twice, and a processor allocates this for every record.
    CURRENT.scope(context.or_else(inherited), work.instrument(span))
}

/// The span of processing `record`, linked to the one that sent it. For code that cannot use [`follow`]: without
/// OpenTelemetry's layer the span alone carries no trace on.
pub fn record_span(record: &impl Message) -> Span {
    span_of(record, TraceContext::of_record(record).as_ref())
}

fn span_of(record: &impl Message, context: Option<&TraceContext>) -> Span {
    let span = info_span!(
        "process",
        otel.kind = "consumer",
        topic = record.topic(),
        partition = record.partition(),
        offset = record.offset(),
        key = record.key().map(String::from_utf8_lossy).as_deref(),
        trace_id = field::Empty,
        span_id = field::Empty,
        parent_id = field::Empty,
    );
    if let Some(context) = context {
        // Refused only without OpenTelemetry's layer: then there is no span to have a parent.
        let _ = span.set_parent(Context::new().with_remote_span_context(context.into()));
    }
    identify(&span, context);
    span
}

/// Names a span in log lines, in its fields `trace_id`, `span_id` and `parent_id`: then a line leads to its trace, and a
/// trace to its lines. A span that nobody records has no id, but it may be in a trace, and have a parent.
pub(crate) fn identify(span: &Span, parent: Option<&TraceContext>) {
    let own = recorded(span);
    if let Some(own) = &own {
        span.record("span_id", field::display(HexSpan(own.span_id)));
    }
    if let Some(parent) = parent {
        span.record("parent_id", field::display(HexSpan(parent.span_id)));
    }
    if let Some(context) = own.as_ref().or(parent) {
        span.record("trace_id", field::display(context.trace_id()));
    }
}

/// Lower-case digits only: the standard allows no others.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// The context of a span that OpenTelemetry records. Without its layer in the subscriber it records none.
fn recorded(span: &Span) -> Option<TraceContext> {
    // The case of most programs, and of every record that they send.
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    let state = span.trace_state().header();
    span.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(span.span_id().to_bytes()),
        flags: span.trace_flags().to_u8(),
        state: (!state.is_empty()).then(|| state.into()),
    })
}

/// In OpenTelemetry's words, for a span that another service recorded.
impl From<&TraceContext> for SpanContext {
    fn from(context: &TraceContext) -> Self {
        let state = context.state().map(TraceState::from_str);
        Self::new(
            TraceId::from_bytes(context.trace_id.to_be_bytes()),
            SpanId::from_bytes(context.span_id.to_be_bytes()),
            TraceFlags::new(context.flags),
            true,
            state.and_then(Result::ok).unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    /// From the standard's own examples.
    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn record(headers: OwnedHeaders) -> OwnedMessage {
        let topic = "orders".to_owned();
        OwnedMessage::new(
            None,
            None,
            topic,
            Timestamp::NotAvailable,
            0,
            0,
            Some(headers),
        )
    }

    /// S1-10: the header is that of the standard, and survives reading and writing.
    #[test]
    fn a_context_is_written_as_it_was_read() {
        let context = TraceContext::parse(EXAMPLE, Some("congo=t61rcWkgMzE")).unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.trace_id().to_string(), &EXAMPLE[3..35]);
        assert_eq!(context.state(), Some("congo=t61rcWkgMzE"));
        let begun = TraceContext::start();
        assert_eq!(TraceContext::parse(&begun.to_string(), None), Some(begun));
    }

    /// S1-10: what the standard forbids starts no trace, and breaks nothing.
    #[test]
    fn a_header_that_breaks_the_rules_is_no_context() {
        let later_version = format!("01{}-and-more", &EXAMPLE[2..]);
        assert!(TraceContext::parse(&later_version, None).is_some());
        let (no_trace, no_span) = ("0".repeat(32), "0".repeat(16));
        for bad in [
            String::new(),
            "00".to_owned(),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replace('-', "_"),
            format!("ff{}", &EXAMPLE[2..]),
            format!("{EXAMPLE}-more"),
            format!("01{}more", &EXAMPLE[2..]),
            format!("00-{no_trace}-b7ad6b7169203331-01"),
            format!("00-0af7651916cd43dd8448eb211c80319c-{no_span}-01"),
            EXAMPLE.replace('0', "ö"),
        ] {
            assert_eq!(TraceContext::parse(&bad, None), None, "{bad:?}");
        }
    }

    /// S1-10, S3-04: work on a record belongs to the record's trace, and to no other afterwards.
    #[tokio::test]
    async fn work_on_a_record_follows_its_trace() {
        let header = |key, value: &'static str| Header {
            key,
            value: Some(value),
        };
        let traced = record(
            OwnedHeaders::new()
                .insert(header(TRACEPARENT_HEADER, EXAMPLE))
                .insert(header(TRACESTATE_HEADER, "congo=t61rcWkgMzE")),
        );
        let seen = follow(&traced, async { current() }).await.unwrap();
        assert_eq!(seen.to_string(), EXAMPLE);
        assert_eq!(seen.state(), Some("congo=t61rcWkgMzE"));
        assert_eq!(current(), None);
        let plain = record(OwnedHeaders::new());
        assert_eq!(follow(&plain, async { current() }).await, None);
    }

    /// S1-10: what comes from outside begins a trace of its own, also within the work on something else.
    #[tokio::test]
    async fn what_comes_from_outside_begins_a_trace() {
        let one = begin(async { current() }).await.unwrap();
        let other = within(one.clone(), begin(async { current() })).await;
        assert_ne!(one.trace_id, other.unwrap().trace_id);
        assert_eq!(current(), None);
    }
}
