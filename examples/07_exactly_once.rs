//! Example 7: exactly once.
//!
//! Shows: a service makes an invoice of each order and is killed at random points; readers of committed records see
//! every invoice once, other readers see some twice. Then an instance that was replaced while it hung tries to commit.
//!
//! Key point: invoices and offsets are committed in one transaction. A crash leaves half a one in the log; the successor
//! has it aborted before it does those orders again, and `read_committed` passes over it.
//!
//! Limit: only what is in Kafka is covered. A letter to the customer would be sent once for each try.
//!
//! The book explains it piece by piece: book/src/07_exactly_once.md
//!
//! Run it:
//!
//! ```sh
//! make example-7                                      # starts a broker if none answers
//! cargo run --example 07_exactly_once -- --kills 30   # more often
//! ```

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, value_parser};
use kafka_event_streaming::child::{self, Child};
use kafka_event_streaming::config::IsolationLevel::{ReadCommitted, ReadUncommitted};
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::ledger::LedgerReport;
use kafka_event_streaming::shutdown::{self, CancellationToken};
use kafka_event_streaming::transaction::{
    Outputs, TransactionSettings, TransactionalProcessor, Transform, TransformError,
};
use kafka_event_streaming::trial::Trial;
use kafka_event_streaming::{Error, reachability};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

const ORDERS: u64 = 1000;
/// For the second part: less than one transaction holds.
const MORE_ORDERS: u64 = 15;

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<()> {
    kafka_event_streaming::logging::init();
    let stop = shutdown::on_signal()?;
    let cluster = Cluster::from_environment()?;
    let arguments = Arguments::parse();
    if let Some(name) = arguments.service {
        return serve(&Trial::named(&cluster, &name)).await;
    }
    reachability::check(&cluster, reachability::PATIENCE).await?;
    println!("Example 7: exactly once, on {}\n", cluster.servers());
    let shop = Trial::create(&cluster, "example-07", 3).await?;

    let (sent, note) = tokio::select! {
        shown = show(&shop, arguments.kills) => (shown?, ""),
        // The service dies with this program: one kill more, which costs nothing either.
        () = stop.cancelled() => (ORDERS, " (stopped early)"),
    };
    println!("\nreader          {}", LedgerReport::HEADINGS);
    let mut report = LedgerReport::default();
    for isolation in [ReadUncommitted, ReadCommitted] {
        report = shop.count(isolation, 0..sent).await?;
        println!("{:<16}{}", isolation.name(), report.columns());
    }
    let (lost, duplicated) = (report.lost, report.duplicated);
    println!("\n{sent} orders: lost {lost}, duplicated {duplicated}{note}");
    ensure!(stop.is_cancelled() || report.is_exactly_once(), "{report}");
    Ok(())
}

// ANCHOR: service
/// The service, in a process of its own.
async fn serve(shop: &Trial) -> Result<()> {
    let service = TransactionalProcessor::new(shop.cluster(), &settings(shop), &[shop.input()])?;
    let invoices = shop.output().to_owned();
    let make_invoice = move |order: &ConsumedRecord<'_>, outputs: &mut Outputs| {
        // Work takes its time, and so a kill strikes in the middle of it.
        thread::sleep(Duration::from_millis(1));
        // The order once more: enough for an invoice that is counted.
        outputs.forward(invoices.as_str(), order, &[]);
        Ok(writeln!(io::stdout(), "an invoice")?)
    };
    service.run(&child::asked_to_stop(), make_invoice).await?;
    Ok(())
}

fn settings(shop: &Trial) -> TransactionSettings {
    let instance = format!("{}-0", shop.name());
    TransactionSettings {
        consumer: ConsumerSettings {
            // The same after each restart: its partitions wait for it, and not for the session timeout (KIP-345).
            instance_id: Some(instance.clone()),
            ..ConsumerSettings::reliable(shop.name())
        },
        // Each invoice leaves at once, so that there is something to be seen of open transactions.
        producer: ProducerSettings::low_latency(),
        batch_records: 20,
        // The same after each restart as well: the broker aborts what the instance before left open.
        ..TransactionSettings::new(shop.name(), &instance)
    }
}
// ANCHOR_END: service

// ANCHOR: show
/// Both parts, one after the other. Returns how many orders were placed.
async fn show(shop: &Trial, kills: u64) -> Result<u64> {
    shop.fill(0..ORDERS).await?;
    let service = ["--service", shop.name()];
    for life in 1..=kills {
        let after = fastrand::u64(1..=ORDERS / (2 * kills + 2));
        // Not only between two orders: within one, or in the middle of a commit.
        let later = Duration::from_millis(fastrand::u64(0..20));
        let made = child::run_and_kill(service, after as usize, later, PATIENCE).await;
        let made = made.context("is the broker still there?")?;
        println!("life {life:<3} {:>4} invoices, then killed", made.len());
    }
    let last = Child::start(service, mpsc::unbounded_channel().0)?;
    shop.wait_for(0..ORDERS, PATIENCE).await?;
    println!("the last life made the others, up to {ORDERS}\n");
    last.stop().await?;

    let all = ORDERS + MORE_ORDERS;
    shop.fill(ORDERS..all).await?;
    let (hanging, hangs) = oneshot::channel();
    let (wake, waking) = oneshot::channel();
    let zombie = Zombie {
        invoices: shop.output().to_owned(),
        sleep: Some((hanging, waking)),
    };
    let old = TransactionalProcessor::new(shop.cluster(), &settings(shop), &[shop.input()])?;
    let old = tokio::spawn(async move { old.run_with(&CancellationToken::new(), zombie).await });
    let hung = timeout(PATIENCE, hangs).await;
    hung.context("waiting for the old instance")??;
    println!("old instance  made {MORE_ORDERS} invoices, and hangs before its commit");
    let new = Child::start(service, mpsc::unbounded_channel().0)?;
    shop.wait_for(0..all, PATIENCE).await?;
    println!("new instance  has the same transactional id, and made them itself");
    let _ = wake.send(());
    let Err(error @ Error::Fenced { .. }) = timeout(PATIENCE, old).await?? else {
        bail!("the old instance was not fenced");
    };
    println!("old instance  wakes up, wants to commit, and is told:");
    println!("  {}", error.to_string().replace(": ", ":\n  "));
    new.stop().await?;
    Ok(all)
}
// ANCHOR_END: show

// ANCHOR: zombie
/// Hangs before its first commit until it is woken, as a process does whose machine was suspended.
struct Zombie {
    invoices: String,
    /// Whom to tell that it hangs, and who wakes it. Taken when it does.
    sleep: Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>,
}

impl Transform for Zombie {
    fn transform(
        &mut self,
        order: &ConsumedRecord<'_>,
        outputs: &mut Outputs,
    ) -> Result<(), TransformError> {
        outputs.forward(self.invoices.as_str(), order, &[]);
        Ok(())
    }

    fn complete(&mut self, _: &mut Outputs) -> Result<(), TransformError> {
        if let Some((hanging, waking)) = self.sleep.take() {
            let _ = hanging.send(());
            let _ = waking.blocking_recv();
        }
        Ok(())
    }
}
// ANCHOR_END: zombie

/// Make an invoice of each order exactly once, in a service that is killed again and again.
#[derive(Parser)]
struct Arguments {
    /// How often to kill the service
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u64).range(..=100))]
    kills: u64,

    /// Set for the child that is killed: be the service of this shop
    #[arg(long, hide = true)]
    service: Option<String>,
}
