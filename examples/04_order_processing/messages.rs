//! What the services say to each other. Every message is about one order, whose id is its key.

use std::borrow::Cow;

use kafka_event_streaming::event::Event;
use kafka_event_streaming::order::{Order, OrderEvent, Refusal};
use serde::{Deserialize, Serialize};

/// An event that says what happened to an order, once.
pub(crate) trait Message: Event + Sync {
    /// What it is to the business.
    type Meaning: Send;

    /// The anti-corruption layer: what travels, made into what the domain knows.
    fn translate(&self) -> Result<Self::Meaning, Refusal>;

    /// What happened, in a word or two: `placed`, `reserved`.
    fn what(&self) -> &str;

    /// What makes it the same message when it comes again, wherever it then stands in the log: nothing happens to an order
    /// twice.
    fn id(&self) -> String {
        format!("{} {}", self.key(), self.what())
    }
}

impl Message for OrderEvent {
    type Meaning = Order;

    fn translate(&self) -> Result<Order, Refusal> {
        self.clone().try_into()
    }

    fn what(&self) -> &str {
        &self.status
    }
}

/// What came of an order at inventory, payments or shipping.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) order_id: String,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Reserved,
    SoldOut,
    Released,
    Charged,
    Declined,
    Refunded,
    Shipped,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::SoldOut => "sold out",
            Self::Released => "released",
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Refunded => "refunded",
            Self::Shipped => "shipped",
        }
    }
}

impl Reply {
    pub(crate) fn to(order: &Order, outcome: Outcome) -> Self {
        Self {
            order_id: order.id().as_str().to_owned(),
            outcome,
        }
    }

    /// Another outcome for the same order.
    pub(crate) fn with(&self, outcome: Outcome) -> Self {
        Self {
            outcome,
            ..self.clone()
        }
    }
}

impl Event for Reply {
    const TYPE: &'static str = "order.reply";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order_id)
    }
}

impl Message for Reply {
    type Meaning = Self;

    fn translate(&self) -> Result<Self, Refusal> {
        Ok(self.clone())
    }

    fn what(&self) -> &str {
        self.outcome.name()
    }
}

/// A mail to a customer, for a program that sends mails.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Notice {
    order_id: String,
    customer_id: String,
    /// The status that it tells of.
    status: String,
}

impl Notice {
    pub(crate) fn about(order: &Order) -> Self {
        Self {
            order_id: order.id().as_str().to_owned(),
            customer_id: order.customer().as_str().to_owned(),
            status: order.status().name().to_owned(),
        }
    }
}

impl Event for Notice {
    const TYPE: &'static str = "order.notice";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order_id)
    }
}

impl Message for Notice {
    type Meaning = Self;

    fn translate(&self) -> Result<Self, Refusal> {
        Ok(self.clone())
    }

    fn what(&self) -> &str {
        &self.status
    }
}
