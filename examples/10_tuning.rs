//! Example 10: tuning.
//!
//! Shows: the same records, with one setting changed at a time: records/s, MB/s, and how long a record takes from the
//! queue to its delivery report, against the baseline. And the same for a consumer. Ends with a plot as SVG.
//!
//! Key point: not to wait for each record counts for more than all settings together. After that, settings trade: more
//! in a batch is more records/s, and each of them takes longer.
//!
//! Limit: one machine, one broker, no network. Each line is measured for a second or two, and the machine has other things
//! to do: trust factors, not digits. Latencies are those at full speed, with a queue that is never empty.
//!
//! The book explains it piece by piece: book/src/10_tuning.md
//!
//! Run it:
//!
//! ```sh
//! make example-10                                              # builds with --release, starts a broker if none answers
//! cargo run --release --example 10_tuning -- --records 100000  # faster, and less exact
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use kafka_event_streaming::config::{
    Cluster, Compression, ConsumerSettings, Guarantee, ProducerSettings,
};
use kafka_event_streaming::in_flight::InFlight;
use kafka_event_streaming::measurement::{Latencies, Measurement};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::shutdown::{self, CancellationToken};
use kafka_event_streaming::{chart, measurement, reachability, topics};

/// A line of the table takes no longer, and has fewer records if need be.
const TIME: Duration = Duration::from_millis(1_500);

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<()> {
    kafka_event_streaming::logging::init();
    let arguments = Arguments::parse();
    let cluster = Cluster::from_environment()?;
    let stop = shutdown::on_signal()?;
    reachability::check(&cluster, reachability::PATIENCE).await?;
    println!("Example 10: tuning, on {}", cluster.servers());
    if cfg!(debug_assertions) {
        println!("A debug build: the numbers say little. Build it with --release.");
    }
    println!("\n{:<25}{}", "one setting changed", Measurement::HEADING);
    let topic = topics::unique_name("example-10");
    topics::ensure_topic(&cluster, &topic, 1).await?;
    let measured = measure(&cluster, &topic, arguments.records, &stop).await;
    // On every path: the broker keeps hundreds of megabytes otherwise.
    let deleted = topics::delete_topic(&cluster, &topic).await;
    let measured = measured?;
    deleted?;
    if stop.is_cancelled() {
        println!("\nstopped early");
        return Ok(());
    }
    let plot = arguments.plot;
    chart::write_bars(&plot, "records/s, one setting changed at a time", &measured)
        .with_context(|| format!("could not write {}", plot.display()))?;
    println!("\nplot: {}", plot.display());
    let [(_, baseline), (_, one_by_one), ..] = measured[..] else {
        bail!("nothing was measured");
    };
    let factor = baseline / one_by_one;
    println!("pipelined: {factor:.0} times as many records/s as waiting for each record");
    Ok(())
}

// ANCHOR: lines
/// Measures line by line. Returns the records/s of each.
async fn measure(
    cluster: &Cluster,
    topic: &str,
    records: usize,
    stop: &CancellationToken,
) -> Result<Vec<(&'static str, f64)>> {
    use Sending::{OneByOne, Pipelined};
    #[rustfmt::skip]
    let lines: [(&str, Change, Sending); 9] = [
        ("baseline", |_| {}, Pipelined),
        ("wait for each record", |_| {}, OneByOne),
        ("the same, linger 0 ms", |it| it.linger = Duration::ZERO, OneByOne),
        ("linger 5 -> 0 ms", |it| it.linger = Duration::ZERO, Pipelined),
        ("linger 5 -> 50 ms", |it| it.linger = Duration::from_millis(50), Pipelined),
        ("batch 1 MB -> 16 KB", |it| it.batch_bytes = 16_000, Pipelined),
        ("compression lz4 -> none", |it| it.compression = Compression::None, Pipelined),
        ("compression lz4 -> gzip", |it| it.compression = Compression::Gzip, Pipelined),
        ("acks all -> 0: may lose", |it| it.guarantee = Guarantee::AtMostOnce, Pipelined),
    ];
    let mut rates: Vec<(&'static str, f64)> = Vec::new();
    for (name, change, sending) in lines {
        let mut settings = ProducerSettings::reliable();
        settings.delivery_timeout = PATIENCE;
        change(&mut settings);
        let measured = produce(cluster, topic, &settings, sending, records, stop).await?;
        if stop.is_cancelled() {
            return Ok(rates);
        }
        let base = rates.first().map_or(measured.rate(), |(_, rate)| *rate);
        println!("{name:<25}{}", measured.row(base));
        rates.push((name, measured.rate()));
    }
    let mut base = None;
    for (name, back_off) in [
        ("reading, baseline", "1"),
        ("fetch.queue.backoff 1 s", "1000"),
    ] {
        let measured = consume(cluster, topic, back_off, records).await?;
        let base = *base.get_or_insert(measured.rate());
        println!("{name:<25}{}", measured.row(base));
        rates.push((name, measured.rate()));
    }
    Ok(rates)
}

/// What a line changes.
type Change = fn(&mut ProducerSettings);

#[derive(Clone, Copy)]
enum Sending {
    /// Thousands on their way, and reports looked at as they come.
    Pipelined,
    /// One on its way: each costs a round trip, and the wait for a batch that nobody else shares.
    OneByOne,
}
// ANCHOR_END: lines

// ANCHOR: produce
async fn produce(
    cluster: &Cluster,
    topic: &str,
    settings: &ProducerSettings,
    sending: Sending,
    records: usize,
    stop: &CancellationToken,
) -> Result<Measurement> {
    let latencies = Arc::new(Latencies::default());
    let producer = RecordProducer::observed(cluster, settings, latencies.clone())?;
    // Connects, and gets the producer id that idempotence needs.
    producer.send(topic, b"first", b"first").await?;
    let payloads: Vec<String> = (0..1_000).map(measurement::payload).collect();
    let (mut in_flight, mut sent, mut bytes) = (InFlight::new(), 0, 0);
    let started = Instant::now();
    for payload in payloads.iter().cycle().take(records) {
        if started.elapsed() > TIME || stop.is_cancelled() {
            break;
        }
        let report = producer.enqueue(topic, b"", payload.as_bytes()).await?;
        match sending {
            Sending::Pipelined => in_flight.push(report).await?,
            Sending::OneByOne => drop(report.await?),
        }
        (sent, bytes) = (sent + 1, bytes + payload.len());
    }
    in_flight.finish().await?;
    let measured = Measurement::new(sent, bytes, started.elapsed(), &latencies);
    producer.close(PATIENCE).await;
    Ok(measured)
}
// ANCHOR_END: produce

// ANCHOR: consume
async fn consume(
    cluster: &Cluster,
    topic: &str,
    back_off: &str,
    most: usize,
) -> Result<Measurement> {
    let settings = ConsumerSettings::reliable(&topics::unique_name("example-10"));
    let mut config = settings.client_config(cluster)?;
    // How long fetching pauses when 100,000 records wait to be read. librdkafka's default is a second.
    config.set("fetch.queue.backoff.ms", back_off);
    let measured = measurement::read(config, topic, most, TIME).await?;
    ensure!(measured.records > 0, "nothing was read");
    Ok(measured)
}
// ANCHOR_END: consume

/// Send and read the same records with one setting changed at a time.
#[derive(Parser)]
struct Arguments {
    /// How many records a line has at most
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,

    /// Where the plot goes
    #[arg(long, default_value = "target/example-10.svg")]
    plot: PathBuf,
}
