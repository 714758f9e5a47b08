//! What a record's bytes mean: typed events, their headers, and how readers of one version understand another.
//!
//! The payload is JSON. Type and version stand in headers, so that a reader can decide before it decodes, and a record
//! that cannot be decoded still says what it was meant to be.

use std::borrow::Cow;
use std::str;

use rdkafka::message::{Headers, Message};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// When the event was sent: RFC 3339, UTC, milliseconds (row S2-05).
pub const TIMESTAMP_HEADER: &str = "timestamp";
/// The service that sent it (row S2-05).
pub const SOURCE_HEADER: &str = "source";
/// [`Event::TYPE`] of the sender.
pub const TYPE_HEADER: &str = "event-type";
/// [`Event::VERSION`] of the sender, in decimal.
pub const VERSION_HEADER: &str = "schema-version";

/// How much of a payload that cannot be decoded is shown, in bytes.
const SAMPLE: usize = 100;

/// Something that happened, as it travels between services.
///
/// ```
/// use std::borrow::Cow;
/// use kafka_event_streaming::event::{self, Event};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct OrderPlaced { order_id: String, items: u32 }
///
/// impl Event for OrderPlaced {
///     const TYPE: &'static str = "order.placed";
///     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.order_id) }
/// }
///
/// let payload = event::encode(&OrderPlaced { order_id: "o-1".into(), items: 2 })?;
/// let order: OrderPlaced = event::decode(&payload, None, Some(OrderPlaced::VERSION))?;
/// assert_eq!(order.items, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Event: Serialize + DeserializeOwned + Send + 'static {
    /// What kind of event this is, such as `order.placed`. It never changes.
    const TYPE: &'static str;

    /// The version that this code writes. Raise it with every change that older readers would misunderstand.
    const VERSION: u32 = 1;

    /// The entity that the event is about. Events of one entity share a partition, and so keep their order.
    fn key(&self) -> Cow<'_, str>;

    /// Turns the JSON of an older version into that of [`VERSION`](Self::VERSION). Called only when they differ.
    ///
    /// # Errors
    ///
    /// In words, when that version is unknown or lacks what is needed.
    fn upcast(version: u32, _older: Value) -> Result<Value, String> {
        Err(format!("there is no way from version {version}"))
    }
}

/// Why a payload is not the event that was expected. It is data, not a reason to stop: the next record may be fine
/// (row X6).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The record has no payload: in a compacted topic it says that its key is deleted.
    #[error("the record has no payload")]
    Empty,
    /// The record is of another kind.
    #[error("it is of type {found:?}, not {expected:?}")]
    OtherType {
        /// What the header says.
        found: String,
        /// What the reader asked for.
        expected: &'static str,
    },
    /// A header is not what it has to be.
    #[error("its header {name} holds {value:?}, which is not {expected}")]
    Header {
        /// The header's name.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The payload is not JSON, or lacks a field.
    #[error("it cannot be decoded: {source}; it begins with {sample:?}")]
    Json {
        /// What serde_json objected to, with line and column.
        source: serde_json::Error,
        /// The first 100 bytes as text, what is not UTF-8 replaced.
        sample: String,
    },
    /// The code that decodes it panicked: the event's own, or that of a library.
    #[error("decoding it panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// An older version could not be brought up to date.
    #[error("version {version} cannot be read: {reason}")]
    Upcast {
        /// The version that it was written with.
        version: u32,
        /// Why not.
        reason: String,
    },
}

impl DecodeError {
    /// The reason alone, without the sample: for tables and headers.
    pub fn brief(&self) -> String {
        match self {
            Self::Json { source, .. } => source.to_string(),
            other => other.to_string(),
        }
    }
}

/// Encodes an event's payload.
///
/// # Errors
///
/// [`Error::Encode`], for example for a map whose keys are not texts.
pub fn encode<T: Event>(event: &T) -> Result<Vec<u8>, Error> {
    let mut payload = Vec::new();
    encode_into(event, &mut payload)?;
    Ok(payload)
}

