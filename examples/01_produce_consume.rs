//! Example 1: produce and consume.
//!
//! Shows: records are sent, each delivery report says where its record was written, and a consumer group reads them
//! back, commits, and leaves.
//!
//! Key point: a record is sent when its delivery report says so, and processed when its offset is committed. Neither
//! happens when a function returns.
//!
//! Limit: one member in the group. If a second one with the same `--group` runs, what it reads counts as lost here.
//!
//! The book explains it line by line: book/src/01_produce_and_consume.md
//!
//! Run it:
//!
//! ```sh
//! make example-1                                   # starts a broker if none answers
//! cargo run --example 01_produce_consume -- --topic orders --group shop   # twice: offsets go on where they were
//! ```

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::producer::{Delivery, RecordProducer};
use kafka_event_streaming::reachability;
use kafka_event_streaming::shutdown::{self, CancellationToken};
use kafka_event_streaming::topics::{self, ReadyTopic};
use rdkafka::Message;
use rdkafka::message::OwnedMessage;

const PARTITIONS: i32 = 3;

/// The longest wait for one record or end of a partition. Joining the group is part of the first one.
const PATIENCE: Duration = Duration::from_secs(10);

// ANCHOR: main
#[tokio::main]
async fn main() -> Result<()> {
    kafka_event_streaming::logging::init();
    let arguments = Arguments::parse();
    let cluster = Cluster::from_environment()?;
    let stop = shutdown::on_signal()?;
    // Created first: it connects, and gets the producer id that idempotence needs, while the topic is being made.
    let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable())?;
    reachability::check(&cluster, reachability::PATIENCE).await?;

    let topic = topics::ensure_topic(&cluster, &arguments.topic, PARTITIONS).await?;
    println!("Example 1: produce and consume, on {}", cluster.servers());
    println!(
        "topic {}, {} partitions, group {}\n",
        topic.name, topic.partitions, arguments.group
    );

    let delivered = produce(&producer, &topic, arguments.records, &stop).await;
    // On every path, also after an error: what is still queued when the producer goes is lost.
    producer.flush(PATIENCE).await?;
    let delivered = delivered?;
    let received = consume(&cluster, &topic, &arguments.group, &delivered, &stop).await?;

    let lost = delivered.len() - received;
    let note = if stop.is_cancelled() {
        " (stopped early)"
    } else {
        ""
    };
    println!(
        "\nsent {}, received {received}, lost {lost}{note}",
        delivered.len()
    );
    ensure!(
        lost == 0 || stop.is_cancelled(),
        "{lost} records were sent and never read back"
    );
    Ok(())
}
// ANCHOR_END: main

// ANCHOR: produce
/// Sends `count` records without waiting in between, then awaits and prints each delivery report.
async fn produce(
    producer: &RecordProducer,
    topic: &ReadyTopic,
    count: u32,
    stop: &CancellationToken,
) -> Result<HashSet<(i32, i64)>> {
    let mut pending = Vec::new();
    for number in 1..=count {
        if stop.is_cancelled() {
            break;
        }
        // Equal keys go to the same partition: a customer's orders stay in order.
        let key = format!("customer-{}", number % 4);
        let payload = format!("order {number}");
        pending.push(
            producer
                .enqueue(&topic.name, key.as_bytes(), payload.as_bytes())
                .await?,
        );
    }

    let mut delivered = HashSet::new();
    for report in pending {
        let Delivery {
            topic,
            partition,
            offset,
        } = report.await?;
        println!("delivered  {topic:<28} partition {partition:<2} offset {offset:>6}");
        delivered.insert((partition, offset));
    }
    Ok(delivered)
}
// ANCHOR_END: produce

/// Joins the group and reads to the end of every partition. Returns how many of the `delivered` records came back.
async fn consume(
    cluster: &Cluster,
    topic: &ReadyTopic,
    group: &str,
    delivered: &HashSet<(i32, i64)>,
    stop: &CancellationToken,
) -> Result<usize> {
    println!();
    let consumer =
        RecordConsumer::new(cluster, &ConsumerSettings::reliable(group), &[&topic.name])?;
    let outcome = read_to_the_end(&consumer, topic, delivered, stop).await;
    // On every path, also after an error or Ctrl-C: a member that just vanishes keeps its partitions from the others
    // until its session times out.
    consumer.close().await?;
    outcome
}

// ANCHOR: read_to_the_end
async fn read_to_the_end(
    consumer: &RecordConsumer,
    topic: &ReadyTopic,
    delivered: &HashSet<(i32, i64)>,
    stop: &CancellationToken,
) -> Result<usize> {
    let mut received = HashSet::new();
    let mut ended = HashSet::new();
    let mut deadline = Instant::now() + PATIENCE;
    while ended.len() < topic.partitions {
        let polled = tokio::select! {
            polled = consumer.next(deadline.saturating_duration_since(Instant::now())) => polled,
            () = stop.cancelled() => break,
        };
        match polled {
            Ok(Polled::Record(record)) => {
                process(&record);
                // After the work, never before it: whoever stops in between does the record again, and loses none.
                consumer.commit(&record).await?;
                received.insert((record.partition(), record.offset()));
            }
            Ok(Polled::EndOfPartition(partition)) => {
                println!("end of partition {partition}: all of it was read");
                ended.insert(partition);
            }
            Ok(Polled::Nothing) => bail!("nothing was read for {PATIENCE:?}"),
            Err(error) if error.is_fatal() || Instant::now() >= deadline => {
                return Err(error.into());
            }
            // The client reconnects by itself, so a failure that passes is worth a line and no more.
            Err(error) => {
                eprintln!("reading goes on after: {error:?}");
                continue;
            }
        }
        deadline = Instant::now() + PATIENCE;
    }
    Ok(delivered.intersection(&received).count())
}
// ANCHOR_END: read_to_the_end

/// The work that a record stands for. Here it is printing.
fn process(record: &OwnedMessage) {
    let payload = String::from_utf8_lossy(record.payload().unwrap_or_default());
    let (partition, offset) = (record.partition(), record.offset());
    println!("received   {payload:<28} partition {partition:<2} offset {offset:>6}");
}

/// Produce records, print where each was written, and read them back in a consumer group.
#[derive(Parser)]
struct Arguments {
    /// The topic to use; it is created when it does not exist. Without it: one of this run's own
    #[arg(long, default_value_t = topics::unique_name("example-01"), hide_default_value = true)]
    topic: String,

    /// The consumer group to read in. Without it: one of this run's own
    #[arg(long, default_value_t = topics::unique_name("example-01"), hide_default_value = true)]
    group: String,

    /// How many records to send
    #[arg(long, default_value_t = 10)]
    records: u32,
}
