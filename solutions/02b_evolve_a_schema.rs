//! Exercise 2b: evolve a schema.
//!
//! Version 1 of the event told the weight in kilograms, and that was too coarse. Version 2 tells it in grams. The records of
//! version 1 are still in the log, and a program that was not updated writes more of them. So a reader brings what is
//! old up to date, in one place, and the rest of the program knows one version:
//!
//! ```json
//! {"parcel": "parcel-1", "depot": "Ghent", "kilograms": 2}           version 1
//! {"parcel_id": "parcel-1", "depot": "Ghent", "weight_grams": 2500}  version 2
//! ```
//!
//! Write the three functions below. The library of this repository has the same for orders, in src/order/versions.rs.
//!
//! Check it with `make exercise-2b`. Read first: book/src/02_event_schemas.md

use anyhow::Context;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};
use rdkafka::{Message, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A parcel has come by a depot, and was weighed there: version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ParcelScanned {
    parcel_id: String,
    depot: String,
    weight_grams: u64,
}

/// The header with the version that a record was written in.
const VERSION_HEADER: &str = "schema-version";

/// The payload of an event, as JSON, and the header with its version.
///
/// # Errors
///
/// When the event has no form in JSON.
fn encode(event: &ParcelScanned) -> anyhow::Result<(Vec<u8>, OwnedHeaders)> {
    Ok((serde_json::to_vec(event)?, version_header(2)))
}

/// The event in a record of either version.
///
/// # Errors
///
/// When its version is unknown, or it is not what its version promises.
fn decode(record: &OwnedMessage) -> anyhow::Result<ParcelScanned> {
    let payload = record.payload().context("the record has no payload")?;
    let value: Value = serde_json::from_slice(payload)?;
    let version_2 = match version(record)? {
        1 => upcast(&value)?,
        2 => value,
        other => anyhow::bail!("version {other} is not known here"),
    };
    serde_json::from_value(version_2).context("the payload is no such event")
}

/// Makes version 1 into version 2.
///
/// # Errors
///
/// When a field of version 1 is missing, or is something else.
fn upcast(version_1: &Value) -> anyhow::Result<Value> {
    let kilograms = version_1["kilograms"].as_u64();
    let kilograms = kilograms.context("kilograms is not a whole number")?;
    let weight_grams = kilograms.checked_mul(1000).context("so heavy is nothing")?;
    // Whether these two are texts is seen when the result is decoded.
    Ok(json!({
        "parcel_id": version_1["parcel"],
        "depot": version_1["depot"],
        "weight_grams": weight_grams,
    }))
}

/// The header of a record of this version.
fn version_header(version: u32) -> OwnedHeaders {
    let value = Some(version.to_string());
    let value = value.as_deref();
    OwnedHeaders::new().insert(Header {
        key: VERSION_HEADER,
        value,
    })
}

/// The version that a record's header tells.
fn version(record: &OwnedMessage) -> anyhow::Result<u32> {
    let headers = record.headers().context("the record has no headers")?;
    let header = headers.iter().find(|header| header.key == VERSION_HEADER);
    let value = header.and_then(|header| header.value);
    let text = str::from_utf8(value.context("the record tells no version")?)?;
    text.parse()
        .with_context(|| format!("{text:?} is no version"))
}

/// A record as a consumer gets it.
fn record(payload: Vec<u8>, headers: OwnedHeaders) -> OwnedMessage {
    let topic = "parcels".to_owned();
    OwnedMessage::new(
        Some(payload),
        None,
        topic,
        Timestamp::now(),
        0,
        0,
        Some(headers),
    )
}

fn main() -> anyhow::Result<()> {
    let old = json!({"parcel": "parcel-1", "depot": "Ghent", "kilograms": 2});
    println!("version 1: {old}");
    println!("upcast:    {}", upcast(&old)?);
    let event = decode(&record(old.to_string().into_bytes(), version_header(1)))?;
    println!("read:      {event:?}");
    let (payload, headers) = encode(&event)?;
    println!("version 2: {}", String::from_utf8_lossy(&payload));
    println!("read:      {:?}", decode(&record(payload, headers))?);
    Ok(())
}

#[cfg(test)]
#[path = "../tests/checks/02b_evolve_a_schema.rs"]
mod checks;
