//! The check of exercise 2a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::panic::{catch_unwind, resume_unwind};

use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::{ParcelScanned, decode, encode};
use support::{create_topic, start_broker, write_records};

const TOPIC: &str = "parcels";

fn event() -> ParcelScanned {
    ParcelScanned {
        parcel_id: "parcel-1".to_owned(),
        depot: "Ghent".to_owned(),
        weight_grams: 2500,
    }
}

fn fields() -> Value {
    json!({"parcel_id": "parcel-1", "depot": "Ghent", "weight_grams": 2500})
}

fn headers(pairs: &[(&str, &[u8])]) -> OwnedHeaders {
    pairs
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            let value = Some(*value);
            headers.insert(Header { key, value })
        })
}

/// A record as a consumer gets it.
fn record(payload: Option<&[u8]>, headers: Option<OwnedHeaders>) -> OwnedMessage {
    let payload = payload.map(<[u8]>::to_vec);
    OwnedMessage::new(
        payload,
        None,
        TOPIC.to_owned(),
        Timestamp::now(),
        0,
        7,
        headers,
    )
}

/// A record with the headers of the event.
fn scanned(payload: &[u8]) -> OwnedMessage {
    let headers = headers(&[("event-type", b"parcel.scanned"), ("schema-version", b"1")]);
    record(Some(payload), Some(headers))
}

/// `decode`, whose panic is a failed check that says more than the panic itself.
fn decoded(what: &str, record: &OwnedMessage) -> anyhow::Result<ParcelScanned> {
    catch_unwind(|| decode(record)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("not yet implemented")) {
            resume_unwind(panic);
        }
        panic!(
            "`decode` panicked at a record that {what}. It is in the topic for good, so the consumer would panic again after \
             every restart. Return an error. Chapter 2, 'Bytes are not to be trusted'."
        )
    })
}

#[test]
fn an_event_comes_back_from_the_log_as_it_was() {
    let broker = start_broker();
    create_topic(&broker, TOPIC, 1);
    let (payload, headers) = encode(&event()).expect("every ParcelScanned has a form in JSON");
    let sent = BaseRecord::<str, [u8]>::to(TOPIC)
        .payload(&payload)
        .headers(headers);
    write_records(&broker, std::iter::once(sent));

    let stored = broker.records(TOPIC, 0).unwrap().remove(0);
    for (name, expected) in [("event-type", "parcel.scanned"), ("schema-version", "1")] {
        let found = stored
            .header(name)
            .map(|value| String::from_utf8_lossy(value).into_owned());
        assert!(
            found.is_some(),
            "the record in the log has no header {name}: a reader has to guess what its bytes mean. Chapter 2, 'Type and \
             version in headers'."
        );
        assert_eq!(
            found.as_deref(),
            Some(expected),
            "the header {name} of the record in the log. Chapter 2, 'Type and version in headers'."
        );
    }
    let payload = stored.value.unwrap_or_default();
    let found: Value = serde_json::from_slice(&payload).unwrap_or_else(|error| {
        panic!(
            "the payload in the log is not JSON: {error}. {:?}",
            String::from_utf8_lossy(&payload)
        )
    });
    assert_eq!(
        found,
        fields(),
        "the payload in the log has to hold the event's fields"
    );
    assert_eq!(
        decoded("`encode` made", &scanned(&payload))
            .expect("`decode` has to read what `encode` wrote"),
        event()
    );
}

#[test]
fn what_a_newer_program_adds_is_passed_over() {
    let mut newer = fields();
    newer["scanner"] = json!({"model": "S4", "firmware": [1, 2]});
    let newer = newer.to_string();
    let read = decoded("has a field more", &scanned(newer.as_bytes()));
    assert_eq!(
        read.expect(
            "`decode` refused a record with a field that this program does not know: then no producer can add a field \
             before every consumer was changed. Chapter 2, 'Fields that you do not know'."
        ),
        event()
    );
    let more = headers(&[
        ("trace", b"\x00\xff"),
        ("event-type", b"parcel.scanned"),
        ("schema-version", b"1"),
        ("source", b"depot-7"),
    ]);
    let read = decoded(
        "has headers more",
        &record(Some(newer.as_bytes()), Some(more)),
    );
    assert_eq!(
        read.expect("`decode` refused a record with headers that this program does not know"),
        event()
    );
}

#[test]
fn bytes_that_are_no_such_event_are_an_error() {
    let right = fields().to_string();
    let truncated = &right.as_bytes()[..right.len() - 5];
    let mut without_weight = fields();
    without_weight
        .as_object_mut()
        .unwrap()
        .remove("weight_grams");
    let mut negative = fields();
    negative["weight_grams"] = json!(-1);
    let unreadable = [
        ("has an empty payload", scanned(b"")),
        ("is not JSON", scanned(b"2500 grams")),
        ("is not even UTF-8", scanned(b"\xff\xfe\x00")),
        ("is cut off", scanned(truncated)),
        ("is JSON, but no object", scanned(b"2500")),
        (
            "lacks the weight",
            scanned(without_weight.to_string().as_bytes()),
        ),
        (
            "has a negative weight",
            scanned(negative.to_string().as_bytes()),
        ),
    ];
    for (what, record) in unreadable {
        let read = decoded(what, &record);
        assert!(
            read.is_err(),
            "`decode` made {read:?} of a record that {what}. Return an error, and leave it to the caller what becomes of \
             the record. Chapter 2, 'Bytes are not to be trusted'."
        );
    }
    let event_type = headers(&[("event-type", b"parcel.scanned")]);
    let tombstone = decoded("has no payload", &record(None, Some(event_type)));
    assert!(
        tombstone.is_err(),
        "`decode` made {tombstone:?} of a record without a payload"
    );
}

#[test]
fn a_record_of_another_kind_is_an_error_even_if_it_looks_alike() {
    let right = fields().to_string();
    let others = [
        (
            "is of another kind: its header event-type is parcel.lost",
            Some(headers(&[
                ("event-type", b"parcel.lost"),
                ("schema-version", b"1"),
            ])),
        ),
        (
            "is of another kind: its header event-type is parcel.scanned.late",
            Some(headers(&[("event-type", b"parcel.scanned.late")])),
        ),
        (
            "has a header event-type that is not UTF-8",
            Some(headers(&[("event-type", b"\xff")])),
        ),
        (
            "does not say its kind: it has no header event-type",
            Some(headers(&[("schema-version", b"1")])),
        ),
        ("does not say its kind: it has no headers", None),
    ];
    for (what, headers) in others {
        let read = decoded(what, &record(Some(right.as_bytes()), headers));
        assert!(
            read.is_err(),
            "`decode` made {read:?} of a record that {what}: a lost parcel has the same fields as one that was scanned. \
             Look at the header event-type before the payload. Chapter 2, 'Type and version in headers'."
        );
    }
}
