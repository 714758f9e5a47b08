//! Example 5: delivery ledger.
//!
//! Shows: at most once, at least once, idempotent and transactional under the same faults: answers are lost, consumers are
//! killed. Then two mistakes: a producer that is not flushed, and a rebalance without a commit. All of it counted.
//!
//! Key point: a few lines decide about what is lost and what is doubled: which answers are awaited, how a broker knows what
//! is sent again, and whether the commit comes before the work, after it, or with it.
//!
//! Limit: answers are lost by an embedded broker in this program, whichever one the rest runs on.
//!
//! The book explains it: book/src/05_delivery_semantics.md
//!
//! Run it:
//!
//! ```sh
//! make example-5   # starts a broker if none answers
//! ```

#[path = "05_delivery_ledger/mistakes.rs"]
mod mistakes;

use std::io::{self, Write};
use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use embedded_broker::{ApiKey, Broker};
use futures::future::try_join_all;
use kafka_event_streaming::config::IsolationLevel::ReadCommitted;
use kafka_event_streaming::config::{Cluster, Guarantee, ProducerSettings};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::ledger::LedgerReport;
use kafka_event_streaming::numbered_records::{ledger, number, see_line, send};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::trial::Trial;
use kafka_event_streaming::{child, logging, reachability, shutdown};
use rdkafka::Message;

const ORDERS: u64 = 500;
/// So many orders are sent, worked on or committed together.
const BATCH: u64 = 20;
/// After how many orders a consumer is killed: in the middle of a batch.
const KILLED_AFTER: [usize; 3] = [50, 90, 70];
/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
#[value(rename_all = "verbatim")]
enum Mode {
    AtMostOnce,
    AtLeastOnce,
    Idempotent,
    Transactional,
}
use Mode::{AtLeastOnce, AtMostOnce, Idempotent, Transactional};
const MODES: [Mode; 4] = [AtMostOnce, AtLeastOnce, Idempotent, Transactional];

#[tokio::main]
async fn main() -> Result<()> {
    logging::init();
    let stop = shutdown::on_signal()?;
    let cluster = Cluster::from_environment()?;
    let arguments = Arguments::parse();
    if let Some(mode) = arguments.mode {
        return work(&Trial::named(&cluster, &arguments.trial), mode).await;
    }
    reachability::check(&cluster, reachability::PATIENCE).await?;
    println!("Example 5: delivery ledger, on {}", cluster.servers());
    tokio::select! {
        shown = show(&cluster) => shown,
        () = stop.cancelled() => { println!("\n(stopped early)"); Ok(()) }
    }
}

async fn show(cluster: &Cluster) -> Result<()> {
    let broker = Broker::builder().start().await?;
    let sent = try_join_all(MODES.map(|mode| lose_answers(&broker, mode))).await?;
    let rows = [
        "at most once   acks=0",
        "at least once  acks=all, and retries",
        "idempotent     and sequence numbers",
        "transactional  and in transactions",
    ];
    let table = LedgerReport::table("answers are lost (embedded broker)", &rows, &sent);
    println!("\n{table}");
    let worked = try_join_all(MODES.map(|mode| kill_the_worker(cluster, mode))).await?;
    let rows = [
        "at most once   commit, then work",
        "at least once  work, then commit",
        "idempotent     ... to do it twice is no harm",
        "transactional  both or neither",
    ];
    let table = LedgerReport::table("consumers are killed (3 times each)", &rows, &worked);
    println!("\n{table}");
    mistakes::show(cluster).await?;
    let lost = sent[0].lost + worked[0].lost;
    let doubled = sent[1].duplicated + worked[1].duplicated;
    println!("\nat most once lost {lost}, at least once doubled {doubled}, the others neither");
    let exact = LedgerReport::is_exactly_once;
    ensure!(sent[2..].iter().chain(&worked[2..]).all(exact));
    Ok(())
}

