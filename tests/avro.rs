//! Schema resolution between the versions of an order. Run with `cargo test --features avro --test avro`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use kafka_event_streaming::avro::{AvroError, AvroOrders, SCHEMAS};
use kafka_event_streaming::order::{LineItem, Order, OrderEvent, OrderStatus};

/// One record of each version, put together by hand from Avro's specification, with the fingerprints that Java's
/// `SchemaNormalization` (Avro 1.12.0) has for the schemas. Never changed: these bytes are in somebody's topic.
const GOLDEN: [(&str, u32, &str); 2] = [
    ("order.1.avro", 0x33f2_5f6b, "EUR"),
    ("order.2.avro", 0x8a1f_bd3d, "JPY"),
];

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn order() -> Order {
    Order::restore(
        "order-2001".parse().unwrap(),
        "customer-7".parse().unwrap(),
        "2026-03-14T09:26:53.589Z".parse().unwrap(),
        vec![
            LineItem::new(
                "matcha".parse().unwrap(),
                3_000_000_000,
                "500 JPY".parse().unwrap(),
            )
            .unwrap(),
        ],
        OrderStatus::Shipped,
    )
    .unwrap()
}

/// S1-01, S1-12: an order of the newest schema comes back as it was, in fewer bytes than as JSON.
#[test]
fn what_is_written_is_read_back() {
    let orders = AvroOrders::new().unwrap();
    let payload = orders.encode(&order()).unwrap();
    assert_eq!(payload, golden("order.2.avro"));
    let message = orders.decode(&payload).unwrap();
    assert_eq!(Order::try_from(message.clone()).unwrap(), order());
    let json = serde_json::to_vec(&message).unwrap();
    assert!(
        payload.len() * 3 < json.len(),
        "{} and {}",
        payload.len(),
        json.len()
    );
}

/// S1-01, X9: a record of version 1 gets the defaults of version 2, its `int` becomes a `long`, and what nobody reads
/// any more is dropped.
#[test]
fn version_1_is_resolved_into_version_2() {
    let orders = AvroOrders::new().unwrap();
    let message = orders.decode(&golden("order.1.avro")).unwrap();
    let expected: OrderEvent = serde_json::from_value(serde_json::json!({
        "order_id": "order-1001",
        "customer_id": "customer-7",
        "status": "placed",
        "placed_at": "2024-11-29T08:15:30Z",
        "items": [
            {"product_id": "coffee", "quantity": 2, "unit_price": {"minor_units": 350, "currency": "EUR"}},
            {"product_id": "cake", "quantity": 1, "unit_price": {"minor_units": 420, "currency": "EUR"}}
        ],
        "total": {"minor_units": 1120, "currency": "EUR"}
    }))
    .unwrap();
    assert_eq!(message, expected);
    Order::try_from(message).unwrap();
}

/// S1-01: the records and the schemas that were published stay as they are.
#[test]
fn golden_records_are_never_edited() {
    let orders = AvroOrders::new().unwrap();
    for (name, checksum, currency) in GOLDEN {
        let payload = golden(name);
        assert_eq!(
            format!("{:#010x}", crc32c::crc32c(&payload)),
            format!("{checksum:#010x}"),
            "{name}"
        );
        assert_eq!(
            orders.decode(&payload).unwrap().total.currency,
            currency,
            "{name}"
        );
    }
    assert_eq!(
        GOLDEN.len(),
        SCHEMAS.len(),
        "a version has no golden record"
    );
}

/// S1-01: each schema reads what the one before it wrote. The other way round is not so: readers are deployed first.
#[test]
fn newer_schemas_read_older_records() {
    let schemas = SCHEMAS.map(|text| Schema::parse_str(text).unwrap());
    for pair in schemas.windows(2) {
        SchemaCompatibility::can_read(&pair[0], &pair[1]).unwrap();
        SchemaCompatibility::can_read(&pair[1], &pair[0]).unwrap_err();
    }
}

/// S3-03, X6: whatever is in the record, the answer is an error and not the end of the program.
#[test]
fn what_is_not_an_order_is_an_error() {
    let orders = AvroOrders::new().unwrap();
    let good = golden("order.2.avro");
    for payload in [&b""[..], b"{\"order_id\":\"order-1\"}", &good[..9]] {
        let error = orders.decode(payload).unwrap_err();
        assert!(matches!(error, AvroError::NotAvro), "{error:?}");
    }
    let mut unknown = good.clone();
    unknown[9] ^= 1;
    let error = orders.decode(&unknown).unwrap_err();
    assert!(
        matches!(error, AvroError::UnknownSchema { .. }),
        "{error:?}"
    );
    for end in 10..good.len() {
        let error = orders.decode(&good[..end]).unwrap_err();
        assert!(matches!(error, AvroError::Malformed(_)), "{error:?}");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert!(matches!(
        orders.decode(&longer),
        Err(AvroError::LeftOver(1))
    ));
    // A text that claims to be as long as can be.
    let mut lying = good[..10].to_vec();
    lying.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert!(orders.decode(&lying).is_err());
    // Any byte may be damaged: it is then another order, or an error.
    for index in 0..good.len() {
        let mut damaged = good.clone();
        damaged[index] ^= 0xff;
        let _ = orders.decode(&damaged);
    }
}
