//! What a producer says of itself: log lines, spans, health, metrics; and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod producing;

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, ErrorCode};
use kafka_event_streaming::config::{Cluster, ProducerSettings};
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::metrics::Metrics;
use kafka_event_streaming::order::Order;
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::publish_orders::kafka::OrderTopic;
use kafka_event_streaming::publish_orders::{OrderSource, PublishError, publish_orders};
use kafka_event_streaming::shutdown::{self, CancellationToken};
use producing::{Own, PATIENCE, domain_order, order, steps};
use serde_json::Value;

/// Every log line of this process, as JSON. Delivery reports are logged on librdkafka's thread, so the subscriber has to
/// be that of the whole process; tests tell their lines by their topic.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .json()
        .with_env_filter("kafka_event_streaming=debug")
        .with_writer(move || writer.clone())
        .init();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The first line that `matches`, which may come a moment later.
    async fn line(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            let mut lines = text
                .lines()
                .map_while(|line| serde_json::from_str(line).ok());
            if let Some(line) = lines.find(&matches) {
                return line;
            }
            assert!(Instant::now() < deadline, "{what} was not logged:\n{text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// S1-07, S1-10: a delivered record is a line at debug, with topic, partition and offset, in a span with topic and key.
#[tokio::test]
async fn a_delivery_is_logged_at_debug_in_the_span_of_its_publishing() {
    let log = &*LOG;
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let producer = EventProducer::new(&own.cluster, &topic, &ProducerSettings::reliable()).unwrap();
    // The report is logged although nobody awaits it.
    let _pending = producer.enqueue(&order(7)).await.unwrap();
    let line = log
        .line("the delivery", |line| line["fields"]["topic"] == *topic)
        .await;
    assert_eq!(line["level"], "DEBUG");
    assert_eq!(line["fields"]["message"], "delivered");
    assert_eq!(line["fields"]["partition"], 0);
    assert_eq!(line["fields"]["offset"], 0);
    assert_eq!(line["span"]["name"], "publish");
    assert_eq!(line["span"]["topic"], *topic);
    assert_eq!(line["span"]["key"], "order-7");
}

/// S1-07: a record that did not arrive is a line at error.
#[tokio::test]
async fn a_failed_delivery_is_logged_at_error() {
    let log = &*LOG;
    let own = Own::start().await;
    let topic = own.topic(1).await;
    own.broker
        .faults()
        .on(ApiKey::Produce)
        .error(ErrorCode::TopicAuthorizationFailed);
    let producer = RecordProducer::new(&own.cluster, &ProducerSettings::reliable()).unwrap();
    let _pending = producer.enqueue(&topic, b"order-8", b"{}").await.unwrap();
    let line = log
        .line("the failure", |line| line["fields"]["topic"] == *topic)
        .await;
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["fields"]["message"], "not delivered");
    assert_eq!(line["fields"]["partition"], 0);
    assert!(line["fields"]["offset"].is_number(), "{line}");
    assert_eq!(line["span"]["key"], "order-8");
    let error = line["fields"]["error"].as_str().unwrap();
    assert!(error.contains("authorization failed"), "{error}");
}

/// S1-09: closing flushes; when the time is over it warns of what is lost, and does not fail.
#[tokio::test]
async fn closing_on_a_silent_broker_warns_with_the_number_that_is_lost() {
    let log = &*LOG;
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let producer = EventProducer::new(&own.cluster, &topic, &ProducerSettings::reliable()).unwrap();
    producer.send(&order(0)).await.unwrap();
    own.pause();
    // A number that no other test of this file loses.
    let mut pending = Vec::new();
    for step in 1..=17 {
        pending.push(producer.enqueue(&order(step)).await.unwrap());
    }
    producer.close(Duration::from_millis(100)).await;
    let line = log
        .line("the warning", |line| line["fields"]["remaining"] == 17)
        .await;
    assert_eq!(line["level"], "WARN");
}

/// S1-19, S1-20: a monitored producer. Queue depth, error rate and round trip are a value that can be watched.
#[tokio::test]
async fn health_and_metrics_follow_a_producer() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let metrics = Arc::new(Metrics::new());
    let settings = ProducerSettings {
        statistics_interval: Some(Duration::from_millis(50)),
        ..ProducerSettings::reliable()
    };
    let records = RecordProducer::observed(&own.cluster, &settings, metrics.clone()).unwrap();
    let producer = EventProducer::sharing(&records, &topic);
    let mut health = records.health();
    producer.send_all(steps_as_orders(10)).await.unwrap();
    {
        let healthy = tokio::time::timeout(
            PATIENCE,
            health.wait_for(|health| health.delivered == 10 && health.round_trip.is_some()),
        );
        let healthy = healthy
            .await
            .expect("a round trip was not reported")
            .unwrap();
        assert_eq!((healthy.failed, healthy.connected_brokers), (0, 1));
        assert_eq!(healthy.queue_capacity, 100_000);
        let latency = healthy.round_trip.unwrap();
        assert!(latency.median <= latency.percentile_99, "{latency:?}");
    }

    own.pause();
    let mut pending = Vec::new();
    for number in 0..3 {
        pending.push(producer.enqueue(&order(number)).await.unwrap());
    }
    tokio::time::timeout(
        PATIENCE,
        health.wait_for(|health| health.queued_records == 3),
    )
    .await
    .expect("three records in the queue were not reported")
    .unwrap();
    let queued = "kafka_producer_queued_records 3\n";
    assert!(metrics.text().contains(queued), "{}", metrics.text());
    own.resume();
    for report in pending {
        report.await.unwrap();
    }

    own.broker
        .faults()
        .on(ApiKey::Produce)
        .error(ErrorCode::TopicAuthorizationFailed);
    producer.send(&order(1)).await.unwrap_err();
    tokio::time::timeout(PATIENCE, health.wait_for(|health| health.error_rate > 0.0))
        .await
        .expect("a failed record was not reported")
        .unwrap();
    for (outcome, count) in [("delivered", 13), ("failed", 1)] {
        let line = format!(
            "kafka_producer_records_total{{topic=\"{topic}\",outcome=\"{outcome}\"}} {count}\n"
        );
        assert!(metrics.text().contains(&line), "{}", metrics.text());
    }
}

