//! A made-up shop: what it sells, when, and how late that is told.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use kafka_event_streaming::config::{Cluster, ProducerSettings};
use kafka_event_streaming::event::Event;
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::topics::{self, Tier, TopicDesign};
use serde::{Deserialize, Serialize};

pub(crate) const SALES: u64 = 600;
const PARTITIONS: i32 = 3;

/// As keys, these go to one partition each of three.
const MENU: [(&str, u64); 3] = [("coffee", 350), ("cookie", 240), ("tea", 280)];

/// When the first minute begins. Long ago, as when a topic is read again: no clock has a say in what is added up.
const OPENING: &str = "2026-03-14T09:00:00Z";
/// From the first sale to the last.
const HOURS: SignedDuration = SignedDuration::from_mins(6);

/// One sale, as it was noted at the till.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Sale {
    pub(crate) sold_at: Timestamp,
    /// The number on its receipt: no two sales are the same.
    pub(crate) receipt: u64,
    pub(crate) product: String,
    pub(crate) cents: u64,
}

impl Event for Sale {
    const TYPE: &'static str = "sale.made";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.product)
    }
}

/// What a minute brought in with one product.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Takings {
    pub(crate) cents: u64,
    pub(crate) sales: u64,
}

/// Its topics, by the name of this run.
pub(crate) struct Shop {
    pub(crate) cluster: Cluster,
    pub(crate) name: String,
    pub(crate) sales: String,
    pub(crate) revenue: String,
    pub(crate) too_late: String,
    pub(crate) changelog: String,
}

impl Shop {
    /// Creates the topics, under names that nobody else uses.
    pub(crate) async fn open(cluster: &Cluster) -> Result<Self> {
        let shop = Self::named(cluster, &topics::unique_name("example-08"));
        // The service would create its changelog itself. But this program looks into it too, and perhaps before.
        let designs = [
            (&shop.sales, Tier::Standard),
            (&shop.revenue, Tier::Standard),
            (&shop.too_late, Tier::Standard),
            (&shop.changelog, Tier::Changelog),
        ]
        .map(|(topic, tier)| TopicDesign::new(topic, tier).with_partitions(PARTITIONS));
        topics::ensure_topics(cluster, &designs).await?;
        Ok(shop)
    }

    /// The shop that another process has opened.
    pub(crate) fn named(cluster: &Cluster, name: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
            sales: format!("{name}-sales"),
            revenue: format!("{name}-revenue"),
            too_late: format!("{name}-too-late"),
            changelog: format!("{name}-changelog"),
        }
    }

    /// Sends all sales, in the order in which they are told.
    pub(crate) async fn sell(&self) -> Result<usize> {
        let settings = ProducerSettings::reliable();
        let producer = EventProducer::new(&self.cluster, &self.sales, &settings)?;
        let sent = producer.send_all(sales()?).await?;
        producer.close(Duration::from_secs(10)).await;
        Ok(sent)
    }
}

/// Sales of a morning with a rush in its middle, in the order in which they are told. One till is at a stall on the market:
/// it tells of its sales up to half a minute late, and once it was out of reach for longer.
fn sales() -> Result<Vec<Sale>> {
    let opening: Timestamp = OPENING.parse()?;
    let mut random = fastrand::Rng::with_seed(8);
    let mut sales: Vec<(Timestamp, Sale)> = (0..SALES)
        .map(|receipt| {
            // The mean of two random moments: more in the middle than at either end.
            let moment = (random.i64(0..HOURS.as_secs()) + random.i64(0..HOURS.as_secs())) / 2;
            let delay = match random.u8(..100) {
                0 => random.i64(90..120),
                1..40 => random.i64(0..30),
                _ => 0,
            };
            let (product, cents) = match random.u8(..10) {
                0..5 => MENU[0],
                5..8 => MENU[1],
                _ => MENU[2],
            };
            let sold_at = opening + SignedDuration::from_secs(moment);
            let sale = Sale {
                sold_at,
                receipt,
                product: product.to_owned(),
                cents,
            };
            (sold_at + SignedDuration::from_secs(delay), sale)
        })
        .collect();
    sales.sort_by_key(|(told_at, _)| *told_at);
    Ok(sales.into_iter().map(|(_, sale)| sale).collect())
}