// ANCHOR: lose_answers
/// One produce request in ten does not arrive, of another one the answer: by their seeds, the same in each mode.
async fn lose_answers(broker: &Broker, mode: Mode) -> Result<LedgerReport> {
    let cluster = Cluster::new(broker.bootstrap_servers().parse()?);
    let trial = Trial::create(&cluster, "example-05", 1).await?;
    let faults = broker.faults().on(ApiKey::Produce).topic(trial.output());
    faults.clone().probability(0.1, 3).drop_connection();
    faults.probability(0.1, 7).apply_then_drop();
    let mut settings = ProducerSettings::reliable();
    settings.guarantee = match mode {
        AtMostOnce => Guarantee::AtMostOnce,
        AtLeastOnce => Guarantee::AtLeastOnce,
        Idempotent => Guarantee::Idempotent,
        Transactional => {
            trial.fill(0..ORDERS).await?;
            trial.copy_all(0..ORDERS, PATIENCE, |_| Ok(())).await?;
            return Ok(trial.count(ReadCommitted, 0..ORDERS).await?);
        }
    };
    let producer = RecordProducer::new(&cluster, &settings)?;
    for first in (0..ORDERS).step_by(BATCH as usize) {
        // Awaits the delivery reports. With acks=0 they say nothing (row X5).
        send(&producer, trial.output(), first..first + BATCH).await?;
    }
    Ok(trial.count(ReadCommitted, 0..ORDERS).await?)
}
// ANCHOR_END: lose_answers

/// Has a child work on orders, and kills it in the middle of a batch.
async fn kill_the_worker(cluster: &Cluster, mode: Mode) -> Result<LedgerReport> {
    let trial = Trial::create(cluster, "example-05", 1).await?;
    trial.fill(0..ORDERS).await?;
    let worker = ["--mode", &format!("{mode:?}"), "--trial", trial.name()];
    let mut done = Vec::new();
    for after in KILLED_AFTER {
        done.extend(child::run_and_kill(worker, after, Duration::ZERO, PATIENCE).await?);
    }
    done.extend(child::run_to_the_end(worker, PATIENCE).await?);
    if mode == Transactional {
        return Ok(trial.count(ReadCommitted, 0..ORDERS).await?);
    }
    if mode == Idempotent {
        // As in a table whose primary key is the number: what is there already is not there twice.
        done.sort();
        done.dedup();
    }
    let ledger = ledger(0..ORDERS);
    done.iter().for_each(|line| see_line(&ledger, line));
    Ok(ledger.report())
}

// ANCHOR: work
/// The worker that is killed, in a process of its own.
async fn work(trial: &Trial, mode: Mode) -> Result<()> {
    if mode == Transactional {
        let copied = trial.copy_all(0..ORDERS, PATIENCE, |order| work_on(order.message()));
        return Ok(copied.await?);
    }
    let settings = trial.consumer_settings();
    let consumer = RecordConsumer::new(trial.cluster(), &settings, &[trial.input()])?;
    loop {
        let mut batch = Vec::new();
        while batch.len() < BATCH as usize
            && let Polled::Record(order) = consumer.next(PATIENCE).await?
        {
            batch.push(order);
        }
        let Some(last) = batch.last() else { break };
        if mode == AtMostOnce {
            consumer.commit(last).await?;
        }
        batch.iter().try_for_each(work_on)?;
        if mode != AtMostOnce {
            consumer.commit(last).await?;
        }
    }
    Ok(consumer.close().await?)
}
// ANCHOR_END: work

/// Something outside of Kafka: the number is printed, and nobody can take that back.
fn work_on(order: &impl Message) -> io::Result<()> {
    thread::sleep(Duration::from_millis(1));
    writeln!(io::stdout(), "{}", number(order).unwrap_or(u64::MAX))
}

/// Count what is sent, seen once, doubled and lost, in four modes under the same faults.
#[derive(Parser)]
struct Arguments {
    /// Set for the child that is killed: how it works
    #[arg(long, hide = true)]
    mode: Option<Mode>,

    /// Set for the child that is killed: on what
    #[arg(long, hide = true, default_value = "")]
    trial: String,
}
