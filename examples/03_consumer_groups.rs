//! Example 3: consumer groups.
//!
//! Shows: four members, each a process of its own, share three partitions; one leaves, one is killed. Where a group starts
//! that has committed something, and one that has not. What a new member costs the others, by three protocols.
//!
//! Key point: a partition has one reader in its group, so there are never more readers than partitions. Who says goodbye
//! is replaced at once; who just dies keeps its partitions until `session.timeout.ms` is over.
//!
//! Limit: one topic, and members that do nothing but read. The last line of the last table needs Apache Kafka 4.0.
//!
//! The book explains it line by line: book/src/03_consumer_groups.md
//!
//! Run it:
//!
//! ```sh
//! make example-3                                                # starts a broker if none answers
//! cargo run --example 03_consumer_groups -- --session-timeout 10000   # a dead member is missed later
//! ```

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Parser;
use futures::future::join_all;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, FirstOffset, GroupProtocol};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::group_watch::{GroupWatch, Settled, run_member};
use kafka_event_streaming::shutdown::{self, CancellationToken};
use kafka_event_streaming::{config::ProducerSettings, producer::RecordProducer};
use kafka_event_streaming::{reachability, topics};

/// The longest wait for a record, and for a change on top of the session timeout.
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> Result<()> {
    kafka_event_streaming::logging::init();
    let arguments = Arguments::parse();
    let cluster = Cluster::from_environment()?;
    let stop = shutdown::on_signal()?;
    if let Some(group) = &arguments.member_of {
        let session_timeout = Duration::from_millis(arguments.session_timeout);
        let mut settings = ConsumerSettings::reliable(group);
        settings.protocol = arguments.protocol.with_session_timeout(session_timeout);
        // Reads, says which partitions it gets and loses, and leaves the group when it is asked to.
        return Ok(run_member(&cluster, &settings, group, &stop).await?);
    }
    reachability::check(&cluster, reachability::PATIENCE).await?;
    println!("Example 3: consumer groups, on {}", cluster.servers());
    let outcome = show(&arguments, &cluster, &stop).await;
    if outcome.is_err() && stop.is_cancelled() {
        println!("\nstopped early: all members have left");
        return Ok(());
    }
    if outcome.is_err() {
        // If the broker is gone, that is what to say.
        reachability::check(&cluster, reachability::PATIENCE).await?;
    }
    outcome
}

async fn show(arguments: &Arguments, cluster: &Cluster, stop: &CancellationToken) -> Result<()> {
    println!("\nThree partitions, shared by the members of one group:\n");
    let group = new_group(3, "cooperative-sticky", arguments, cluster, stop).await?;
    let [left, killed] = join_leave_and_die(group).await?;

    println!("\nTen records in one partition. What a consumer reads of them:\n");
    let read = read_with_and_without_committed_offset(cluster).await?;

    println!("\nSix partitions, three each. What a third member takes from the two:\n");
    let protocols = ["range", "cooperative-sticky", "consumer"];
    let joined = protocols.map(|protocol| async move {
        let mut group = new_group(6, protocol, arguments, cluster, stop).await?;
        group.join("A").await?;
        group.join("B").await?;
        let joined = group.join("C").await?;
        group.close().await?;
        anyhow::Ok(joined)
    });
    let mut taken = Vec::new();
    for (protocol, joined) in protocols.iter().zip(join_all(joined).await) {
        let Settled { after, taken_away } = joined?;
        let after = seconds(after);
        println!("  {protocol:<20} {taken_away} taken away, settled after {after}");
        taken.push(format!("{protocol} {taken_away}"));
    }
    println!("\nB replaced after {left}, C after {killed}; read {read:?}");
    println!("taken away: {}", taken.join(", "));
    Ok(())
}

