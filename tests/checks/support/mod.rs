//! What checks have in common: a broker of their own, records in it, and waiting that ends with words.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use embedded_broker::{Broker, RecordView};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Far longer than anything here takes: whoever waits this long waits for something that never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A broker of the check's own, on a free port.
pub(crate) fn start_broker() -> Broker {
    runtime()
        .block_on(Broker::builder().start())
        .expect("the embedded broker has to start on a free port")
}

/// Creates a topic.
pub(crate) fn create_topic(broker: &Broker, name: &str, partitions: i32) {
    create_topics(broker, partitions, &[name]);
}

/// Creates topics of so many partitions each, by one client.
pub(crate) fn create_topics(broker: &Broker, partitions: i32, names: &[&str]) {
    let admin: AdminClient<DefaultClientContext> = client(broker).create().unwrap();
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1)))
        .collect();
    let created = runtime().block_on(admin.create_topics(&topics, &AdminOptions::new()));
    for topic in created.expect("the broker answers") {
        topic.expect("a check's topic is a new one");
    }
    close(admin);
}

/// For the check's own clients.
fn client(broker: &Broker) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("client.id", "check");
    settings
}

/// Closes one of the check's own clients. It takes 100 ms, for which nobody has to wait.
fn close(client: impl Send + 'static) {
    thread::spawn(move || drop(client));
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
    K: ToBytes + ?Sized + 'a,
    P: ToBytes + ?Sized + 'a,
{
    let producer: BaseProducer = client(broker).set("linger.ms", "0").create().unwrap();
    for record in records {
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).expect("the check's own records");
    close(producer);
}

/// What a consumer with `isolation.level=read_committed` reads from a partition.
pub(crate) fn committed_records(broker: &Broker, topic: &str, partition: i32) -> Vec<RecordView> {
    let mut records = broker.records(topic, partition).unwrap();
    records.retain(RecordView::is_committed);
    records
}

/// Where a learner writes the settings of a client, the first thing that may be missing. Such a client waits for ever.
pub(crate) fn names_its_broker(settings: &ClientConfig, broker: &Broker) {
    let named = settings.get("bootstrap.servers");
    let named = named.or_else(|| settings.get("metadata.broker.list"));
    assert_eq!(
        named,
        Some(&*broker.bootstrap_servers()),
        "a client has to know where its broker is: set bootstrap.servers to what `settings` is told"
    );
}

/// Runs what the learner wrote on a thread of its own. What never returns is left behind there, and `missing` says what it
/// should have done.
pub(crate) fn returns<T: Send + 'static>(
    missing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    returns_unless(missing, || false, work)
}

/// The same, where one can see before that it will not return.
pub(crate) fn returns_unless<T: Send + 'static>(
    missing: &str,
    is_stuck: impl FnMut() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let finished = finishes_unless(PATIENCE, missing, is_stuck, thread::spawn(work));
    finished.unwrap_or_else(|missing| panic!("{missing}"))
}

/// The same for a thread that runs already, and where it is a mistake to take long.
pub(crate) fn finishes<T>(
    limit: Duration,
    missing: &str,
    thread: JoinHandle<T>,
) -> Result<T, String> {
    finishes_unless(limit, missing, || false, thread)
}

fn finishes_unless<T>(
    limit: Duration,
    missing: &str,
    mut is_stuck: impl FnMut() -> bool,
    thread: JoinHandle<T>,
) -> Result<T, String> {
    let started = Instant::now();
    while !thread.is_finished() {
        let waited = started.elapsed();
        if waited >= limit || is_stuck() {
            return Err(format!("after {waited:.1?}: {missing}"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    // Its panic is the check's.
    Ok(thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// What is missing, in words, if anything.
pub(crate) type Verdict = Result<(), String>;

/// Tries several cases at once, each with a broker of its own, because they mostly wait. Of the verdicts only the first that
/// is bad is told: the others say the same.
pub(crate) fn all_at_once(cases: Vec<Box<dyn FnOnce() -> Verdict + Send>>) -> Verdict {
    let threads: Vec<_> = cases.into_iter().map(thread::spawn).collect();
    let verdicts = threads
        .into_iter()
        .map(|thread| finishes(PATIENCE, "a call hangs", thread).and_then(|verdict| verdict));
    verdicts.collect::<Vec<_>>().into_iter().collect()
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
