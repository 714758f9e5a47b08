//! The contract with everyone who reads or writes orders: what was ever published is read, and what is written is what
//! was promised. `tests/golden/` holds records of every version.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kafka_event_streaming::event::{self, DecodeError, Event};
use kafka_event_streaming::order::{Order, OrderEvent};
use serde::{Deserialize, Serialize};

/// Every golden record with its version, its CRC-32C, and what it means. Lines are added; none is changed.
#[rustfmt::skip]
const GOLDEN: [(&str, u32, u32, &str); 4] = [
    ("order.1.json", 1, 0x9757_eda9, "order-1001 of customer-7 is placed: 2 x coffee at 3.50 EUR, 1 x cake at 4.20 EUR, in total 11.20 EUR"),
    ("order.1.with-fields-nobody-knows.json", 1, 0x3bdd_3db9, "order-1002 of customer-8 is placed: 1 x tea at 2.90 EUR, in total 2.90 EUR"),
    ("order.2.json", 2, 0x1ad0_72fc, "order-2001 of customer-7 is placed: 2 x coffee at 3.50 EUR, 1 x cake at 4.20 EUR, in total 11.20 EUR"),
    ("order.2.with-fields-nobody-knows.json", 2, 0xb765_2e81, "order-2002 of customer-9 is shipped: 3 x matcha at 500 JPY, in total 1500 JPY"),
];

/// The one that this version of the code writes.
const CURRENT: &str = "order.2.json";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn decode(payload: &[u8], version: u32) -> Result<OrderEvent, DecodeError> {
    event::decode(payload, Some(OrderEvent::TYPE), Some(version))
}

/// An order in one line, to compare with.
fn describe(order: &Order) -> String {
    let items: Vec<String> = order
        .items()
        .iter()
        .map(|item| {
            let (quantity, product, price) = (item.quantity(), item.product(), item.unit_price());
            format!("{quantity} x {product} at {price}")
        })
        .collect();
    format!(
        "{} of {} is {}: {}, in total {}",
        order.id(),
        order.customer(),
        order.status(),
        items.join(", "),
        order.total()
    )
}

/// S1-01, X9: a record of any version is read, and means what it meant when it was published.
#[test]
fn every_version_ever_published_is_read() {
    for (name, version, _, meaning) in GOLDEN {
        let message =
            decode(&golden(name), version).unwrap_or_else(|error| panic!("{name}: {error}"));
        let order = Order::try_from(message).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(describe(&order), meaning, "{name}");
    }
}

/// S1-01: a record that somebody has in a topic cannot be changed here.
#[test]
fn golden_records_are_never_edited() {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".json") {
            found.insert(name.clone(), crc32c::crc32c(&golden(&name)));
        }
    }
    let listed: BTreeMap<String, u32> = GOLDEN
        .iter()
        .map(|(name, _, checksum, _)| ((*name).to_owned(), *checksum))
        .collect();
    assert_eq!(
        found, listed,
        "left: what is in tests/golden, right: what was published. A new record gets a line; an old one stays as it is"
    );
    for version in 1..=OrderEvent::VERSION {
        let name = format!("{}.{version}.json", OrderEvent::TYPE);
        assert!(
            listed.contains_key(&name),
            "version {version} has no {name}"
        );
    }
}

/// S1-01: what is written is what was promised, to the byte. Whoever adds or renames a field sees it here, before the
/// readers do.
#[test]
fn what_is_written_is_the_current_golden_record() {
    let published = golden(CURRENT);
    let message = decode(&published, OrderEvent::VERSION).unwrap();
    let written = event::encode(&message).unwrap();
    assert_eq!(
        String::from_utf8(written).unwrap(),
        String::from_utf8(published).unwrap(),
        "the shape of order events has changed: raise its version, and add a golden record of it"
    );
}

/// S1-01: fields that nobody here knows are passed over, at every level, in every version.
#[test]
fn unknown_fields_change_nothing() {
    for (name, version, ..) in GOLDEN {
        let known = decode(&golden(name), version).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&golden(name)).unwrap();
        json["new"] = serde_json::json!({"deep": [1, 2, 3]});
        json["items"][0]["new"] = serde_json::json!(null);
        let extended = serde_json::to_vec(&json).unwrap();
        assert_eq!(decode(&extended, version).unwrap(), known, "{name}");
    }
}

/// A service that was deployed in the days of version 1, and is still running.
#[derive(Debug, Serialize, Deserialize)]
struct OldOrderEvent {
    order_id: String,
    customer: String,
    total_cents: i64,
}

impl Event for OldOrderEvent {
    const TYPE: &'static str = OrderEvent::TYPE;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order_id)
    }
}

/// S3-03, X6: an old reader meets a new version. It gets an error that names the field, and goes on with the next
/// record; so readers are deployed first.
#[test]
fn an_old_reader_is_told_what_it_misses() {
    let old: OldOrderEvent =
        event::decode(&golden("order.1.json"), Some(OrderEvent::TYPE), Some(1)).unwrap();
    assert_eq!(
        (old.customer.as_str(), old.total_cents),
        ("customer-7", 1120)
    );

    let error = event::decode::<OldOrderEvent>(&golden(CURRENT), Some(OrderEvent::TYPE), Some(2))
        .unwrap_err();
    assert!(matches!(error, DecodeError::Json { .. }), "{error:?}");
    assert!(
        error.to_string().contains("missing field `customer`"),
        "{error}"
    );
}

/// S3-03, X6: a record whose version is wrong, or that lacks a field, is an error as data.
#[test]
fn a_record_that_is_not_what_its_version_says_is_an_error_that_names_the_field() {
    let error = decode(&golden(CURRENT), 1).unwrap_err();
    assert!(
        matches!(error, DecodeError::Upcast { version: 1, .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("customer is not there"),
        "{error}"
    );

    let error = decode(&golden("order.1.json"), 2).unwrap_err();
    assert!(
        error.to_string().contains("missing field `product_id`"),
        "{error}"
    );
    // The sample stands beside it where there is room.
    let brief = error.brief();
    assert!(brief.starts_with("missing field `product_id`"), "{brief}");
    assert!(!brief.contains("order-1001"), "{brief}");

    let error = decode(&golden("order.1.json"), 0).unwrap_err();
    assert!(
        matches!(error, DecodeError::Upcast { version: 0, .. }),
        "{error:?}"
    );

    let error =
        event::decode::<OrderEvent>(&golden(CURRENT), Some("payment"), Some(2)).unwrap_err();
    assert!(matches!(error, DecodeError::OtherType { .. }), "{error:?}");
}
