//! What the tests of producers share: a broker of their own, and events to send.
#![allow(dead_code, reason = "each test file needs a part of it")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use embedded_broker::Broker;
use kafka_event_streaming::config::Cluster;
use kafka_event_streaming::event::Event;
use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
use kafka_event_streaming::topics;
use serde::{Deserialize, Serialize};

/// Far longer than any of this takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An embedded broker with one node, whatever the environment says: here things go wrong on purpose.
pub(crate) struct Own {
    pub(crate) broker: Broker,
    pub(crate) cluster: Cluster,
}

impl Own {
    pub(crate) async fn start() -> Self {
        let broker = Broker::builder().start().await.unwrap();
        let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
        Self { broker, cluster }
    }

    pub(crate) async fn topic(&self, partitions: i32) -> String {
        let name = topics::unique_name("test");
        topics::ensure_topic(&self.cluster, &name, partitions)
            .await
            .unwrap();
        name
    }

    /// From now on nobody answers.
    pub(crate) fn pause(&self) {
        self.broker.pause_node(self.node()).unwrap();
    }

    pub(crate) fn resume(&self) {
        self.broker.resume_node(self.node()).unwrap();
    }

    fn node(&self) -> i32 {
        self.broker.snapshot().nodes[0].id
    }
}

pub(crate) fn domain_order(number: usize) -> Order {
    let price = "3.50 EUR".parse().unwrap();
    Order::place(
        format!("order-{number}").parse().unwrap(),
        "customer-7".parse().unwrap(),
        "2026-03-14T09:26:53Z".parse().unwrap(),
        vec![LineItem::new("coffee".parse().unwrap(), 2, price).unwrap()],
    )
    .unwrap()
}

pub(crate) fn order(number: usize) -> OrderEvent {
    OrderEvent::from(&domain_order(number))
}

/// One of many things that happen to one order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) order: String,
    pub(crate) number: u64,
}

impl Event for Step {
    const TYPE: &'static str = "step";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}

/// `count` steps of each of so many orders, the first of all orders before the second of any.
pub(crate) fn steps(orders: u64, count: u64) -> impl Iterator<Item = Step> {
    (0..count).flat_map(move |number| {
        (0..orders).map(move |order| Step {
            order: format!("order-{order}"),
            number,
        })
    })
}

/// An event that JSON has no form for: its map has keys that are not texts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Unspeakable(BTreeMap<Vec<u8>, u8>);

impl Default for Unspeakable {
    fn default() -> Self {
        Self([(vec![1], 1)].into())
    }
}

impl Event for Unspeakable {
    const TYPE: &'static str = "unspeakable";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed("key")
    }
}