// ANCHOR: join_leave_and_die
/// Returns how long it took until somebody read the partitions of one that left, and of one that was killed.
async fn join_leave_and_die(mut group: GroupWatch) -> Result<[String; 2]> {
    println!("  step          p0  p1  p2  idle  settled after");
    for name in ["A", "B", "C", "D"] {
        let joined = group.join(name).await?;
        row(&format!("{name} joins"), &group, joined);
    }
    ensure!(group.idle().len() == 1, "nobody is idle");
    // It says goodbye.
    let left = group.leave("B").await?;
    row("B leaves", &group, left);
    // It says nothing. The group learns of it by its silence.
    let killed = group.kill("C").await?;
    row("C is killed", &group, killed);
    group.close().await?;
    Ok([left.after, killed.after].map(seconds))
}
// ANCHOR_END: join_leave_and_die

fn row(step: &str, group: &GroupWatch, Settled { after, .. }: Settled) {
    let [p0, p1, p2] = [0, 1, 2].map(|partition| group.holder(partition).unwrap_or("-"));
    let (idle, after) = (group.idle().join(" "), seconds(after));
    println!("  {step:<13} {p0:<3} {p1:<3} {p2:<3} {idle:<5} {after}");
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

// ANCHOR: where_a_group_begins
/// `auto.offset.reset` counts while nothing is committed, and never again.
async fn read_with_and_without_committed_offset(cluster: &Cluster) -> Result<Vec<usize>> {
    let topic = &topics::unique_name("example-03");
    topics::ensure_topic(cluster, topic, 1).await?;
    let producer = RecordProducer::new(cluster, &ProducerSettings::reliable())?;
    for _ in 0..10 {
        producer.send(topic, b"key", b"record").await?;
    }
    let mut read = Vec::new();
    for committed in [0, 4] {
        for first_offset in [FirstOffset::Earliest, FirstOffset::Latest] {
            let mut settings = ConsumerSettings::reliable(&topics::unique_name("example-03"));
            if committed > 0 {
                let before = RecordConsumer::new(cluster, &settings, &[topic])?;
                read_and_commit(before, committed).await?;
            }
            settings.first_offset = first_offset;
            let consumer = RecordConsumer::new(cluster, &settings, &[topic])?;
            let rest = read_and_commit(consumer, usize::MAX).await?;
            let reset = first_offset.name();
            println!("  committed {committed}, auto.offset.reset={reset:<9} {rest:>2}");
            read.push(rest);
        }
    }
    Ok(read)
}
// ANCHOR_END: where_a_group_begins

/// Reads so many records, or up to the end of the partition, and leaves. Returns how many there were.
async fn read_and_commit(consumer: RecordConsumer, most: usize) -> Result<usize> {
    let mut read = 0;
    while read < most {
        match consumer.next(PATIENCE).await? {
            Polled::Record(record) => consumer.commit(&record).await?,
            Polled::EndOfPartition(_) => break,
            Polled::Nothing => bail!("nothing was read for {PATIENCE:?}"),
        }
        read += 1;
    }
    consumer.close().await?;
    Ok(read)
}

/// A topic, and a group of its name. Its members will be this program again, in processes of their own.
async fn new_group(
    partitions: i32,
    protocol: &str,
    arguments: &Arguments,
    cluster: &Cluster,
    stop: &CancellationToken,
) -> Result<GroupWatch> {
    let name = topics::unique_name("example-03");
    topics::ensure_topic(cluster, &name, partitions).await?;
    let member = vec![
        format!("--member-of={name}"),
        format!("--protocol={protocol}"),
        format!("--session-timeout={}", arguments.session_timeout),
    ];
    let patience = PATIENCE + Duration::from_millis(arguments.session_timeout);
    Ok(GroupWatch::new(partitions, member, patience, stop))
}

/// Watch the members of consumer groups share partitions: they join, leave and die.
#[derive(Parser)]
struct Arguments {
    /// How long the group waits for a silent member, in milliseconds. Brokers refuse less than 6000, unless told
    /// otherwise (`group.min.session.timeout.ms`)
    #[arg(long, default_value_t = 6000)]
    session_timeout: u64,

    /// Be a member of this group, and read the topic of the same name
    #[arg(long, hide = true)]
    member_of: Option<String>,

    /// How the members share: range, roundrobin, cooperative-sticky, consumer
    #[arg(long, default_value = "cooperative-sticky", hide = true)]
    protocol: GroupProtocol,
}
