//! Example 2: event schemas.
//!
//! Shows: typed events come back as they were written. Version 2 reads what version 1 wrote; version 1 does not understand
//! version 2; unknown fields are skipped. What is no such event is reported, and reading goes on behind it.
//!
//! Key point: the log keeps old records, so a schema changes by a new version and a way from the old one to it. Readers
//! are deployed before writers. What cannot be decoded is data: a loop that fails on it fails for ever.
//!
//! Limit: what is refused is only printed here. A service puts it aside before it commits: example 6.
//!
//! The book explains it line by line: book/src/02_event_schemas.md
//!
//! Run it:
//!
//! ```sh
//! make example-2                                        # starts a broker if none answers
//! cargo run --example 02_event_schemas -- --orders 100  # more of the good ones
//! ```

use std::{borrow::Cow, fmt::Debug, iter::zip, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::event::{Event, TYPE_HEADER, VERSION_HEADER};
use kafka_event_streaming::producer::{Record, RecordProducer};
use kafka_event_streaming::shutdown::{self, CancellationToken};
use kafka_event_streaming::{event_consumer::EventConsumer, event_producer::EventProducer};
use kafka_event_streaming::{reachability, topics};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest wait for one record. Joining the group is part of the first one.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<()> {
    kafka_event_streaming::logging::init();
    let arguments = Arguments::parse();
    let cluster = Cluster::from_environment()?;
    let stop = shutdown::on_signal()?;
    reachability::check(&cluster, reachability::PATIENCE).await?;
    // One partition, so that offsets count all records in the order in which they were written.
    let topic = topics::unique_name("example-02");
    topics::ensure_topic(&cluster, &topic, 1).await?;
    println!("Example 2: event schemas, on {}", cluster.servers());

    println!("\nWritten to {topic}, partition 0:\n");
    let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable())?;
    let order = |number| OrderPlaced {
        order_id: format!("o-{number}"),
        customer_id: "c-7".to_owned(),
        quantity: 2,
    };
    let orders: Vec<_> = (1..=arguments.orders).map(order).collect();
    // It awaits every delivery report, so nothing is left in the producer's queue.
    let written = write(&producer, &topic, &orders).await?;

    println!("\nRead by version 2, which this program is:\n");
    let is_valid = |order: &OrderPlaced| order.quantity > 0;
    let new = read(&cluster, &topic, written, is_valid, &stop).await?;

    println!("\nRead by version 1, a service of last year that still runs:\n");
    read::<OldOrderPlaced>(&cluster, &topic, written, |_| true, &stop).await?;

    if stop.is_cancelled() {
        println!("\nstopped early");
        return Ok(());
    }
    let sent = orders.len();
    let same = zip(&new, &orders).filter(|(new, sent)| new == sent).count();
    println!("\nwritten {written}; of {sent} typed orders {same} came back as they were");
    ensure!(same == sent, "some orders came back changed");
    Ok(())
}

// ANCHOR: events
/// An order, as this program writes and reads it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OrderPlaced {
    order_id: String,
    customer_id: String,
    quantity: u32,
}

impl Event for OrderPlaced {
    const TYPE: &'static str = "order.placed";
    const VERSION: u32 = 2;
    /// Events of one order share a partition, and so keep their order.
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order_id)
    }

    /// The one place that knows version 1. The rest of the program knows one shape.
    fn upcast(_version_1: u32, mut older: Value) -> Result<Value, String> {
        let fields = older.as_object_mut().ok_or("it is no object")?;
        let customer = fields.remove("customer").ok_or("it has no customer")?;
        fields.insert("customer_id".to_owned(), customer);
        // Nobody could order more than one piece, so nobody wrote how many.
        fields.insert("quantity".to_owned(), json!(1));
        Ok(older)
    }
}

/// The same event in a service that was deployed last year.
#[derive(Debug, Serialize, Deserialize)]
struct OldOrderPlaced {
    order_id: String,
    customer: String,
}

