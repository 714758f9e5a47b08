//! Orders: what the business says, what travels, and the translation in between. Pure: no Kafka, no clock, no I/O.
//!
//! - [`money`]: amounts in minor units with their currency, exact
//! - [`identifier`]: what an order, a customer and a product are called
//! - [`domain`]: the order that code may rely on, because an invalid one cannot be made
//! - [`status`]: how far it has come, and which step may follow
//! - [`message`]: the order as it is published, which every consumer depends on
//! - [`versions`]: what was published before, made into what is published now
//! - [`translation`]: one into the other and back, the anti-corruption layer
//!
//! Domain and message look alike here, and still are two types. The message changes only in ways that old consumers
//! survive; the domain changes whenever the business does. Where one type is both, each holds the other back.
//!
//! ```
//! use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
//!
//! let order = Order::place(
//!     "order-1001".parse()?,
//!     "customer-7".parse()?,
//!     "2026-03-14T09:26:53Z".parse()?,
//!     vec![LineItem::new("coffee".parse()?, 2, "3.50 EUR".parse()?)?],
//! )?;
//! assert_eq!(order.total().to_string(), "7.00 EUR");
//!
//! let published = serde_json::to_vec(&OrderEvent::from(&order))?;
//! let received: OrderEvent = serde_json::from_slice(&published)?;
//! assert_eq!(Order::try_from(received)?, order);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod domain;
pub mod identifier;
pub mod message;
pub mod money;
pub mod status;
pub mod translation;
pub mod versions;

pub use domain::{LineItem, Order, OrderError};
pub use identifier::{CustomerId, IdentifierError, OrderId, ProductId};
pub use message::{LineItemMessage, MoneyMessage, OrderEvent};
pub use money::{Currency, Money, MoneyError};
pub use status::OrderStatus;
pub use translation::Refusal;
