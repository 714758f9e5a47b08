//! Between what travels and what the business means: the anti-corruption layer.
//!
//! Outwards nothing can fail, because a valid order has a message. Inwards everything is doubted: a message comes from
//! another team's program, of a version that nobody tested together with this one. A refusal names the field, since a
//! person will read it next to the record, in a dead-letter topic, weeks later.

use super::{
    Currency, IdentifierError, LineItem, LineItemMessage, Money, MoneyMessage, Order, OrderError,
    OrderEvent,
};

/// A message that means no order, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Refusal {
    /// The field of the message, such as `items[2].unit_price.currency`.
    pub field: String,
    /// What is wrong with it. Printed with the field, so it is not a `source` as well.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It names nothing.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),

    /// It breaks a rule of the business.
    #[error(transparent)]
    Rule(#[from] OrderError),

    /// More or fewer pieces than can be ordered.
    #[error("{quantity} is not a quantity (1 to {})", u32::MAX)]
    Quantity {
        /// The number in the message.
        quantity: i64,
    },

    /// No currency has this code.
    #[error("{code:?} is not a currency of ISO 4217")]
    Currency {
        /// The code in the message.
        code: String,
    },

    /// The message contradicts itself, so one of the two is wrong, and nobody here knows which.
    #[error("{stated} is not the sum of the items, {sum}")]
    Total {
        /// The total in the message.
        stated: Money,
        /// What the items add up to.
        sum: Money,
    },
}

impl From<&Order> for OrderEvent {
    fn from(order: &Order) -> Self {
        Self {
            order_id: order.id().as_str().to_owned(),
            customer_id: order.customer().as_str().to_owned(),
            status: order.status().name().to_owned(),
            placed_at: order.placed_at(),
            items: order.items().iter().map(LineItemMessage::from).collect(),
            total: order.total().into(),
        }
    }
}

impl From<&LineItem> for LineItemMessage {
    fn from(item: &LineItem) -> Self {
        Self {
            product_id: item.product().as_str().to_owned(),
            quantity: item.quantity().into(),
            unit_price: item.unit_price().into(),
        }
    }
}

impl From<Money> for MoneyMessage {
    fn from(amount: Money) -> Self {
        Self {
            minor_units: amount.minor_units(),
            currency: amount.currency().code().to_owned(),
        }
    }
}

impl TryFrom<OrderEvent> for Order {
    type Error = Refusal;

    fn try_from(message: OrderEvent) -> Result<Self, Self::Error> {
        let id = message.order_id.try_into().map_err(at("order_id"))?;
        let customer = message.customer_id.try_into().map_err(at("customer_id"))?;
        let status = message.status.parse().map_err(at("status"))?;
        let total = money(&message.total, || "total".to_owned())?;
        let mut items = Vec::with_capacity(message.items.len());
        for (index, item) in message.items.into_iter().enumerate() {
            items.push(line_item(item, index)?);
        }
        let order =
            Self::restore(id, customer, message.placed_at, items, status).map_err(at("items"))?;
        let sum = order.total();
        if total != sum {
            let stated = total;
            return Err(at("total")(Problem::Total { stated, sum }));
        }
        Ok(order)
    }
}

fn line_item(item: LineItemMessage, index: usize) -> Result<LineItem, Refusal> {
    let field = |name| format!("items[{index}].{name}");
    let product = item
        .product_id
        .try_into()
        .map_err(|problem| at(&field("product_id"))(problem))?;
    let quantity = match u32::try_from(item.quantity) {
        Ok(quantity @ 1..) => quantity,
        _ => {
            let quantity = item.quantity;
            return Err(at(&field("quantity"))(Problem::Quantity { quantity }));
        }
    };
    let unit_price = money(&item.unit_price, || field("unit_price"))?;
    // The quantity is fine, so what is left to be wrong is the price, alone or times the quantity.
    LineItem::new(product, quantity, unit_price)
        .map_err(|problem| at(&field("unit_price"))(problem))
}