impl Event for OldOrderPlaced {
    const TYPE: &'static str = OrderPlaced::TYPE;
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order_id)
    }
}
// ANCHOR_END: events

/// Writes orders, and what else is found in a topic after some years. Returns how many records that are.
async fn write(producer: &RecordProducer, topic: &str, orders: &[OrderPlaced]) -> Result<usize> {
    let mut written = Vec::new();
    let this_program = EventProducer::sharing(producer, topic);
    for order in orders {
        written.push((this_program.enqueue(order).await?, "version 2"));
    }
    let order = OrderPlaced::TYPE;
    #[rustfmt::skip]
    let others = [
        (order, "1", r#"{"order_id":"o-old","customer":"c-8"}"#, "version 1"),
        (order, "2", r#"{"order_id":"o-3","customer_id":"c-9","quantity":1,"gift":true}"#, "version 2, with a field that nobody here knows"),
        (order, "2", r#"{"order_id":"o-4","customer_id":"c-9","quantity":2.5}"#, "version 2, with a quantity of 2.5"),
        (order, "2", r#"{"order_id":"o-5","customer_id":"c-9","qua"#, "version 2, and only the half of it"),
        ("payment", "2", r#"{"payment_id":"p-6"}"#, "an event of another type"),
        (order, "2", r#"{"order_id":"o-7","customer_id":"c-9","quantity":0}"#, "version 2, with a quantity of 0"),
    ];
    for (event_type, version, payload, what) in others {
        let record = Record::new(topic, b"other", payload.as_bytes())
            .with_header(TYPE_HEADER, event_type)
            .with_header(VERSION_HEADER, version);
        written.push((producer.enqueue_record(record).await?, what));
    }
    for (report, what) in &mut written {
        println!("  {:>3}  {what}", report.await?.offset);
    }
    Ok(written.len())
}

// ANCHOR: read
/// Reads so many records in a group of its own, and says of each what it is. Returns the valid ones.
async fn read<T: Event + Debug>(
    cluster: &Cluster,
    topic: &str,
    records: usize,
    is_valid: impl Fn(&T) -> bool,
    stop: &CancellationToken,
) -> Result<Vec<T>> {
    let settings = ConsumerSettings::reliable(&topics::unique_name("example-02"));
    let consumer = EventConsumer::<T>::new(cluster, &settings, &[topic])?;
    let (mut valid, mut refused, mut not_decoded) = (Vec::new(), 0, 0);
    for _ in 0..records {
        let received = tokio::select! {
            next = consumer.next(PATIENCE) => next?.context("no record came in time")?,
            () = stop.cancelled() => break,
        };
        let offset = received.record.offset();
        match received.event {
            Ok(event) if is_valid(&event) => {
                println!("  {offset:>3}  {event:?}");
                valid.push(event);
            }
            // A parser decides whether this is an order. Whether it makes sense, the business decides.
            Ok(event) => {
                println!("  {offset:>3}  refused: {event:?}");
                refused += 1;
            }
            Err(undecodable) => {
                let (partition, sample) = (undecodable.partition.partition, undecodable.sample);
                println!("  {offset:>3}  not decoded, partition {partition}: {sample:.45}");
                println!("       {}", undecodable.reason.brief());
                not_decoded += 1;
            }
        }
        // In every case: what is not committed comes again, and what cannot be decoded comes again for ever.
        consumer.commit(&received.record).await?;
    }
    consumer.close().await?;
    let count = valid.len();
    println!("\n  valid {count}, refused {refused}, not decoded {not_decoded}");
    Ok(valid)
}
// ANCHOR_END: read

/// Write typed events of several versions, and some that are none; read them as two services would.
#[derive(Parser)]
struct Arguments {
    /// How many good orders to write before the odd ones
    #[arg(long, default_value_t = 2)]
    orders: u32,
}
