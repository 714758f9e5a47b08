//! What checks have in common: a broker of their own, records in it, and waiting that ends with words.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use embedded_broker::{Broker, RecordView};
use kafka_event_streaming::config::Cluster;
use kafka_event_streaming::topics;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Far longer than anything here takes: whoever waits this long waits for something that never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A broker of the check's own, on a free port.
pub(crate) fn start_broker() -> Broker {
    runtime()
        .block_on(Broker::builder().start())
        .expect("the embedded broker has to start on a free port")
}

/// Creates a topic.
pub(crate) fn create_topic(broker: &Broker, name: &str, partitions: i32) {
    let servers = broker.bootstrap_servers().parse();
    let cluster = Cluster::new(servers.expect("a broker's own address is valid"));
    runtime()
        .block_on(topics::ensure_topic(&cluster, name, partitions))
        .expect("a check's topic has to be created");
}

/// Writes payloads to a partition.
pub(crate) fn write(broker: &Broker, topic: &str, partition: i32, payloads: &[&str]) {
    let records = payloads.iter().map(|payload| {
        BaseRecord::<str, str>::to(topic)
            .partition(partition)
            .payload(payload)
    });
    write_records(broker, records);
}

/// Writes records of which more is said, in this order.
pub(crate) fn write_records<'a, K, P>(
    broker: &Broker,
    records: impl Iterator<Item = BaseRecord<'a, K, P>>,
) where
    K: rdkafka::message::ToBytes + ?Sized + 'a,
    P: rdkafka::message::ToBytes + ?Sized + 'a,
{
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("client.id", "check")
        .set("linger.ms", "0")
        .create()
        .expect("the check's producer");
    for record in records {
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).expect("the check's own records");
}

/// What a consumer with `isolation.level=read_committed` reads from a partition.
pub(crate) fn committed_records(broker: &Broker, topic: &str, partition: i32) -> Vec<RecordView> {
    let mut records = broker.records(topic, partition).unwrap();
    records.retain(RecordView::is_committed);
    records
}

/// Runs what the learner wrote on a thread of its own. What never returns is left behind there, and `missing` says what it
/// should have done.
pub(crate) fn returns<T: Send + 'static>(
    missing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, outcome) = channel();
    let thread = thread::spawn(move || {
        let _nobody_waits_any_more = done.send(work());
    });
    match outcome.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("after {PATIENCE:?}: {missing}"),
        // The thread ended without a result: its panic is the check's.
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a thread that ends has sent its result or panicked"),
        },
    }
}

/// Looks again and again until there is something to see.
pub(crate) fn eventually<T>(missing: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "after {PATIENCE:?}: {missing}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// For the few calls of a check that are async.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread")
}
