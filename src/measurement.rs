//! How many records a second, and how long each takes from the queue to its delivery report.
//!
//! For measurements that end: a number is kept for each record. A service watches itself with
//! [`metrics`](crate::metrics), which keeps a histogram.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use crate::Error;
use crate::delivery::DeliveryObserver;
use crate::producer_health::ProducerHealth;

/// The longest wait for the first record: joining the group is part of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// One poll. Short beside the time of a measurement.
const POLL: Duration = Duration::from_millis(100);

/// One number for each record that was delivered.
#[derive(Debug, Default)]
pub struct Latencies {
    /// In microseconds, in the order of the reports. Locked by librdkafka's thread for each report, and once by the
    /// caller in the end.
    micros: Mutex<Vec<u32>>,
}

impl Latencies {
    /// The latency that `share` of the records did not exceed: 0.5 gives the median, 0.99 the 99th percentile. None
    /// before the first report.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let mut micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest rank that covers the share, as the nearest-rank method has it.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a rank among records that fit into memory"
        )]
        let rank = (share.clamp(0.0, 1.0) * micros.len() as f64).ceil() as usize;
        let index = rank.saturating_sub(1);
        if index >= micros.len() {
            return None;
        }
        let (_, quantile, _) = micros.select_nth_unstable(index);
        Some(Duration::from_micros(u64::from(*quantile)))
    }
}

impl DeliveryObserver for Latencies {
    fn delivered(&self, _topic: &str, latency: Duration) {
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.micros
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(micros);
    }

    fn failed(&self, _topic: &str, _error: &KafkaError) {}

    fn health(&self, _health: &ProducerHealth) {}
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// How many records.
    pub records: usize,
    /// Their payloads together.
    pub bytes: usize,
    /// How long all of them took.
    pub took: Duration,
    /// The latency that half of them did not exceed.
    pub median: Option<Duration>,
    /// The latency that 99 of 100 did not exceed.
    pub p99: Option<Duration>,
}

impl Measurement {
    /// What was sent in this time, with the latencies of its delivery reports.
    pub fn new(records: usize, bytes: usize, took: Duration, latencies: &Latencies) -> Self {
        Self {
            records,
            bytes,
            took,
            median: latencies.quantile(0.5),
            p99: latencies.quantile(0.99),
        }
    }

    /// The heading of a table of [rows](Self::row).
    pub const HEADING: &str = " records  records/s   MB/s   p50 ms   p99 ms   factor";

    /// Records a second.
    pub fn rate(&self) -> f64 {
        per_second(self.records, self.took)
    }

    /// A row of a table, compared with the rate of another one.
    pub fn row(&self, base: f64) -> String {
        let (rate, megabytes) = (self.rate(), per_second(self.bytes, self.took) / 1e6);
        let [median, p99] = [self.median, self.p99].map(|latency| {
            latency.map_or("-".to_owned(), |latency| {
                format!("{:.1}", latency.as_secs_f64() * 1e3)
            })
        });
        let (records, factor) = (self.records, rate / base);
        format!("{records:>8} {rate:>10.0} {megabytes:>6.1} {median:>8} {p99:>8} {factor:>8.4}")
    }
}

/// An order as JSON, of about 200 bytes. Each number has a text of its own, so that compression has as much to do as with
/// real orders.
pub fn payload(number: usize) -> String {
    let (customer, cents) = (number * 7919 % 9973, number * 31 % 5003);
    format!(
        r#"{{"order_id":"order-{number:06}","customer_id":"customer-{customer:04}","status":"placed","placed_at":"2026-03-14T09:26:53Z","items":[{{"product_id":"coffee","quantity":2}}],"total":{{"minor_units":{cents},"currency":"EUR"}}}}"#
    )
}

/// Reads a topic of one partition from its beginning, for so long, or up to so many records, or to its end. Joining the
/// group is not counted. It is rdkafka's own consumer without anything around it, so that what is measured is the
/// configuration. No records in the answer: none came within ten seconds.
///
/// # Errors
///
/// - [`Error::Client`] when librdkafka refuses a setting
/// - [`Error::Subscribe`] when it refuses the topic's name
/// - [`Error::Receive`]
pub async fn read(
    config: ClientConfig,
    topic: &str,
    most: usize,
    longest: Duration,
) -> Result<Measurement, Error> {
    let topic = topic.to_owned();
    // Polling blocks its thread. A task that waits for each record would take a share of the time.
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().map_err(|source| Error::Client {
            client: "consumer",
            source,
        })?;
        consumer
            .subscribe(&[&topic])
            .map_err(|source| Error::Subscribe {
                topics: topic,
                source,
            })?;
        let deadline = Instant::now() + PATIENCE;
        let (mut records, mut bytes, mut first) = (0, 0, None::<Instant>);
        while records < most && first.is_none_or(|first| first.elapsed() < longest) {
            match consumer.poll(POLL) {
                Some(Ok(record)) => {
                    first.get_or_insert_with(Instant::now);
                    (records, bytes) = (records + 1, bytes + record.payload_len());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(source)) => return Err(Error::Receive { source }),
                None if Instant::now() >= deadline => break,
                None => {}
            }
        }
        Ok(Measurement {
            records,
            bytes,
            took: first.map_or(Duration::ZERO, |first| first.elapsed()),
            median: None,
            p99: None,
        })
    })
    .await?
}

#[allow(
    clippy::cast_precision_loss,
    reason = "counts of what fits into memory are exact as floats"
)]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_below_its_heading() {
        let measurement = Measurement {
            records: 1_000_000,
            bytes: 200_000_000,
            took: Duration::from_secs(2),
            median: Some(Duration::from_micros(12_340)),
            p99: None,
        };
        let row = measurement.row(1_000_000.0);
        assert_eq!(row, " 1000000     500000  100.0     12.3        -   0.5000");
        assert_eq!(row.len(), Measurement::HEADING.len());
    }

    #[test]
    fn a_quantile_is_the_latency_that_so_many_did_not_exceed() {
        let latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for millis in (1..=100).rev() {
            latencies.delivered("orders", Duration::from_millis(millis));
        }
        for (share, millis) in [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)] {
            let expected = Some(Duration::from_millis(millis));
            assert_eq!(latencies.quantile(share), expected, "{share}");
        }
    }
}
