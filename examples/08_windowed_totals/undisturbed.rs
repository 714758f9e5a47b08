//! The same totals, worked out in one go, in memory, from the topic as it stands: without a crash there is nothing that
//! could go wrong. Written down by hand, so that it shares no mistake with what it is compared to.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use kafka_event_streaming::event;
use rdkafka::Message;

use crate::account::{Account, Totals, contents};
use crate::shop::{Sale, Shop, Takings};

pub(crate) const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// What has to come out, and what there is to tell of the sales.
#[derive(Debug, Default)]
pub(crate) struct Undisturbed {
    pub(crate) account: Account,
    /// The part of each total that came when its minute was over already, and counts all the same.
    pub(crate) late: Totals,
    /// What came too late, and the latest sale that its partition had by then.
    pub(crate) too_late: Vec<(Sale, Timestamp)>,
    /// Every sale, with the time at which its record was written.
    pub(crate) sales: Vec<(Sale, Timestamp)>,
}

impl Undisturbed {
    pub(crate) async fn compute(shop: &Shop, grace: Duration) -> Result<Self> {
        let grace = SignedDuration::try_from(grace)?;
        let sales = contents(shop, &shop.sales, |record| {
            let written = record.timestamp().to_millis().context("no timestamp")?;
            let written = Timestamp::from_millisecond(written)?;
            let sale: Sale = event::decode_record(record)?;
            Ok((record.partition(), sale, written))
        });
        let mut undisturbed = Self::default();
        let Account { open, too_late, .. } = &mut undisturbed.account;
        // What time it is, each partition knows for itself: its latest sale says so.
        let mut now: BTreeMap<i32, Timestamp> = BTreeMap::new();
        let mut partitions: BTreeMap<String, i32> = BTreeMap::new();
        for (partition, sale, written) in sales.await? {
            let latest = now.entry(partition).or_insert(sale.sold_at);
            *latest = sale.sold_at.max(*latest);
            let cell = (minute(sale.sold_at), sale.product.clone());
            partitions.insert(sale.product.clone(), partition);
            let end = cell.0 + MINUTE;
            if end + grace <= *latest {
                too_late.push(sale.clone());
                undisturbed.too_late.push((sale.clone(), *latest));
            } else {
                if end <= *latest {
                    add(&mut undisturbed.late, cell.clone(), &sale);
                }
                add(open, cell, &sale);
            }
            undisturbed.sales.push((sale, written));
        }
        too_late.sort();
        undisturbed.too_late.sort();
        // Over is what every sale of its partition has come through: the others are open.
        let is_over = |(start, product): &(Timestamp, String)| {
            let latest = partitions
                .get(product)
                .and_then(|partition| now.get(partition));
            latest.is_some_and(|latest| *start + MINUTE + grace <= *latest)
        };
        let (closed, open) = std::mem::take(open)
            .into_iter()
            .partition(|(cell, _)| is_over(cell));
        undisturbed.account = Account {
            closed,
            open,
            ..undisturbed.account
        };
        Ok(undisturbed)
    }
}

/// The first moment of its minute.
pub(crate) fn minute(time: Timestamp) -> Timestamp {
    let into_it = time.as_millisecond().rem_euclid(60_000);
    time - SignedDuration::from_millis(into_it)
}

fn add(totals: &mut Totals, cell: (Timestamp, String), sale: &Sale) {
    let Takings { cents, sales } = totals.entry(cell).or_default();
    *cents += sale.cents;
    *sales += 1;
}
