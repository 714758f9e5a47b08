//! Every version of the order event that was ever published, made into the current one when it is read.
//!
//! Version 1, from the days when the shop sold in euros only and published an order once, when it was placed:
//!
//! ```json
//! {
//!   "order_id": "order-1001",
//!   "customer": "customer-7",
//!   "placed_at": "2026-03-14T09:26:53Z",
//!   "items": [{"product": "coffee", "quantity": 2, "price_cents": 350}],
//!   "total_cents": 700
//! }
//! ```
//!
//! Records of version 1 stay in the log for as long as the topic keeps them, and a new service starts with the oldest.
//! So both are read for ever, or until the last one has expired.

use serde_json::{Map, Value, json};

use super::message::SCHEMA_VERSION;

/// The one currency of version 1.
const CURRENCY_OF_VERSION_1: &str = "EUR";

/// Why a record of an older version has no form in this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpcastError {
    /// There never was such a version, or it is newer than this program.
    #[error("order events of version {version} are not known here, only 1 to {SCHEMA_VERSION}")]
    UnknownVersion {
        /// The version that the record names.
        version: u32,
    },

    /// The record is not what its version promises.
    #[error("{field} is not {expected}")]
    Malformed {
        /// Where, such as `items[2].price_cents`.
        field: String,
        /// What belongs there.
        expected: &'static str,
    },
}

/// Turns an order event of any version into the JSON of the current one. What it does not know it leaves alone.
///
/// Newer shapes are made of older ones here and nowhere else, so the rest of the program knows one shape. A version 3
/// adds one step: 1 to 2 stays as it is.
///
/// # Errors
///
/// [`UpcastError`]. The values themselves are judged when the result is decoded and translated.
pub fn upcast(from_version: u32, event: Value) -> Result<Value, UpcastError> {
    match from_version {
        1 => from_version_1(event),
        SCHEMA_VERSION => Ok(event),
        version => Err(UpcastError::UnknownVersion { version }),
    }
}

/// Renames fields, says the currency that went without saying, and the only status that there was.
fn from_version_1(event: Value) -> Result<Value, UpcastError> {
    let mut event = object("the event", event)?;
    rename(&mut event, "", "customer", "customer_id")?;
    price(&mut event, "", "total_cents", "total")?;
    let Some(Value::Array(items)) = event.get_mut("items") else {
        return Err(malformed("items", "a list"));
    };
    for (index, item) in items.iter_mut().enumerate() {
        let path = format!("items[{index}]");
        let mut changed = object(&path, item.take())?;
        let path = format!("{path}.");
        rename(&mut changed, &path, "product", "product_id")?;
        price(&mut changed, &path, "price_cents", "unit_price")?;
        *item = Value::Object(changed);
    }
    event.insert("status".to_owned(), json!("placed"));
    Ok(Value::Object(event))
}

fn object(path: &str, value: Value) -> Result<Map<String, Value>, UpcastError> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(malformed(path, "an object")),
    }
}

fn rename(
    fields: &mut Map<String, Value>,
    path: &str,
    old: &str,
    new: &str,
) -> Result<(), UpcastError> {
    let value = fields
        .remove(old)
        .ok_or_else(|| malformed(&format!("{path}{old}"), "there"))?;
    fields.insert(new.to_owned(), value);
    Ok(())
}

fn price(
    fields: &mut Map<String, Value>,
    path: &str,
    cents: &str,
    new: &str,
) -> Result<(), UpcastError> {
    match fields.remove(cents).as_ref().and_then(Value::as_i64) {
        Some(cents) => {
            let amount = json!({"minor_units": cents, "currency": CURRENCY_OF_VERSION_1});
            fields.insert(new.to_owned(), amount);
            Ok(())
        }
        None => Err(malformed(&format!("{path}{cents}"), "a whole number")),
    }
}

fn malformed(field: &str, expected: &'static str) -> UpcastError {
    UpcastError::Malformed {
        field: field.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_1() -> Value {
        json!({
            "order_id": "order-1001",
            "customer": "customer-7",
            "placed_at": "2026-03-14T09:26:53Z",
            "items": [{"product": "coffee", "quantity": 2, "price_cents": 350, "gift": true}],
            "total_cents": 700,
            "campaign": "spring"
        })
    }

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

    /// X11: cents with decimals are not cents.
    #[test]
    fn a_price_as_a_float_is_refused() {
        for float in [json!(3.5), json!(350.0), json!("350")] {
            let mut event = version_1();
            event["total_cents"] = float;
            let error = upcast(1, event).unwrap_err();
            assert_eq!(error.to_string(), "total_cents is not a whole number");
        }
    }

    /// S1-01: records of version 1 are read as if they had been written today.
    #[test]
    fn version_1_becomes_version_2_and_version_2_stays() {
        assert_eq!(upcast(1, version_1()), Ok(version_2()));
        assert_eq!(upcast(2, version_2()), Ok(version_2()));
    }

    #[test]
    fn what_is_no_older_version_is_refused_by_field() {
        for version in [0, 3, u32::MAX] {
            assert_eq!(
                upcast(version, version_2()),
                Err(UpcastError::UnknownVersion { version })
            );
        }
        let refused = |event| upcast(1, event).unwrap_err().to_string();
        assert_eq!(refused(json!([])), "the event is not an object");
        for (pointer, message) in [
            ("/customer", "customer is not there"),
            ("/items", "items is not a list"),
            ("/items/0/product", "items[0].product is not there"),
            (
                "/items/0/price_cents",
                "items[0].price_cents is not a whole number",
            ),
        ] {
            let mut event = version_1();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let parent = event.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().remove(field).unwrap();
            assert_eq!(refused(event), message);
        }
        let mut event = version_1();
        event["items"][0] = json!("coffee");
        assert_eq!(refused(event), "items[0] is not an object");
    }
}
