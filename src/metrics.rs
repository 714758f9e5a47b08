//! Numbers for Prometheus: what was sent, how long it took, what waits, and how far consumers are behind.
//!
//! Looked at from the side: a producer tells them through [`DeliveryObserver`], and knows nothing of Prometheus. Serve
//! [`Metrics::text`] under `/metrics` with whatever HTTP server the program has, or with `metrics_server`, which needs the
//! cargo feature `observability`.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use kafka_event_streaming::config::{Cluster, ProducerSettings};
//! use kafka_event_streaming::metrics::Metrics;
//! use kafka_event_streaming::producer::RecordProducer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = embedded_broker::Broker::builder().start().await?;
//! # let cluster = Cluster::new(broker.bootstrap_servers().parse()?);
//! let metrics = Arc::new(Metrics::new());
//! let settings = ProducerSettings {
//!     statistics_interval: Some(Duration::from_secs(5)),
//!     ..ProducerSettings::reliable()
//! };
//! let producer = RecordProducer::observed(&cluster, &settings, metrics.clone())?;
//! producer.send("orders", b"order-1", b"2 coffees").await?;
//! assert!(metrics.text().contains("kafka_producer_records_total{topic=\"orders\",outcome=\"delivered\"} 1"));
//! # Ok(())
//! # }
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;

use crate::circuit_breaker::CircuitBreaker;
use crate::delivery::DeliveryObserver;
use crate::lag::Progress;
use crate::producer_health::ProducerHealth;

/// Upper bounds for the time from queue to report, in seconds: from a batch on a good day to the delivery timeout.
const LATENCIES: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// A gauge of fractions.
type Fraction = Gauge<f64, AtomicU64>;

/// A process's numbers. One for all its clients.
pub struct Metrics {
    /// Knows every metric by name.
    registry: Registry,
    /// By topic. Looked up for every record, so that the labels need not be made for every record.
    topics: Mutex<HashMap<Box<str>, TopicMetrics>>,
    /// Records with a report, by topic and outcome.
    records: Family<OutcomeLabels, Counter>,
    /// From queue to report, by topic.
    latency: Family<TopicLabels, Histogram, fn() -> Histogram>,
    queued_records: Gauge,
    queue_capacity: Gauge,
    error_rate: Fraction,
    connected_brokers: Gauge,
    round_trip: Family<QuantileLabels, Fraction>,
    /// How many records a consumer has not read yet, by partition, as it says itself.
    lag: Family<PartitionLabels, Gauge>,
    /// How many records a group has not committed yet, by partition, as the cluster says.
    group_lag: Family<GroupLabels, Gauge>,
    /// The next offset that a group wants to read, by partition. Its growth is the group's speed.
    group_offset: Family<GroupLabels, Gauge>,
    /// By name, with the metric that shows its state.
    circuit_breakers: Mutex<Vec<(CircuitBreaker, Gauge)>>,
    breaker_state: Family<BreakerLabels, Gauge>,
}

