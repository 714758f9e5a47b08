//! The order as the business sees it. Every rule is checked where the value is made, so code that holds an [`Order`]
//! checks nothing: it has items, all of one currency, and a total that is their sum.

use std::num::NonZeroU32;

use jiff::Timestamp;

use super::{CustomerId, Money, MoneyError, OrderId, OrderStatus, ProductId};

/// What a customer ordered. Never without line items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    id: OrderId,
    customer: CustomerId,
    /// Handed in: the domain reads no clock.
    placed_at: Timestamp,
    status: OrderStatus,
    /// At least one, all of the currency of `total`.
    items: Vec<LineItem>,
    /// The sum of the items, taken once: it cannot fail any more.
    total: Money,
}

/// So many of one product, at a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineItem {
    product: ProductId,
    quantity: NonZeroU32,
    /// Of one piece. Zero for a gift, never less.
    unit_price: Money,
    /// Price times quantity, taken once: it cannot fail any more.
    subtotal: Money,
}

/// A rule of the business that a value would break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// An order of nothing is not an order.
    #[error("an order has at least one line item")]
    NoItems,

    /// Nothing of a product is not a line item.
    #[error("the quantity is at least 1")]
    NoQuantity,

    /// The shop pays nobody for taking its goods.
    #[error("the price {price} is negative")]
    NegativePrice {
        /// The price of one piece.
        price: Money,
    },

    /// There is no such sum: two currencies, or too much.
    #[error(transparent)]
    Money(#[from] MoneyError),

    /// The order cannot go there from where it is.
    #[error("an order that is {from} does not become {to}")]
    Transition {
        /// Where it is.
        from: OrderStatus,
        /// Where it was to go.
        to: OrderStatus,
    },

    /// No status has this name.
    #[error("{name:?} is not the status of an order")]
    UnknownStatus {
        /// What was read.
        name: String,
    },
}

impl LineItem {
    /// So many pieces of `product`.
    ///
    /// # Errors
    ///
    /// [`OrderError::NoQuantity`], [`OrderError::NegativePrice`], or [`OrderError::Money`] when the product of price
    /// and quantity is out of range.
    pub fn new(product: ProductId, quantity: u32, unit_price: Money) -> Result<Self, OrderError> {
        let quantity = NonZeroU32::new(quantity).ok_or(OrderError::NoQuantity)?;
        if unit_price.is_negative() {
            return Err(OrderError::NegativePrice { price: unit_price });
        }
        Ok(Self {
            subtotal: unit_price.checked_times(quantity.get())?,
            product,
            quantity,
            unit_price,
        })
    }

    /// What was ordered.
    pub fn product(&self) -> &ProductId {
        &self.product
    }

    /// How many pieces.
    pub fn quantity(&self) -> u32 {
        self.quantity.get()
    }

    /// The price of one piece.
    pub fn unit_price(&self) -> Money {
        self.unit_price
    }

    /// The price of all pieces.
    pub fn subtotal(&self) -> Money {
        self.subtotal
    }
}

impl Order {
    /// A new order.
    ///
    /// # Errors
    ///
    /// [`OrderError::NoItems`], or [`OrderError::Money`] when the items have no sum: two currencies, or out of range.
    pub fn place(
        id: OrderId,
        customer: CustomerId,
        placed_at: Timestamp,
        items: Vec<LineItem>,
    ) -> Result<Self, OrderError> {
        Self::restore(id, customer, placed_at, items, OrderStatus::Placed)
    }

    /// An order that was placed earlier, at the point that it had reached.
    ///
    /// # Errors
    ///
    /// Those of [`place`](Self::place): an order from outside is held to the same rules.
    pub fn restore(
        id: OrderId,
        customer: CustomerId,
        placed_at: Timestamp,
        items: Vec<LineItem>,
        status: OrderStatus,
    ) -> Result<Self, OrderError> {
        let first = items.first().ok_or(OrderError::NoItems)?;
        let mut total = Money::zero(first.subtotal.currency());
        for item in &items {
            total = total.checked_add(item.subtotal)?;
        }
        Ok(Self {
            id,
            customer,
            placed_at,
            status,
            items,
            total,
        })
    }

    /// The same order, one step further.
    ///
    /// # Errors
    ///
    /// [`OrderError::Transition`] when there is no such step, such as cancelling what was shipped.
    pub fn advance(self, to: OrderStatus) -> Result<Self, OrderError> {
        let from = self.status;
        if !from.may_become(to) {
            return Err(OrderError::Transition { from, to });
        }
        Ok(Self { status: to, ..self })
    }

    /// Which order this is.
    pub fn id(&self) -> &OrderId {
        &self.id
    }

    /// Who ordered.
    pub fn customer(&self) -> &CustomerId {
        &self.customer
    }

    /// When.
    pub fn placed_at(&self) -> Timestamp {
        self.placed_at
    }

    /// How far it has come.
    pub fn status(&self) -> OrderStatus {
        self.status
    }

    /// What was ordered: at least one item.
    pub fn items(&self) -> &[LineItem] {
        &self.items
    }

    /// What it costs.
    pub fn total(&self) -> Money {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(product: &str, quantity: u32, price: &str) -> Result<LineItem, OrderError> {
        LineItem::new(product.parse().unwrap(), quantity, price.parse().unwrap())
    }

    fn place(items: Vec<LineItem>) -> Result<Order, OrderError> {
        Order::place(
            "order-1".parse().unwrap(),
            "customer-1".parse().unwrap(),
            Timestamp::UNIX_EPOCH,
            items,
        )
    }

    /// X9: an order without line items cannot be made.
    #[test]
    fn an_order_has_items_and_their_sum_for_its_total() {
        assert_eq!(place(Vec::new()), Err(OrderError::NoItems));
        let items = vec![
            item("coffee", 2, "3.50 EUR").unwrap(),
            item("napkin", 1, "0.00 EUR").unwrap(),
        ];
        let order = place(items.clone()).unwrap();
        assert_eq!(order.items(), items);
        assert_eq!(order.total().to_string(), "7.00 EUR");
        assert_eq!(order.status(), OrderStatus::Placed);
    }

    /// S1-02: an order has one currency.
    #[test]
    fn prices_that_have_no_sum_make_no_order() {
        assert_eq!(item("coffee", 0, "3.50 EUR"), Err(OrderError::NoQuantity));
        assert!(matches!(
            item("coffee", 1, "-0.01 EUR"),
            Err(OrderError::NegativePrice { .. })
        ));
        assert_eq!(
            item("coffee", 2, "92233720368547758.07 EUR"),
            Err(OrderError::Money(MoneyError::OutOfRange))
        );
        let mixed = vec![
            item("coffee", 1, "3.50 EUR").unwrap(),
            item("tea", 1, "350 JPY").unwrap(),
        ];
        assert!(matches!(
            place(mixed),
            Err(OrderError::Money(MoneyError::MixedCurrencies { .. }))
        ));
    }

    #[test]
    fn an_order_goes_forward_only() {
        let order = place(vec![item("coffee", 1, "3.50 EUR").unwrap()]).unwrap();
        let shipped = order
            .advance(OrderStatus::Paid)
            .and_then(|order| order.advance(OrderStatus::Shipped))
            .unwrap();
        assert_eq!(
            shipped.advance(OrderStatus::Cancelled),
            Err(OrderError::Transition {
                from: OrderStatus::Shipped,
                to: OrderStatus::Cancelled
            })
        );
    }
}
