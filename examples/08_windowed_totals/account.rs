//! Where the sales are: in totals that are final, in totals that are open, or set aside.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jiff::Timestamp;
use kafka_event_streaming::config::IsolationLevel::ReadCommitted;
use kafka_event_streaming::event;
use kafka_event_streaming::topic_contents;
use kafka_event_streaming::window::WindowResult;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use tokio::try_join;

use crate::shop::{Sale, Shop, Takings};

/// By the first moment of the minute, and the product.
pub(crate) type Totals = BTreeMap<(Timestamp, String), Takings>;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Account {
    /// The totals of minutes that are over.
    pub(crate) closed: Totals,
    /// How often there was a total already.
    pub(crate) doubled: usize,
    /// The totals of minutes that are open.
    pub(crate) open: Totals,
    /// What came after its minute had closed, by when it was sold.
    pub(crate) too_late: Vec<Sale>,
}

/// A record of the changelog. It says nothing of a total, or what it is now, or that it is dropped.
type Entry = Option<((Timestamp, String), Option<Takings>)>;

impl Account {
    /// What the service has committed.
    pub(crate) async fn read(shop: &Shop) -> Result<Self> {
        let (results, entries, too_late) = try_join!(
            contents(shop, &shop.revenue, |record| Ok(event::decode_record(
                record
            )?)),
            contents(shop, &shop.changelog, entry),
            contents(shop, &shop.too_late, |record| Ok(event::decode_record(
                record
            )?)),
        )?;
        let mut account = Self {
            too_late,
            ..Self::default()
        };
        account.too_late.sort();
        for WindowResult {
            start, key, total, ..
        } in results
        {
            let before = account.closed.insert((start, key), total);
            account.doubled += usize::from(before.is_some());
        }
        // What compaction does, sooner or later: the last record of each key counts.
        for (cell, total) in entries.into_iter().flatten() {
            match total {
                Some(total) => account.open.insert(cell, total),
                None => account.open.remove(&cell),
            };
        }
        Ok(account)
    }

    /// How it differs from what it has to be.
    pub(crate) fn compare(&self, expected: &Self) -> String {
        let right = |found: &Totals, expected: &Totals| {
            let equal = expected
                .iter()
                .filter(|(cell, total)| found.get(cell) == Some(total));
            equal.count()
        };
        let (closed, open) = (
            right(&self.closed, &expected.closed),
            right(&self.open, &expected.open),
        );
        format!(
            "{closed} of {} totals, {open} of {} open; doubled {}",
            expected.closed.len(),
            expected.open.len(),
            self.doubled
        )
    }

    /// Where the sales are that were sent.
    pub(crate) fn summary(&self, sent: usize) -> String {
        let (closed, open, too_late) =
            (sales(&self.closed), sales(&self.open), self.too_late.len());
        let missing = sent.saturating_sub(closed + open + too_late);
        format!("final {closed}, open {open}, too late {too_late}, missing {missing}")
    }
}

pub(crate) fn sales(totals: &Totals) -> usize {
    totals.values().map(|takings| takings.sales as usize).sum()
}

/// Reads all of a topic as it is right now.
pub(crate) async fn contents<T>(
    shop: &Shop,
    topic: &str,
    decode: impl Fn(&BorrowedMessage<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    let note = |record: &BorrowedMessage<'_>| found.push(decode(record));
    let read = topic_contents::read(&shop.cluster, topic, ReadCommitted, note).await;
    read.context("is the broker still there?")?;
    found.into_iter().collect()
}

/// Reads a record of the changelog: `1773478800000/coffee` and a total, or `progress`.
pub(crate) fn entry(record: &BorrowedMessage<'_>) -> Result<Entry> {
    let key = str::from_utf8(record.key().unwrap_or_default())?;
    let Some((start, product)) = key.split_once('/') else {
        return Ok(None);
    };
    let start = Timestamp::from_millisecond(start.parse()?)?;
    let total = record.payload().map(serde_json::from_slice).transpose()?;
    Ok(Some(((start, product.to_owned()), total)))
}
