//! The check of exercise 2b. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::panic::{catch_unwind, resume_unwind};

use embedded_broker::Broker;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::{ParcelScanned, decode, encode, record, version_header};
use support::{create_topic, start_broker, write_records};

const TOPIC: &str = "parcels";

/// Records as programs of both versions wrote them, and what they mean. These bytes never change.
const GOLDEN: [(u32, &str, (&str, &str, u64)); 4] = [
    (
        1,
        r#"{"parcel":"parcel-1","depot":"Ghent","kilograms":2}"#,
        ("parcel-1", "Ghent", 2000),
    ),
    (
        2,
        r#"{"parcel_id":"parcel-2","depot":"Lille","weight_grams":2500}"#,
        ("parcel-2", "Lille", 2500),
    ),
    (
        1,
        r#"{"parcel":"parcel-3","depot":"Namur","kilograms":0}"#,
        ("parcel-3", "Namur", 0),
    ),
    (
        2,
        r#"{"depot":"Ghent","weight_grams":7,"parcel_id":"parcel-4","fragile":true}"#,
        ("parcel-4", "Ghent", 7),
    ),
];

fn event((parcel, depot, weight_grams): (&str, &str, u64)) -> ParcelScanned {
    ParcelScanned {
        parcel_id: parcel.to_owned(),
        depot: depot.to_owned(),
        weight_grams,
    }
}

/// A broker with a log that has grown over both versions.
fn broker() -> Broker {
    let broker = start_broker();
    create_topic(&broker, TOPIC, 1);
    let records = GOLDEN.iter().map(|(version, payload, _)| {
        BaseRecord::<str, str>::to(TOPIC)
            .payload(payload)
            .headers(version_header(*version))
    });
    write_records(&broker, records);
    broker
}

/// The record at this offset of the log, with its one header.
fn stored(broker: &Broker, offset: usize) -> (Option<String>, Vec<u8>) {
    let stored = broker.records(TOPIC, 0).unwrap().remove(offset);
    let version = stored
        .header("schema-version")
        .map(|value| String::from_utf8_lossy(value).into_owned());
    (version, stored.value.unwrap_or_default())
}

/// `decode`, whose panic is a failed check that says more than the panic itself.
fn decoded(what: &str, record: &OwnedMessage) -> anyhow::Result<ParcelScanned> {
    catch_unwind(|| decode(record)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("not yet implemented")) {
            resume_unwind(panic);
        }
        panic!(
            "`decode` panicked at {what}. It is in the topic for good, so the consumer would panic again after every \
             restart. Return an error. Chapter 2, 'Bytes are not to be trusted'."
        )
    })
}

#[test]
fn records_of_both_versions_are_read() {
    let broker = broker();
    for (offset, (version, payload, meaning)) in GOLDEN.into_iter().enumerate() {
        let (_, bytes) = stored(&broker, offset);
        let read = decoded(payload, &record(bytes, version_header(version)));
        let expected = event(meaning);
        let read = read.unwrap_or_else(|error| {
            panic!(
                "the record {payload} of version {version} was refused: {error:#}. It stays in the log for as long as the \
                 topic keeps its records, and a new consumer starts with the oldest. Chapter 2, 'Bring the old up to date'."
            )
        });
        assert!(
            read.weight_grams != 2 || expected.weight_grams != 2000,
            "the parcel of {payload} weighs a thousandth of what it should: version 1 tells kilograms, and version 2 grams. \
             Chapter 2, 'Bring the old up to date'."
        );
        assert!(
            read.weight_grams != 0 || expected.weight_grams == 0,
            "of {payload} the weight was lost: a field that is missing was taken for 0. Make version 2 of it in `upcast`, \
             where a field that is missing is an error. Chapter 2, 'Bring the old up to date'."
        );
        assert_eq!(
            read, expected,
            "read from the record {payload} of version {version}"
        );
    }
}

#[test]
fn version_2_is_written() {
    let broker = broker();
    let parcel = event(("parcel-5", "Lille", 1234));
    let (payload, headers) = encode(&parcel).expect("every ParcelScanned has a form in JSON");
    let sent = BaseRecord::<str, [u8]>::to(TOPIC)
        .payload(&payload)
        .headers(headers);
    write_records(&broker, std::iter::once(sent));
    let (version, bytes) = stored(&broker, GOLDEN.len());
    let found: Value =
        serde_json::from_slice(&bytes).expect("the payload in the log has to be JSON");
    assert_eq!(
        found,
        json!({"parcel_id": "parcel-5", "depot": "Lille", "weight_grams": 1234}),
        "the payload in the log has to be version 2, and nothing else: whoever writes both keeps both for ever"
    );
    let version = version
        .expect("the record in the log has no header schema-version: its reader has to guess");
    assert_eq!(
        version, "2",
        "the payload in the log is version 2, and its header says version {version}: a reader that goes by the header looks \
         for fields that are not there. Chapter 2, 'Type and version in headers'."
    );
    let read = decoded("what `encode` made", &record(bytes, version_header(2)));
    assert_eq!(
        read.expect("`decode` has to read what `encode` wrote"),
        parcel
    );
}

#[test]
fn what_is_not_as_its_version_promises_is_an_error() {
    let without_headers = rdkafka::message::OwnedHeaders::new();
    let unreadable = [
        (r#"{"parcel":"p","depot":"Ghent"}"#, version_header(1)),
        (
            r#"{"parcel":"p","depot":"Ghent","kilograms":"2"}"#,
            version_header(1),
        ),
        (
            r#"{"parcel":"p","depot":"Ghent","kilograms":-2}"#,
            version_header(1),
        ),
        (
            r#"{"parcel":"p","depot":"Ghent","kilograms":18446744073709551615}"#,
            version_header(1),
        ),
        (r#"{"depot":"Ghent","kilograms":2}"#, version_header(1)),
        (
            r#"{"parcel":7,"depot":"Ghent","kilograms":2}"#,
            version_header(1),
        ),
        ("7", version_header(1)),
        ("2 kilograms", version_header(1)),
        (
            r#"{"parcel":"p","depot":"Ghent","kilograms":2}"#,
            version_header(2),
        ),
        (
            r#"{"parcel_id":"p","depot":"Ghent","weight_grams":2}"#,
            version_header(0),
        ),
        (
            r#"{"parcel_id":"p","depot":"Ghent","weight_grams":2}"#,
            without_headers,
        ),
    ];
    for (payload, headers) in unreadable {
        let record = record(payload.as_bytes().to_vec(), headers);
        let version = super::version(&record);
        let what = format!("the record {payload}, whose version is {version:?}");
        let read = decoded(&what, &record);
        assert!(
            read.is_err(),
            "`decode` made {read:?} of {what}. Return an error: a guess is a wrong weight that nobody notices. Chapter 2, \
             'Bring the old up to date'."
        );
    }
}
