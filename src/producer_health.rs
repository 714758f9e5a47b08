//! How a producer is doing: its queue, its errors and its round trips, as a value that can be watched.
//!
//! librdkafka reports on itself every [`statistics_interval`](crate::config::ProducerSettings::statistics_interval)
//! (<https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md>). Whether records arrive is counted from their
//! delivery reports, which those statistics leave out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::statistics::{Broker, Statistics, Window};
use tokio::sync::watch;

/// How a producer is doing. Nothing but zeros until the first report.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ProducerHealth {
    /// Records that wait in the queue or for their confirmation. Growing means: more comes in than the cluster takes.
    pub queued_records: u64,
    /// How many records fit in the queue. When it is full, senders wait.
    pub queue_capacity: u64,
    /// The payloads in the queue, in bytes.
    pub queued_bytes: u64,
    /// Records that were written, since the producer was created.
    pub delivered: u64,
    /// Records that were not written, since the producer was created.
    pub failed: u64,
    /// The share of failed records among those that were reported since the last value of this: 0.0 to 1.0.
    pub error_rate: f64,
    /// Requests that librdkafka sent again, to all brokers. Retries come before failures.
    pub retries: u64,
    /// Requests that no broker answered in time.
    pub timeouts: u64,
    /// Brokers with a connection that works.
    pub connected_brokers: usize,
    /// From a request to its answer, at the slowest broker.
    pub round_trip: Option<Latency>,
    /// From the queue to a request, at the slowest broker: lingering, and waiting for earlier requests.
    pub queue_time: Option<Latency>,
    /// What librdkafka complained of since the last value of this, such as a connection that was refused.
    pub trouble: Option<String>,
}

/// A time that was measured many times since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Half took no longer than this.
    pub median: Duration,
    /// One in a hundred took longer than this.
    pub percentile_99: Duration,
}

/// Where the values come from. Written by the threads that hand out delivery reports.
#[derive(Debug, Default)]
pub(crate) struct HealthMonitor {
    delivered: AtomicU64,
    failed: AtomicU64,
    /// The latest value; kept for those who look later.
    latest: watch::Sender<ProducerHealth>,
    /// What was complained of since then.
    trouble: std::sync::Mutex<Option<String>>,
}

impl HealthMonitor {
    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Release);
    }

    /// How many records have a report, of either kind.
    pub(crate) fn reported(&self) -> u64 {
        self.delivered.load(Ordering::Acquire) + self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn trouble(&self, reason: &str) {
        // A poisoned lock still holds a text, and a text is all that it guards.
        let mut trouble = self
            .trouble
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *trouble = Some(reason.to_owned());
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<ProducerHealth> {
        self.latest.subscribe()
    }

    /// Makes the next value.
    pub(crate) fn next(&self, statistics: &Statistics) -> ProducerHealth {
        let delivered = self.delivered.load(Ordering::Relaxed);
        let failed = self.failed.load(Ordering::Relaxed);
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        let before = self.latest.borrow();
        ProducerHealth {
            error_rate: share(
                failed.saturating_sub(before.failed),
                delivered.saturating_sub(before.delivered),
            ),
            delivered,
            failed,
            trouble,
            ..from_statistics(statistics)
        }
    }

    /// Shows a value to those who watch.
    pub(crate) fn show(&self, health: ProducerHealth) {
        self.latest.send_replace(health);
    }
}

fn from_statistics(statistics: &Statistics) -> ProducerHealth {
    let brokers = || statistics.brokers.values();
    ProducerHealth {
        queued_records: statistics.msg_cnt,
        queue_capacity: statistics.msg_max,
        queued_bytes: statistics.msg_size,
        retries: brokers().map(|broker| broker.txretries).sum(),
        timeouts: brokers().map(|broker| broker.req_timeouts).sum(),
        // Bootstrap addresses are listed too, with the id -1. The same brokers show up again under their own ids.
        connected_brokers: brokers()
            .filter(|broker| broker.nodeid >= 0 && broker.state == "UP")
            .count(),
        round_trip: slowest(statistics, |broker| broker.rtt.as_ref()),
        queue_time: slowest(statistics, |broker| broker.int_latency.as_ref()),
        ..ProducerHealth::default()
    }
}

/// The window of the broker with the highest 99th percentile. An average over brokers would hide a slow one.
fn slowest(statistics: &Statistics, window: fn(&Broker) -> Option<&Window>) -> Option<Latency> {
    statistics
        .brokers
        .values()
        .filter_map(window)
        .filter(|window| window.cnt > 0)
        .max_by_key(|window| window.p99)
        .map(|window| Latency {
            median: microseconds(window.p50),
            percentile_99: microseconds(window.p99),
        })
}

fn microseconds(count: i64) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or(0))
}

/// What share of all is `part`; nothing of nothing is 0.
fn share(part: u64, rest: u64) -> f64 {
    match part + rest {
        0 => 0.0,
        all => part as f64 / all as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(nodeid: i32, p99: i64) -> Broker {
        Broker {
            nodeid,
            state: "UP".to_owned(),
            txretries: 2,
            req_timeouts: 1,
            rtt: Some(Window {
                cnt: 10,
                p50: 100,
                p99,
                ..Window::default()
            }),
            ..Broker::default()
        }
    }

    fn statistics() -> Statistics {
        Statistics {
            msg_cnt: 7,
            msg_max: 100,
            msg_size: 700,
            brokers: [
                ("bootstrap".to_owned(), broker(-1, 1)),
                ("one".to_owned(), broker(1, 300)),
                ("two".to_owned(), broker(2, 200)),
            ]
            .into(),
            ..Statistics::default()
        }
    }

    /// S1-19: queue, errors and latency as one value; the slowest broker counts.
    #[test]
    fn statistics_become_health() {
        let health = HealthMonitor::default().next(&statistics());
        assert_eq!(
            (
                health.queued_records,
                health.queue_capacity,
                health.queued_bytes
            ),
            (7, 100, 700)
        );
        assert_eq!((health.retries, health.timeouts), (6, 3));
        assert_eq!(health.connected_brokers, 2);
        assert_eq!(
            health.round_trip,
            Some(Latency {
                median: Duration::from_micros(100),
                percentile_99: Duration::from_micros(300),
            })
        );
        assert_eq!(health.queue_time, None);
    }

    /// S1-19: the error rate is that of the last interval, so that it falls again when the trouble is over.
    #[test]
    fn the_error_rate_counts_from_the_last_report() {
        let monitor = HealthMonitor::default();
        monitor.trouble("refused");
        monitor.failed();
        for _ in 0..3 {
            monitor.delivered();
        }
        let health = monitor.next(&statistics());
        assert_eq!((health.delivered, health.failed), (3, 1));
        assert!((health.error_rate - 0.25).abs() < f64::EPSILON);
        assert_eq!(health.trouble.as_deref(), Some("refused"));
        monitor.show(health);

        monitor.delivered();
        let health = monitor.next(&statistics());
        assert_eq!((health.delivered, health.failed), (4, 1));
        assert_eq!((health.error_rate, health.trouble), (0.0, None));
    }
}