/// What is counted for one topic.
#[derive(Clone)]
struct TopicMetrics {
    delivered: Counter,
    failed: Counter,
    latency: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TopicLabels {
    topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    topic: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupLabels {
    group: String,
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuantileLabels {
    quantile: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BreakerLabels {
    name: String,
}

impl Metrics {
    /// All numbers at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("kafka");
        let metrics = Self {
            topics: Mutex::default(),
            records: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCIES)),
            queued_records: Gauge::default(),
            queue_capacity: Gauge::default(),
            error_rate: Fraction::default(),
            connected_brokers: Gauge::default(),
            round_trip: Family::default(),
            lag: Family::default(),
            group_lag: Family::default(),
            group_offset: Family::default(),
            circuit_breakers: Mutex::default(),
            breaker_state: Family::default(),
            registry: Registry::default(),
        };
        registry.register(
            "producer_records",
            "Records with a delivery report, by outcome",
            metrics.records.clone(),
        );
        registry.register_with_unit(
            "producer_delivery",
            "Time from the queue to the delivery report",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register(
            "producer_queued_records",
            "Records that wait in the queue or for their confirmation",
            metrics.queued_records.clone(),
        );
        registry.register(
            "producer_queue_capacity_records",
            "Records that fit in the queue",
            metrics.queue_capacity.clone(),
        );
        registry.register(
            "producer_error_rate",
            "Share of failed records since the last statistics",
            metrics.error_rate.clone(),
        );
        registry.register(
            "producer_connected_brokers",
            "Brokers with a connection that works",
            metrics.connected_brokers.clone(),
        );
        registry.register_with_unit(
            "producer_round_trip",
            "Time from a request to its answer, at the slowest broker",
            Unit::Seconds,
            metrics.round_trip.clone(),
        );
        registry.register(
            "consumer_lag_records",
            "Records of a partition that the group has not committed yet, as its consumer says",
            metrics.lag.clone(),
        );
        registry.register(
            "group_lag_records",
            "Records of a partition that the group has not committed yet, as the cluster says",
            metrics.group_lag.clone(),
        );
        registry.register(
            "group_committed_offset",
            "The next offset that the group will read",
            metrics.group_offset.clone(),
        );
        registry.register(
            "circuit_breaker_state",
            "0 closed, 1 half-open, 2 open",
            metrics.breaker_state.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }

    /// Shows the state of `breaker` under `name` from now on.
    pub fn watch_circuit_breaker(&self, name: &str, breaker: &CircuitBreaker) {
        let labels = BreakerLabels {
            name: name.to_owned(),
        };
        let gauge = self.breaker_state.get_or_create_owned(&labels);
        lock(&self.circuit_breakers).push((breaker.clone(), gauge));
    }

    /// Takes a consumer's lag from librdkafka's statistics: call it from
    /// [`ClientContext::stats`](rdkafka::ClientContext::stats) of the consumer's context. Partitions that this member
    /// does not own have no lag there, and keep none here.
    pub fn consumer_statistics(&self, statistics: &Statistics) {
        for (topic, statistics) in &statistics.topics {
            for (number, partition) in &statistics.partitions {
                let labels = PartitionLabels {
                    topic: topic.clone(),
                    partition: *number,
                };
                // -1 stands for records of no known partition, and a lag of -1 for one that is not known.
                if *number >= 0 && partition.consumer_lag >= 0 {
                    self.lag.get_or_create(&labels).set(partition.consumer_lag);
                } else {
                    self.lag.remove(&labels);
                }
            }
        }
    }

    /// Takes a group's lag and its offsets, as a [`LagMeter`](crate::lag::LagMeter) measured them.
    pub fn group_lag(&self, group: &str, topic: &str, progress: &[Progress]) {
        for progress in progress {
            let labels = GroupLabels {
                group: group.to_owned(),
                topic: topic.to_owned(),
                partition: progress.partition,
            };
            self.group_lag.get_or_create(&labels).set(progress.lag());
            if let Some(offset) = progress.committed {
                self.group_offset.get_or_create(&labels).set(offset);
            }
        }
    }

    /// Everything in the text format that Prometheus reads: OpenMetrics 1.0, to be served as
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`
    /// (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    pub fn text(&self) -> String {
        for (breaker, gauge) in lock(&self.circuit_breakers).iter() {
            gauge.set(breaker.snapshot().state.as_number().into());
        }
        let mut text = String::new();
        // A String takes everything that is written to it.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn with_topic(&self, topic: &str, count: impl FnOnce(&TopicMetrics)) {
        let mut topics = lock(&self.topics);
        match topics.get(topic) {
            Some(metrics) => count(metrics),
            None => count(topics.entry(topic.into()).or_insert(self.topic(topic))),
        }
    }

    fn topic(&self, topic: &str) -> TopicMetrics {
        let outcome = |outcome| {
            self.records.get_or_create_owned(&OutcomeLabels {
                topic: topic.to_owned(),
                outcome,
            })
        };
        TopicMetrics {
            delivered: outcome("delivered"),
            failed: outcome("failed"),
            latency: self.latency.get_or_create_owned(&TopicLabels {
                topic: topic.to_owned(),
            }),
        }
    }
}

impl DeliveryObserver for Metrics {
    fn delivered(&self, topic: &str, latency: Duration) {
        self.with_topic(topic, |topic| {
            topic.delivered.inc();
            topic.latency.observe(latency.as_secs_f64());
        });
    }

    fn failed(&self, topic: &str, _error: &KafkaError) {
        self.with_topic(topic, |topic| {
            topic.failed.inc();
        });
    }

    fn health(&self, health: &ProducerHealth) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.queued_records.set(whole(health.queued_records));
        self.queue_capacity.set(whole(health.queue_capacity));
        self.error_rate.set(health.error_rate);
        self.connected_brokers
            .set(whole(health.connected_brokers as u64));
        if let Some(latency) = health.round_trip {
            for (quantile, time) in [("0.5", latency.median), ("0.99", latency.percentile_99)] {
                self.round_trip
                    .get_or_create(&QuantileLabels { quantile })
                    .set(time.as_secs_f64());
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Counting goes on after a panic elsewhere: what the locks guard is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;
    use rdkafka::statistics::{Partition, Topic};

    use super::*;
    use crate::circuit_breaker::Settings;
    use crate::producer_health::Latency;

    fn assert_lines(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.text();
        for line in lines {
            assert!(
                text.lines().any(|found| found == *line),
                "{line} is not in\n{text}"
            );
        }
    }

    /// S1-19: sent, failed and latency by topic; queue, error rate and round trip of the client.
    #[test]
    fn deliveries_and_health_become_metrics() {
        let metrics = Metrics::new();
        metrics.delivered("orders", Duration::from_millis(2));
        metrics.delivered("orders", Duration::from_secs(60));
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        metrics.failed("orders", &error);
        let health = ProducerHealth {
            queued_records: 7,
            queue_capacity: 100,
            error_rate: 0.25,
            connected_brokers: 3,
            round_trip: Some(Latency {
                median: Duration::from_millis(1),
                percentile_99: Duration::from_millis(20),
            }),
            ..ProducerHealth::default()
        };
        metrics.health(&health);
        assert_lines(
            &metrics,
            &[
                "kafka_producer_records_total{topic=\"orders\",outcome=\"delivered\"} 2",
                "kafka_producer_records_total{topic=\"orders\",outcome=\"failed\"} 1",
                "kafka_producer_delivery_seconds_bucket{le=\"0.001\",topic=\"orders\"} 0",
                "kafka_producer_delivery_seconds_bucket{le=\"0.0025\",topic=\"orders\"} 1",
                "kafka_producer_delivery_seconds_bucket{le=\"+Inf\",topic=\"orders\"} 2",
                "kafka_producer_queued_records 7",
                "kafka_producer_queue_capacity_records 100",
                "kafka_producer_error_rate 0.25",
                "kafka_producer_connected_brokers 3",
                "kafka_producer_round_trip_seconds{quantile=\"0.99\"} 0.02",
                "# EOF",
            ],
        );
    }

    /// S1-18: the state of a circuit breaker is among the metrics, as it is when they are read.
    #[tokio::test]
    async fn a_circuit_breaker_shows_its_state() {
        let metrics = Metrics::new();
        let breaker = CircuitBreaker::new(Settings {
            failures: 1,
            ..Settings::default()
        });
        metrics.watch_circuit_breaker("orders", &breaker);
        assert_lines(
            &metrics,
            &["kafka_circuit_breaker_state{name=\"orders\"} 0"],
        );
        let failing = async || {
            Err::<(), _>(crate::Error::FlushIncomplete {
                remaining: 1,
                waited: Duration::ZERO,
            })
        };
        breaker.call(failing).await.unwrap_err();
        assert_lines(
            &metrics,
            &["kafka_circuit_breaker_state{name=\"orders\"} 2"],
        );
    }

    /// S3-14: lag by partition, only of those that the member owns.
    #[test]
    fn lag_is_shown_by_partition_and_goes_with_it() {
        let metrics = Metrics::new();
        let statistics = |lag| {
            let partition = |number, consumer_lag| {
                let partition = Partition {
                    partition: number,
                    consumer_lag,
                    ..Partition::default()
                };
                (number, partition)
            };
            let topic = Topic {
                partitions: [partition(-1, 9), partition(0, lag), partition(1, 5)].into(),
                ..Topic::default()
            };
            Statistics {
                topics: [("orders".to_owned(), topic)].into(),
                ..Statistics::default()
            }
        };
        metrics.consumer_statistics(&statistics(42));
        assert_lines(
            &metrics,
            &[
                "kafka_consumer_lag_records{topic=\"orders\",partition=\"0\"} 42",
                "kafka_consumer_lag_records{topic=\"orders\",partition=\"1\"} 5",
            ],
        );
        assert!(!metrics.text().contains("partition=\"-1\""));
        metrics.consumer_statistics(&statistics(-1));
        assert!(!metrics.text().contains("partition=\"0\""));
    }
    /// S3-14, S1-19: what was measured at the cluster has the group's name, and so needs no member that runs.
    #[test]
    fn the_lag_of_a_group_is_shown_by_partition() {
        let metrics = Metrics::new();
        let progress = |committed| Progress {
            partition: 2,
            first: 0,
            end: 10,
            committed,
        };
        for (committed, lag) in [(None, 10), (Some(4), 6), (Some(10), 0)] {
            metrics.group_lag("shipping", "payments", &[progress(committed)]);
            let labels = "group=\"shipping\",topic=\"payments\",partition=\"2\"";
            assert_lines(
                &metrics,
                &[&format!("kafka_group_lag_records{{{labels}}} {lag}")],
            );
            // Of a group that has committed nothing there is no offset, and a made-up one would be wrong.
            let offset = "kafka_group_committed_offset{";
            assert_eq!(metrics.text().contains(offset), committed.is_some());
        }
    }
}
