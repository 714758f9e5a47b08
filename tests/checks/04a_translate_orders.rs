//! The check of exercise 4a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.
//! A translation is pure, so there is no broker in it.

use kafka_event_streaming::order::Order;
use serde_json::{Value, json};

use super::{Refusal, read, translate};

/// A message without a fault.
fn message() -> Value {
    json!({
        "orderNo": "A-17",
        "buyer": "customer-7",
        "orderedAt": "2026-03-14T09:26:53Z",
        "currency": "EUR",
        "lines": [
            {"sku": "coffee", "quantity": 2, "price": "3.50"},
            {"sku": "napkin", "quantity": 100, "price": "0.00"},
        ],
        "total": "7.00",
    })
}

fn translated(message: &Value) -> Result<Order, Refusal> {
    let order = read(message.to_string().as_bytes());
    translate(&order.expect("the message has all fields"))
}

/// A message with one line of one piece.
fn with_price(price: &str, currency: &str) -> Value {
    let mut message = message();
    message["currency"] = json!(currency);
    message["lines"] = json!([{"sku": "coffee", "quantity": 1, "price": price}]);
    message["total"] = json!(price);
    message
}

#[test]
fn a_valid_message_is_an_order_with_all_of_its_lines() {
    let mut message = message();
    message["lines"] = json!([
        {"sku": "tea", "quantity": 1, "price": "2.95"},
        {"sku": "coffee", "quantity": 2, "price": "3.50"},
        {"sku": "tea", "quantity": 3, "price": "2.95"},
        {"sku": "napkin", "quantity": 100, "price": "0.00"},
    ]);
    message["total"] = json!("18.80");
    let order = translated(&message)
        .unwrap_or_else(|refusal| panic!("{message} is a valid order, and was refused: {refusal}"));
    let lines: Vec<String> = order
        .items()
        .iter()
        .map(|item| {
            format!(
                "{} {} at {}",
                item.quantity(),
                item.product(),
                item.unit_price()
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "1 tea at 2.95 EUR",
            "2 coffee at 3.50 EUR",
            "3 tea at 2.95 EUR",
            "100 napkin at 0.00 EUR"
        ],
        "an order keeps all of its lines, in their order, also those that cost nothing and those of one product. Chapter 4, \
         'Between two models'."
    );
    assert_eq!(order.id().as_str(), "A-17", "the order's id");
    assert_eq!(
        order.customer().as_str(),
        "customer-7",
        "the order's customer"
    );
    assert_eq!(
        order.placed_at().to_string(),
        "2026-03-14T09:26:53Z",
        "when the order was placed, by the message; a clock has no place here"
    );
}

#[test]
fn money_is_exact() {
    for (price, currency, minor_units) in [
        ("1.15", "EUR", 115),
        ("4.35", "EUR", 435),
        ("0.29", "EUR", 29),
        ("3.5", "EUR", 350),
        ("90071992547409.93", "EUR", 9_007_199_254_740_993),
        ("350", "JPY", 350),
        ("1.005", "KWD", 1005),
    ] {
        let order = translated(&with_price(price, currency)).unwrap_or_else(|refusal| {
            panic!("{price} {currency} is a price, and was refused: {refusal}")
        });
        let found = order.items()[0].unit_price();
        assert_eq!(
            found.minor_units(),
            minor_units,
            "a price of {price} became {found}: a float cannot hold it, and not every currency has cents. Read the text as \
             it is. Chapter 4, 'Money is exact'."
        );
    }
}

/// The refusal of a message with this in this field.
fn refused(field: &str, pointer: &str, value: Value) {
    let mut message = message();
    *message
        .pointer_mut(pointer)
        .expect("the message has this field") = value;
    let lines = message["lines"].as_array().map_or(0, Vec::len);
    match translated(&message) {
        Ok(order) => panic!(
            "{message} was translated into an order with {} of {lines} lines, {} in all. It has to be refused for its field \
             {field}: what is wrong there is not to be guessed or left out. Chapter 4, 'Between two models'.",
            order.items().len(),
            order.total()
        ),
        Err(refusal) => {
            assert_eq!(
                refusal.field,
                field,
                "{message} was refused, because {:?}. A refusal names the field that somebody has to mend, as the shop \
                 calls it. Chapter 4, 'Between two models'.",
                refusal.to_string()
            );
            assert!(
                !refusal.reason.is_empty(),
                "{message} was refused for its field {field}, and nobody knows why: give the reason, too"
            );
        }
    }
}

#[test]
fn an_invalid_message_is_refused_with_the_name_of_its_field() {
    refused("orderNo", "/orderNo", json!(""));
    refused("orderNo", "/orderNo", json!("A 17"));
    refused("buyer", "/buyer", json!("customer/7"));
    refused("orderedAt", "/orderedAt", json!("14.03.2026"));
    refused("currency", "/currency", json!("EURO"));
    refused("lines", "/lines", json!([]));
    refused("lines[1].sku", "/lines/1/sku", json!(""));
    for quantity in [json!(0), json!(-2), json!(1_i64 << 32)] {
        refused("lines[1].quantity", "/lines/1/quantity", quantity);
    }
    for price in ["", "free", "-3.50", "3.505", "3,50", "1e2", "NaN"] {
        refused("lines[0].price", "/lines/0/price", json!(price));
    }
    refused("total", "/total", json!("7.01"));
    refused("total", "/total", json!("7 euros"));
}

#[test]
fn no_message_is_a_panic() {
    // 92 quadrillion euros, twice.
    let mut message = message();
    message["lines"][0]["price"] = json!("92233720368547758.07");
    message["total"] = json!("92233720368547758.07");
    let refusal =
        translated(&message).expect_err("two of these are more money than there is a number for");
    assert!(
        refusal.field.starts_with("lines[0]"),
        "the price of line 0 times its quantity is out of range, and the refusal says: {refusal}"
    );
    message["lines"][0]["quantity"] = json!(1);
    message["lines"][1] = message["lines"][0].clone();
    let refusal =
        translated(&message).expect_err("the sum is more money than there is a number for");
    assert_eq!(
        refusal.field, "lines",
        "the sum of the lines is out of range, and the refusal says: {refusal}"
    );
}