fn steps_as_orders(count: usize) -> impl Iterator<Item = kafka_event_streaming::order::OrderEvent> {
    (0..count).map(order)
}

/// Orders in pages of ten, and perhaps a failure behind them.
struct Pages {
    left: usize,
    fails: bool,
}

impl OrderSource for Pages {
    type Error = io::Error;

    async fn fetch(&mut self) -> Result<Vec<Order>, io::Error> {
        if self.left == 0 && self.fails {
            return Err(io::Error::other("the database is gone"));
        }
        let count = self.left.min(10);
        self.left -= count;
        Ok((0..count).map(domain_order).collect())
    }
}

/// S1-13, S1-14, S1-20: the use case on a topic is flushed at a normal end and after an error.
#[tokio::test]
async fn the_use_case_ends_flushed_whether_or_not_it_succeeds() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    // Longer than the test may take: only flushing gets records out in time.
    let settings = ProducerSettings {
        linger: Duration::from_millis(500),
        ..ProducerSettings::reliable()
    };
    let stop = CancellationToken::new();
    let records = RecordProducer::new(&own.cluster, &settings).unwrap();
    let mut sink = OrderTopic::new(EventProducer::sharing(&records, &topic));
    let mut source = Pages {
        left: 25,
        fails: false,
    };
    let work = publish_orders(&mut source, &mut sink);
    let published = records.close_after(work, &stop, PATIENCE).await;
    assert_eq!(published.unwrap().unwrap(), 25);
    assert_eq!(own.broker.records(&topic, 0).unwrap().len(), 25);

    let topic = own.topic(1).await;
    let records = RecordProducer::new(&own.cluster, &settings).unwrap();
    let mut sink = OrderTopic::new(EventProducer::sharing(&records, &topic));
    let mut source = Pages {
        left: 25,
        fails: true,
    };
    let work = publish_orders(&mut source, &mut sink);
    let outcome = records.close_after(work, &stop, PATIENCE).await;
    let error = outcome.unwrap().unwrap_err();
    assert!(
        matches!(error, PublishError::Fetch { published: 25, .. }),
        "{error:?}"
    );
    assert_eq!(own.broker.records(&topic, 0).unwrap().len(), 25);
}

