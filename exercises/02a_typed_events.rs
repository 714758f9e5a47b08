//! Exercise 2a: typed events.
//!
//! To Kafka a record is bytes. What they mean is agreed between programs: here JSON, with the kind of event and the version
//! of its fields in headers, so that a reader knows what it has before it decodes. A reader does not choose what is in
//! a topic. What it cannot read is an error for it to handle, and never a panic: the record is still there after a
//! restart.
//!
//! Write the two functions below: <https://docs.rs/rdkafka/latest/rdkafka/message/struct.OwnedHeaders.html>. The library
//! of this repository has the same in src/event.rs.
//!
//! Check it with `make exercise-2a`. Read first: book/src/02_event_schemas.md

use anyhow::Context;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};
use rdkafka::{Message, Timestamp};
use serde::{Deserialize, Serialize};

/// A parcel has come by a depot, and was weighed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ParcelScanned {
    parcel_id: String,
    depot: String,
    weight_grams: u64,
}

/// The header with the kind of event, and what it holds for [`ParcelScanned`].
const EVENT_TYPE: (&str, &str) = ("event-type", "parcel.scanned");
/// The header with the version of the event's fields, and what it holds for those above.
const SCHEMA_VERSION: (&str, &str) = ("schema-version", "1");

/// The payload of an event, as JSON, and its two headers.
///
/// # Errors
///
/// When the event has no form in JSON.
fn encode(event: &ParcelScanned) -> anyhow::Result<(Vec<u8>, OwnedHeaders)> {
    todo!(
        "{event:?} as JSON, with the headers {:?} and {:?}",
        header(EVENT_TYPE),
        header(SCHEMA_VERSION)
    )
}

/// The event that a record holds. Fields and headers that this program does not know are passed over: a newer one may
/// write them.
///
/// # Errors
///
/// When the record is not a [`ParcelScanned`]: its header does not say so, it has no payload, or its bytes are something
/// else.
fn decode(record: &OwnedMessage) -> anyhow::Result<ParcelScanned> {
    todo!(
        "look at the header {:?}, and decode {:?}",
        header_value(record, EVENT_TYPE.0).map(String::from_utf8_lossy),
        record.payload().map(String::from_utf8_lossy)
    )
}

/// The header that a constant above describes.
fn header((key, value): (&'static str, &'static str)) -> Header<'static, &'static str> {
    let value = Some(value);
    Header { key, value }
}

/// What the record's header of this name holds; the last one, if there are several.
fn header_value<'a>(record: &'a OwnedMessage, name: &str) -> Option<&'a [u8]> {
    let headers = record.headers()?.iter();
    let of_this_name = headers.filter(|header| header.key == name);
    of_this_name.last()?.value
}

fn main() -> anyhow::Result<()> {
    let event = ParcelScanned {
        parcel_id: "parcel-1".to_owned(),
        depot: "Ghent".to_owned(),
        weight_grams: 2500,
    };
    let (payload, headers) = encode(&event).context("encode the event")?;
    println!(
        "payload: {}",
        serde_json::from_slice::<serde_json::Value>(&payload)?
    );
    let topic = "parcels".to_owned();
    let (time, payload) = (Timestamp::now(), Some(payload));
    let record = OwnedMessage::new(payload, None, topic, time, 0, 0, Some(headers));
    for (name, _) in [EVENT_TYPE, SCHEMA_VERSION] {
        let value = header_value(&record, name).map(String::from_utf8_lossy);
        println!("{name}: {value:?}");
    }
    println!(
        "decoded: {:?}",
        decode(&record).context("decode the record")?
    );
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/02a_typed_events.rs"]
mod checks;
