//! Exercise 4a: translate orders.
//!
//! A web shop publishes its orders in its own words: `sku`, `buyer`, prices as decimal text. Our code speaks of `Order`,
//! `LineItem` and `Money`, which cannot be made from nonsense. In between stands one translation, the anti-corruption layer:
//! what passes it is valid, and what does not is refused, with the field that somebody has to mend. It is pure: it knows
//! neither Kafka nor a clock.
//!
//! Write the three functions below. The order and its parts are in src/order, and so is the same translation for our own
//! messages: src/order/translation.rs.
//!
//! Check it with `make exercise-4a`. Read first: book/src/04_order_processing.md

use std::fmt;

use kafka_event_streaming::order::{Currency, LineItem, Money, Order};
use serde::{Deserialize, Serialize};

/// An order as the web shop publishes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShopOrder {
    order_no: String,
    buyer: String,
    /// RFC 3339, such as `2026-03-14T09:26:53Z`.
    ordered_at: String,
    /// ISO 4217. All prices are in it.
    currency: String,
    lines: Vec<ShopLine>,
    /// What all lines cost, such as `7.00`.
    total: String,
}

/// One line of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ShopLine {
    sku: String,
    quantity: i64,
    /// The price of one piece, such as `3.50`.
    price: String,
}

/// Why a message is not an order of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    /// The message's field, as the shop calls it: `orderNo`, `currency`, `lines[1].quantity`.
    field: String,
    /// What is wrong with it, for people.
    reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.reason)
    }
}

fn refuse(field: &str, reason: impl fmt::Display) -> Refusal {
    let (field, reason) = (field.to_owned(), reason.to_string());
    Refusal { field, reason }
}

/// The order that the shop's message means: all of its lines, in their order.
///
/// # Errors
///
/// The first field that is not as it has to be. That is also `currency` when there is no such currency, `lines` when there
/// are none, and `total` when it is not the sum of the lines.
fn translate(order: &ShopOrder) -> Result<Order, Refusal> {
    todo!(
        "make an order in {:?} of {order:?}, whose lines are {:?}",
        Currency::from_code(&order.currency),
        order
            .lines
            .iter()
            .enumerate()
            .map(|(index, line)| translate_line(index, line, &order.currency))
            .collect::<Vec<_>>()
    )
}

/// A line of the order, the one with this index.
///
/// # Errors
///
/// `lines[0].sku`, `lines[0].quantity` or `lines[0].price`, with its index for the 0.
fn translate_line(index: usize, line: &ShopLine, currency: &str) -> Result<LineItem, Refusal> {
    todo!(
        "make line {index} of {line:?}, with the price {:?}",
        amount(&format!("lines[{index}].price"), &line.price, currency)
    )
}

/// The exact amount that a text such as `3.50` means.
///
/// # Errors
///
/// `field`, when the text is no amount of this currency.
fn amount(field: &str, text: &str, currency: &str) -> Result<Money, Refusal> {
    todo!(
        "read {text:?} as an amount of {currency}, or refuse it: {}",
        refuse(field, "the reason")
    )
}

/// The shop's message in a record's payload.
fn read(payload: &[u8]) -> Result<ShopOrder, Refusal> {
    serde_json::from_slice(payload).map_err(|error| refuse("(the payload)", error))
}

fn main() {
    let payloads = [
        r#"{"orderNo": "A-17", "buyer": "customer-7", "orderedAt": "2026-03-14T09:26:53Z", "currency": "EUR",
            "lines": [{"sku": "coffee", "quantity": 2, "price": "3.50"}], "total": "7.00"}"#,
        r#"{"orderNo": "A-18", "buyer": "customer-7", "orderedAt": "2026-03-14T09:30:00Z", "currency": "EUR",
            "lines": [{"sku": "coffee", "quantity": 0, "price": "3.50"}], "total": "0.00"}"#,
        "order A-19: 2 coffees",
    ];
    for payload in payloads {
        match read(payload.as_bytes()).and_then(|order| translate(&order)) {
            Ok(order) => println!("order {}: {}", order.id(), order.total()),
            Err(refusal) => println!("refused: {refusal}"),
        }
    }
}

#[cfg(test)]
#[path = "../tests/checks/04a_translate_orders.rs"]
mod checks;
