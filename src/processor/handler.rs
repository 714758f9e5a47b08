//! What a service does with an event, and how it says that it could not.

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;

use crate::consumed_record::ConsumedRecord;
use crate::error_kind::{Classify, ErrorKind};

/// The work on one event. An async function or closure of the same form is one too.
///
/// It may be called several times for one record: after a transient failure, after a crash, and after a rebalance. So its
/// effects should bear repetition. The record's topic, partition and offset name it for good, and so does the event's own
/// id if it has one.
pub trait Handler<T> {
    /// Does the work. `record` is where the event came from, for handlers that need its key, headers or place.
    ///
    /// The future is dropped when the group takes the partition away, or the attempt takes too long
    /// ([`attempt_timeout`](super::ProcessorSettings::attempt_timeout)).
    fn handle(
        &self,
        event: &T,
        record: &ConsumedRecord<'_>,
    ) -> impl Future<Output = Result<(), Failure>>;
}

impl<T, F> Handler<T> for F
where
    F: AsyncFn(&T, &ConsumedRecord<'_>) -> Result<(), Failure>,
{
    fn handle(
        &self,
        event: &T,
        record: &ConsumedRecord<'_>,
    ) -> impl Future<Output = Result<(), Failure>> {
        self(event, record)
    }
}

/// Why an event was not processed, and what is to be done about it. An error that can be
/// [classified](Classify) becomes one by `?`: permanent ones are poison.
pub struct Failure {
    /// What is to be done.
    pub verdict: Verdict,
    /// The reason.
    pub source: Box<dyn StdError + Send + Sync>,
}

/// What is to be done about an event that was not processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again later: something that the work needs is away.
    Transient,
    /// Put it aside: it will never succeed, and those behind it may.
    Poison,
    /// Stop: nothing will succeed, this event or another.
    Fatal,
}

impl Failure {
    /// Try again later.
    pub fn transient(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Verdict::Transient, source)
    }

    /// Put the record aside.
    pub fn poison(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Verdict::Poison, source)
    }

    /// Stop.
    pub fn fatal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Verdict::Fatal, source)
    }

    fn new(verdict: Verdict, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            verdict,
            source: source.into(),
        }
    }
}

// `Failure` is no `std::error::Error` itself: this conversion would be ambiguous.
impl<E: Classify + StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let verdict = match error.kind() {
            // Of an aborted transaction nothing is left, so it is begun anew.
            ErrorKind::Transient | ErrorKind::Abortable => Verdict::Transient,
            ErrorKind::Permanent => Verdict::Poison,
            ErrorKind::Fatal => Verdict::Fatal,
        };
        Self::new(verdict, error)
    }
}

/// The reason with its causes, in one line.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", chain(&*self.source))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Failure")
            .field("verdict", &self.verdict)
            .field("source", &self.source)
            .finish()
    }
}

/// An error and its causes, with colons between them.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

/// A handler of the domain's own type behind a translation from what travels (row S3-07). What cannot be translated is
/// poison: it was decoded, but makes no sense.
///
/// ```
/// use kafka_event_streaming::consumed_record::ConsumedRecord;
/// use kafka_event_streaming::processor::{Failure, translated};
///
/// /// What the domain knows. Of Kafka it knows nothing.
/// async fn reserve(quantity: &u32, _: &ConsumedRecord<'_>) -> Result<(), Failure> {
///     println!("{quantity} reserved");
///     Ok(())
/// }
///
/// let handler = translated(|text: &String| text.parse::<u32>(), reserve);
/// # fn is_handler<T>(_: impl kafka_event_streaming::processor::Handler<T>) {}
/// # is_handler::<String>(handler);
/// ```
pub fn translated<T, D, E, F, H>(translate: F, handler: H) -> Translated<D, F, H>
where
    F: Fn(&T) -> Result<D, E>,
    H: Handler<D>,
{
    Translated {
        translate,
        handler,
        domain: PhantomData,
    }
}

/// Made by [`translated`].
#[derive(Debug)]
pub struct Translated<D, F, H> {
    translate: F,
    handler: H,
    domain: PhantomData<fn() -> D>,
}

impl<T, D, E, F, H> Handler<T> for Translated<D, F, H>
where
    F: Fn(&T) -> Result<D, E>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    H: Handler<D>,
{
    async fn handle(&self, event: &T, record: &ConsumedRecord<'_>) -> Result<(), Failure> {
        let translated = (self.translate)(event).map_err(Failure::poison)?;
        self.handler.handle(&translated, record).await
    }
}