fn money(message: &MoneyMessage, field: impl Fn() -> String) -> Result<Money, Refusal> {
    let currency = Currency::from_code(&message.currency).ok_or_else(|| {
        at(&format!("{}.currency", field()))(Problem::Currency {
            code: message.currency.clone(),
        })
    })?;
    Ok(Money::from_minor_units(message.minor_units, currency))
}

/// The field's name is made up only when there is something to refuse: messages come by the million.
fn at<P: Into<Problem>>(field: &str) -> impl Fn(P) -> Refusal {
    move |problem| Refusal {
        field: field.to_owned(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn message() -> Value {
        json!({
            "order_id": "order-1001",
            "customer_id": "customer-7",
            "status": "paid",
            "placed_at": "2026-03-14T09:26:53Z",
            "items": [
                {"product_id": "coffee", "quantity": 2, "unit_price": {"minor_units": 350, "currency": "EUR"}},
                {"product_id": "cake", "quantity": 1, "unit_price": {"minor_units": 420, "currency": "EUR"}}
            ],
            "total": {"minor_units": 1120, "currency": "EUR"}
        })
    }

    fn translate(message: Value) -> Result<Order, Refusal> {
        serde_json::from_value::<OrderEvent>(message)
            .unwrap()
            .try_into()
    }

    /// S1-12, S3-07, X9: the line items arrive, every field of them, in their order.
    #[test]
    fn line_items_are_filled_both_ways() {
        let order = translate(message()).unwrap();
        let items: Vec<(&str, u32, String)> = order
            .items()
            .iter()
            .map(|item| {
                let price = item.unit_price().to_string();
                (item.product().as_str(), item.quantity(), price)
            })
            .collect();
        assert_eq!(
            items,
            [
                ("coffee", 2, "3.50 EUR".to_owned()),
                ("cake", 1, "4.20 EUR".to_owned())
            ]
        );
        let written = serde_json::to_value(OrderEvent::from(&order)).unwrap();
        assert_eq!(written, message());
    }

    /// S3-07, X9: each refusal says which field, and why.
    #[test]
    fn a_refusal_names_the_field() {
        for (pointer, value, refusal) in [
            (
                "/order_id",
                json!(""),
                "order_id: \"\" is not an identifier",
            ),
            (
                "/customer_id",
                json!("a b"),
                "customer_id: \"a b\" is not an identifier",
            ),
            (
                "/status",
                json!("lost"),
                "status: \"lost\" is not the status of an order",
            ),
            (
                "/items",
                json!([]),
                "items: an order has at least one line item",
            ),
            (
                "/items/1/product_id",
                json!("\u{7}"),
                "items[1].product_id: ",
            ),
            (
                "/items/1/quantity",
                json!(0),
                "items[1].quantity: 0 is not a quantity",
            ),
            (
                "/items/0/quantity",
                json!(-1),
                "items[0].quantity: -1 is not a quantity",
            ),
            (
                "/items/0/quantity",
                json!(4_294_967_296_i64),
                "items[0].quantity: 4294967296",
            ),
            (
                "/items/0/unit_price/minor_units",
                json!(-1),
                "items[0].unit_price: the price -0.01 EUR is negative",
            ),
            (
                "/items/0/unit_price/minor_units",
                json!(i64::MAX),
                "items[0].unit_price: the amount is out of range",
            ),
            (
                "/items/1/unit_price/currency",
                json!("EURO"),
                "items[1].unit_price.currency: \"EURO\"",
            ),
            (
                "/items/1/unit_price/currency",
                json!("JPY"),
                "items: EUR and JPY cannot be added",
            ),
            ("/total/currency", json!("eur"), "total.currency: \"eur\""),
            (
                "/total/minor_units",
                json!(1119),
                "total: 11.19 EUR is not the sum of the items, 11.20 EUR",
            ),
        ] {
            let mut message = message();
            *message.pointer_mut(pointer).unwrap() = value;
            let error = translate(message).unwrap_err().to_string();
            assert!(error.starts_with(refusal), "{pointer} gave {error:?}");
        }
    }
}
