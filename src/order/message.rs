//! The order as it is published. Whoever reads the topic depends on this shape, in services that nobody here knows;
//! so it changes only together with [`versions`], and never by a refactoring.
//!
//! Version 2, the current one:
//!
//! ```json
//! {
//!   "order_id": "order-1001",
//!   "customer_id": "customer-7",
//!   "status": "placed",
//!   "placed_at": "2026-03-14T09:26:53Z",
//!   "items": [
//!     {"product_id": "coffee", "quantity": 2, "unit_price": {"minor_units": 350, "currency": "EUR"}}
//!   ],
//!   "total": {"minor_units": 700, "currency": "EUR"}
//! }
//! ```
//!
use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::versions;
use crate::event::Event;

/// The version that is written.
pub(super) const SCHEMA_VERSION: u32 = 2;

/// An order, as published. Fields that this version does not know are skipped when it is read, so that a producer may
/// add some without asking every consumer.
///
/// What is well formed here need not be valid: that is decided by the [translation](super::translation), which can
/// say more than a parser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEvent {
    /// Which order. The record's key.
    pub order_id: String,
    /// Who ordered.
    pub customer_id: String,
    /// The name of a status. A text, because a later producer may know more of them.
    pub status: String,
    /// When it was placed: ISO 8601 in UTC, such as `2026-03-14T09:26:53.589Z`. Other offsets are read, too.
    pub placed_at: Timestamp,
    /// What was ordered.
    pub items: Vec<LineItemMessage>,
    /// What it costs. The sum of the items, for readers that do not want to add.
    pub total: MoneyMessage,
}

/// One line of the order, as published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineItemMessage {
    /// What was ordered.
    pub product_id: String,
    /// How many pieces. Wider than is allowed, so that a wrong one can be named in the refusal.
    pub quantity: i64,
    /// The price of one piece.
    pub unit_price: MoneyMessage,
}

/// An amount, as published. Whole numbers only: a decimal such as `3.5` does not decode (row X11).
///
/// JSON itself sets no limit, but JavaScript and `jq` read numbers as floats and are exact up to 2^53 minor units, which
/// are 90 trillion euros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyMessage {
    /// Cents, for a currency with two decimals.
    pub minor_units: i64,
    /// The code of ISO 4217.
    pub currency: String,
}

/// The one tie between orders and events. The domain does not know of it.
impl Event for OrderEvent {
    const TYPE: &'static str = "order";
    const VERSION: u32 = SCHEMA_VERSION;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order_id)
    }

    fn upcast(version: u32, older: Value) -> Result<Value, String> {
        versions::upcast(version, older).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version_2() -> Value {
        json!({
            "order_id": "order-1001",
            "customer_id": "customer-7",
            "status": "placed",
            "placed_at": "2026-03-14T09:26:53Z",
            "items": [{
                "product_id": "coffee",
                "quantity": 2,
                "unit_price": {"minor_units": 350, "currency": "EUR"},
                "gift": true
            }],
            "total": {"minor_units": 700, "currency": "EUR"},
            "campaign": "spring"
        })
    }

    /// S1-01: nested line items and ISO-8601 timestamps. Fields from the future are skipped.
    #[test]
    fn the_message_is_the_documented_json() {
        let event: OrderEvent = serde_json::from_value(version_2()).unwrap();
        assert_eq!(event.items.len(), 1);
        assert_eq!(event.items[0].unit_price.minor_units, 350);
        let mut written = version_2();
        written.as_object_mut().unwrap().remove("campaign");
        written["items"][0].as_object_mut().unwrap().remove("gift");
        assert_eq!(serde_json::to_value(&event).unwrap(), written);
    }

    /// S1-01: a point in time is the same one whatever offset it was written with, and is written in UTC.
    #[test]
    fn timestamps_of_any_offset_are_read_and_written_in_utc() {
        let mut json = version_2();
        json["placed_at"] = json!("2026-03-14T10:26:53.5+01:00");
        let event: OrderEvent = serde_json::from_value(json.clone()).unwrap();
        let written = serde_json::to_value(&event).unwrap();
        assert_eq!(written["placed_at"], json!("2026-03-14T09:26:53.5Z"));
        json["placed_at"] = json!("14.03.2026 09:26");
        assert!(serde_json::from_value::<OrderEvent>(json).is_err());
    }

    /// S1-04: the order's id is the record's key, so that its events share a partition.
    #[test]
    fn the_key_is_the_order() {
        let event: OrderEvent = serde_json::from_value(version_2()).unwrap();
        assert_eq!(event.key(), "order-1001");
    }

    /// X11: an amount with decimals is not an amount.
    #[test]
    fn a_price_as_a_float_does_not_decode() {
        for float in [json!(3.5), json!(350.0), json!("350")] {
            let mut event = version_2();
            event["total"]["minor_units"] = float.clone();
            assert!(
                serde_json::from_value::<OrderEvent>(event).is_err(),
                "{float}"
            );
        }
    }
}
