//! What has to hold for every value, tried with many. Here rather than next to the code, because the library's own
//! tests are built before the first example runs, and proptest with them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use jiff::Timestamp;
use kafka_event_streaming::order::{Currency, LineItem, Money, Order, OrderEvent, OrderStatus};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const CURRENCIES: [Currency; 4] = [Currency::EUR, Currency::USD, Currency::JPY, Currency::KWD];

fn identifier() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._-]{1,64}"
}

fn point_in_time() -> impl Strategy<Value = Timestamp> {
    let nanoseconds = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
    nanoseconds.prop_map(|nanosecond| Timestamp::from_nanosecond(nanosecond).unwrap())
}

fn line_item(currency: Currency) -> impl Strategy<Value = LineItem> {
    // So that neither ten products of price and quantity nor their sum leave 64 bits.
    let price = 0..=200_000_000_i64;
    (identifier(), 1..=u32::MAX, price).prop_map(move |(product, quantity, price)| {
        let price = Money::from_minor_units(price, currency);
        LineItem::new(product.try_into().unwrap(), quantity, price).unwrap()
    })
}

fn order() -> impl Strategy<Value = Order> {
    let items =
        select(CURRENCIES.to_vec()).prop_flat_map(|currency| vec(line_item(currency), 1..=10));
    let status = select(OrderStatus::ALL.to_vec());
    (identifier(), identifier(), point_in_time(), items, status).prop_map(
        |(id, customer, placed_at, items, status)| {
            let (id, customer) = (id.try_into().unwrap(), customer.try_into().unwrap());
            Order::restore(id, customer, placed_at, items, status).unwrap()
        },
    )
}

proptest! {
    /// S1-12, S3-07, X9: every order comes back from its published bytes as it was, line items and all.
    #[test]
    fn every_order_survives_the_journey(order in order()) {
        let published = serde_json::to_vec(&OrderEvent::from(&order)).unwrap();
        let received: OrderEvent = serde_json::from_slice(&published).unwrap();
        prop_assert_eq!(received.items.len(), order.items().len());
        prop_assert_eq!(Order::try_from(received).unwrap(), order);
    }

    /// S1-02, X11: every amount of every currency is written and read without loss.
    #[test]
    fn every_amount_is_read_back_as_it_was_written(
        minor_units in any::<i64>(),
        currency in select(CURRENCIES.to_vec()),
    ) {
        let amount = Money::from_minor_units(minor_units, currency);
        prop_assert_eq!(amount.to_string().parse::<Money>(), Ok(amount));
    }

    /// S1-02: no text makes the parser panic, and what it accepts is written in one form.
    #[test]
    fn any_text_is_an_amount_or_an_error(text in "-?[0-9]{0,22}[. ]?[0-9]{0,4} ?(EUR|JPY|KWD|XX)?|\\PC*") {
        if let Ok(amount) = text.parse::<Money>() {
            prop_assert_eq!(amount.to_string().parse::<Money>(), Ok(amount));
        }
    }
}