/// S1-14, S1-20: scoped lifecycle. Work that fails without waiting for its records leaves none behind either.
#[tokio::test]
async fn work_that_fails_half_way_is_flushed() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let settings = ProducerSettings {
        linger: Duration::from_millis(500),
        ..ProducerSettings::reliable()
    };
    let producer = EventProducer::new(&own.cluster, &topic, &settings).unwrap();
    let work = async {
        for step in 0..30 {
            let _pending = producer
                .enqueue(&order(step))
                .await
                .map_err(io::Error::other)?;
        }
        Err::<(), _>(io::Error::other("half way"))
    };
    let stop = CancellationToken::new();
    let outcome = producer.records().close_after(work, &stop, PATIENCE).await;
    assert_eq!(outcome.unwrap().unwrap_err().to_string(), "half way");
    assert_eq!(own.broker.records(&topic, 0).unwrap().len(), 30);
}

/// The variable that makes a program of the test below.
const CHILD_TOPIC: &str = "PRODUCER_TEST_TOPIC";

/// S1-14, S1-20: graceful shutdown. A process that is told to end while records wait in its queue delivers all of them.
#[tokio::test]
async fn a_process_that_gets_sigterm_delivers_what_it_enqueued() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "publish_until_stopped",
            "--ignored",
            "--nocapture",
        ])
        .env("KAFKA_BOOTSTRAP_SERVERS", own.broker.bootstrap_servers())
        .env(CHILD_TOPIC, &topic)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut enqueued = None;
    for line in lines.map(|line| line.unwrap()) {
        if line == "enqueued 100" {
            let pid = child.id().to_string();
            let killed = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
            assert!(killed.success());
        } else if let Some(count) = line.strip_prefix("closed after ") {
            enqueued = Some(count.parse::<usize>().unwrap());
        }
    }
    assert!(child.wait().unwrap().success());
    let enqueued = enqueued.expect("the process has to close its producer");
    assert!(enqueued >= 100, "{enqueued}");
    let records = own.broker.records(&topic, 0).unwrap();
    assert_eq!(
        records.len(),
        enqueued,
        "records were lost with the process"
    );
}

/// The process of the test above.
#[tokio::test]
#[ignore = "a_process_that_gets_sigterm_delivers_what_it_enqueued runs it as a program"]
async fn publish_until_stopped() {
    let Ok(topic) = std::env::var(CHILD_TOPIC) else {
        return;
    };
    let cluster = Cluster::from_environment().unwrap();
    let stop = shutdown::on_signal().unwrap();
    // Nothing leaves the queue by itself before the signal.
    let settings = ProducerSettings {
        linger: Duration::from_secs(1),
        ..ProducerSettings::reliable()
    };
    let producer = EventProducer::new(&cluster, &topic, &settings).unwrap();
    let enqueued = AtomicUsize::new(0);
    let work = async {
        for step in steps(1, u64::MAX) {
            let step = order(usize::try_from(step.number).unwrap());
            let _pending = producer.enqueue(&step).await.unwrap();
            if enqueued.fetch_add(1, Ordering::Relaxed) + 1 == 100 {
                println!("\nenqueued 100");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let outcome = producer.records().close_after(work, &stop, PATIENCE).await;
    assert!(outcome.is_none(), "it ends by the signal alone");
    println!("\nclosed after {}", enqueued.load(Ordering::Relaxed));
}