/// As [`encode`], behind what `payload` already holds: whoever encodes many events needs one buffer.
///
/// # Errors
///
/// As [`encode`]. The buffer then holds the beginning of the event, too.
pub fn encode_into<T: Event>(event: &T, payload: &mut Vec<u8>) -> Result<(), Error> {
    serde_json::to_writer(payload, event).map_err(|source| Error::Encode {
        event_type: T::TYPE,
        source,
    })
}

/// Decodes a payload that was written as `event_type` in `version`, as the headers say.
///
/// Without a header for it, type and version are taken to be right: people and tools that write records by hand set no
/// headers. A newer version is read as it stands, fields that this code does not know are passed over: then it
/// either has all that is needed here, or is an error.
///
/// # Errors
///
/// [`DecodeError`] for anything else that was found.
pub fn decode<T: Event>(
    payload: &[u8],
    event_type: Option<&str>,
    version: Option<u32>,
) -> Result<T, DecodeError> {
    if let Some(found) = event_type
        && found != T::TYPE
    {
        return Err(DecodeError::OtherType {
            found: found.to_owned(),
            expected: T::TYPE,
        });
    }
    let json = |source| DecodeError::Json {
        source,
        sample: sample(payload),
    };
    match version {
        Some(version) if version < T::VERSION => {
            let older = serde_json::from_slice(payload).map_err(json)?;
            let value = T::upcast(version, older)
                .map_err(|reason| DecodeError::Upcast { version, reason })?;
            serde_json::from_value(value).map_err(json)
        }
        _ => serde_json::from_slice(payload).map_err(json),
    }
}

/// Decodes a record by its headers and payload. The payload is borrowed: nothing is copied but what ends in the event.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_record<T: Event>(record: &impl Message) -> Result<T, DecodeError> {
    decode_record_and(record, |_, _| {})
}

/// As [`decode_record`], and hands the headers that are none of its business to `other`. One pass for both: each look at
/// a header is a call into librdkafka.
pub(crate) fn decode_record_and<'a, T: Event>(
    record: &'a impl Message,
    mut other: impl FnMut(&'a str, Option<&'a [u8]>),
) -> Result<T, DecodeError> {
    let (mut event_type, mut version) = (None, None);
    // Kafka allows several of one name; the last one counts, as with the Java client's `Headers.lastHeader`.
    if let Some(headers) = record.headers() {
        for header in headers.iter() {
            match header.key {
                TYPE_HEADER => event_type = header.value,
                VERSION_HEADER => version = header.value,
                name => other(name, header.value),
            }
        }
    }
    let payload = record.payload().ok_or(DecodeError::Empty)?;
    let event_type = event_type
        .map(|bytes| text(TYPE_HEADER, bytes, "text"))
        .transpose()?;
    let version = version
        .map(|bytes| {
            let text = text(VERSION_HEADER, bytes, "a number")?;
            text.parse().map_err(|_| DecodeError::Header {
                name: VERSION_HEADER,
                value: text.to_owned(),
                expected: "a number",
            })
        })
        .transpose()?;
    decode(payload, event_type, version)
}

fn text<'a>(
    name: &'static str,
    bytes: &'a [u8],
    expected: &'static str,
) -> Result<&'a str, DecodeError> {
    str::from_utf8(bytes).map_err(|_| DecodeError::Header {
        name,
        value: sample(bytes),
        expected,
    })
}

/// The last header of this name, as with the Java client's `Headers.lastHeader`.
pub fn header<'a>(record: &'a impl Message, name: &str) -> Option<&'a [u8]> {
    let headers = record.headers()?;
    (0..headers.count())
        .rev()
        .filter_map(|index| headers.try_get(index))
        .find(|header| header.key == name)
        .and_then(|header| header.value)
}

/// The first 100 bytes of something that nobody understands.
pub(crate) fn sample(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(SAMPLE)]).into_owned()
}
