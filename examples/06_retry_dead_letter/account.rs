//! Prints what becomes of each payment and of what is put aside, and counts it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use kafka_event_streaming::circuit_breaker::State;
use kafka_event_streaming::config::{Cluster, IsolationLevel};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::event::Event;
use kafka_event_streaming::ledger::Ledger;
use kafka_event_streaming::processor::Observer;
use kafka_event_streaming::shutdown::CancellationToken;
use kafka_event_streaming::{reachability, topic_contents};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::bank::Payment;

/// Between two looks whether the broker is there, and the wait for its answer.
const WATCH: Duration = Duration::from_secs(3);

/// So many payments of the bank that is down are put aside before it comes back.
const OUTAGE: usize = 2;

/// One pass over what is in the topic.
pub(crate) struct Account {
    started: Instant,
    /// How many records there are to be done or put aside.
    expected: u64,
    /// Over all passes: what was sent, and what was charged.
    ledger: Ledger,
    settled: Mutex<Settled>,
    /// Cancelled when nothing is left to do, or the program is to stop.
    pub(crate) through: CancellationToken,
}

#[derive(Default)]
struct Settled {
    /// Partition and offset of each record that is done or put aside. A set: a rebalance may bring one again.
    places: BTreeSet<(i32, i64)>,
    /// Bank and number of each payment that was put aside.
    aside: BTreeSet<(String, u64)>,
}

impl Account {
    pub(crate) fn new(ledger: &Ledger, expected: u64, stop: &CancellationToken) -> Self {
        Self {
            started: Instant::now(),
            expected,
            ledger: ledger.clone(),
            settled: Mutex::default(),
            through: stop.child_token(),
        }
    }

    pub(crate) fn charged(&self, payment: &Payment) {
        self.ledger.seen(&payment.bank, payment.number);
    }

    /// True when the bank that is down has been down for long enough.
    pub(crate) fn is_outage_over(&self) -> bool {
        let settled = self.lock();
        settled
            .aside
            .iter()
            .filter(|(bank, _)| bank == "down")
            .count()
            >= OUTAGE
    }

    pub(crate) fn breaker_changed(&self, bank: &str, before: State, after: State) {
        if before != after {
            self.line(
                bank,
                "",
                &format!("circuit breaker: {before:?} -> {after:?}"),
            );
        }
    }

    /// Payments that are neither charged nor put aside.
    pub(crate) fn missing(&self) -> u64 {
        let aside = self.lock().aside.len() as u64;
        self.ledger.report().lost.abs_diff(aside)
    }

    pub(crate) fn summary(&self, missing: &str) -> String {
        let report = self.ledger.report();
        let (charged, twice) = (report.once + report.duplicated, report.duplicated);
        let aside = self.lock().aside.len();
        let count = self.missing();
        format!("charged {charged}, charged twice {twice}, put aside {aside}, {missing} {count}")
    }

    /// Looks whether the broker is still there until this pass is through. The loop itself would wait for it as long as it
    /// takes, which is right for a service and not for an example.
    pub(crate) async fn watch(&self, cluster: &Cluster) -> Result<()> {
        let watch = reachability::watch(cluster, WATCH);
        let watched = self.through.run_until_cancelled(watch).await;
        self.through.cancel();
        Ok(watched.unwrap_or(Ok(()))?)
    }

    fn settle(&self, record: &ConsumedRecord<'_>, aside: Option<(String, u64)>) {
        let mut settled = self.lock();
        settled.places.insert((record.partition(), record.offset()));
        settled.aside.extend(aside);
        if settled.places.len() as u64 >= self.expected {
            self.through.cancel();
        }
    }

    fn line(&self, bank: &str, offset: &str, what: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        println!("{seconds:>5.2} s  {bank:<5} {offset:>6}  {what}");
    }

    /// The reason without its details and the record's place, which the line has already: a line of a terminal is short.
    fn record_line(&self, record: &ConsumedRecord<'_>, what: &str, reason: &str) {
        let words = format!(" is no event of type {}: ", Payment::TYPE);
        let reason = reason.split_once(&words).map_or(reason, |(_, why)| why);
        let reason = reason.split([',', ';']).next().unwrap_or_default();
        let offset = record.offset().to_string();
        self.line(&bank(record), &offset, &format!("{what}{reason}"));
    }

    /// Every entry is whole at each moment at which a panic can happen.
    fn lock(&self) -> MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Account {
    fn done(&self, record: &ConsumedRecord<'_>, attempt: u32) {
        self.record_line(record, &format!("charged at attempt {attempt}"), "");
        self.settle(record, None);
    }

    fn retried(&self, record: &ConsumedRecord<'_>, reason: &str, delay: Duration) {
        let delay = delay.as_secs_f64();
        self.record_line(record, &format!("again in {delay:.3} s: "), reason);
    }

    fn dead_lettered(&self, record: &ConsumedRecord<'_>, reason: &str) {
        self.record_line(record, "aside: ", reason);
        self.settle(record, Some((bank(record), number(record))));
    }
}

/// Prints what stands in the topic of dead letters. Key, payload and the headers of the original are there too, byte for byte. All of its own are shown of
/// the first, and why it is there of the others.
pub(crate) async fn show_dead_letters(cluster: &Cluster, topic: &str) -> Result<()> {
    let mut is_first = true;
    let show = |letter: &BorrowedMessage<'_>| {
        let Some(headers) = letter.headers() else {
            return;
        };
        for header in headers
            .iter()
            .filter(|header| is_first || header.key.ends_with(".error"))
        {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            let value: Vec<char> = value.chars().collect();
            for (index, part) in value.chunks(46).enumerate() {
                let name = if index == 0 { header.key } else { "" };
                println!("  {name:<26}{}", part.iter().collect::<String>());
            }
        }
        is_first = false;
    };
    topic_contents::read(cluster, topic, IsolationLevel::ReadCommitted, show).await?;
    Ok(())
}

fn bank(record: &ConsumedRecord<'_>) -> String {
    String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned()
}

/// Also of a payment that cannot be decoded: its number is in its place.
fn number(record: &ConsumedRecord<'_>) -> u64 {
    let payload = record.payload().unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    json["number"].as_u64().unwrap_or_default()
}
