//! Example 8: windowed totals.
//!
//! Shows: revenue per minute and product, by when each sale happened. Some sales come late: within the grace they count,
//! past it they are set aside. The service that adds up is killed twice, and its open minutes come back from a changelog.
//!
//! Key point: results, changelog and offsets are committed in one transaction. What a successor restores are therefore the
//! totals of exactly those sales that it will not read again.
//!
//! Limit: time goes on when sales come. The last minute stays open, because nothing later says that it is over.
//!
//! The book explains it: book/src/08_windows_and_state.md
//!
//! Run it:
//!
//! ```sh
//! make example-8                                          # starts a broker if none answers
//! cargo run --example 08_windowed_totals -- --grace 0     # no patience: more are set aside
//! ```

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, value_parser};
use jiff::Timestamp;
use kafka_event_streaming::child::{self, Child};
use kafka_event_streaming::config::{Cluster, ConsumerSettings};
use kafka_event_streaming::shutdown;
use kafka_event_streaming::transaction::TransactionSettings;
use kafka_event_streaming::window::{
    Aggregation, Restored, TumblingWindows, WindowSettings, WindowedProcessor,
};
use kafka_event_streaming::{logging, reachability};
use tokio::sync::mpsc;

use account::Account;
use shop::{SALES, Sale, Shop, Takings};
use undisturbed::Undisturbed;

#[path = "08_windowed_totals/account.rs"]
mod account;
#[path = "08_windowed_totals/picture.rs"]
mod picture;
#[path = "08_windowed_totals/shop.rs"]
mod shop;
#[path = "08_windowed_totals/undisturbed.rs"]
mod undisturbed;

const KILLS: u32 = 2;

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

// ANCHOR: main
#[tokio::main]
async fn main() -> Result<()> {
    // Late sales are shown here, and need not be logged too.
    logging::init_without("kafka_event_streaming::window");
    let stop = shutdown::on_signal()?;
    let cluster = Cluster::from_environment()?;
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.service {
        return serve(&Shop::named(&cluster, name), &arguments).await;
    }
    reachability::check(&cluster, reachability::PATIENCE).await?;
    println!("Example 8: windowed totals, on {}\n", cluster.servers());
    let shop = Shop::open(&cluster).await?;
    let sent = shop.sell().await?;
    // The same, added up in this process: from the first sale to the last, disturbed by nobody.
    let expected = Undisturbed::compute(&shop, Duration::from_secs(arguments.grace)).await?;
    picture::sent(&expected);

    let note = tokio::select! {
        lived = live_and_die(&shop, &arguments, &expected.account) => lived.map(|()| "")?,
        // The service dies with this program: one kill more, which costs nothing either.
        () = stop.cancelled() => " (stopped early)",
    };
    let found = Account::read(&shop).await?;
    picture::chart(&found, &expected);
    picture::set_aside(&found, &expected);
    let comparison = found.compare(&expected.account);
    println!("\nequal to an undisturbed computation: {comparison}");
    println!("{sent} sales: {}{note}", found.summary(sent));
    let is_right = found == expected.account;
    ensure!(is_right || stop.is_cancelled(), "it differs");
    Ok(())
}
// ANCHOR_END: main

// ANCHOR: service
/// The service, in a process of its own.
async fn serve(shop: &Shop, arguments: &Arguments) -> Result<()> {
    let minutes = TumblingWindows::of(Duration::from_secs(60))
        .with_grace(Duration::from_secs(arguments.grace));
    let windows = WindowSettings {
        // What comes too late is not dropped in silence: it goes here, with the reason in a header.
        rejects: Some(shop.too_late.clone()),
        ..WindowSettings::new(minutes, &shop.revenue, &shop.changelog)
    };
    let instance = format!("{}-0", shop.name);
    let transactions = TransactionSettings {
        consumer: ConsumerSettings {
            // The same after each restart: its partitions wait for it, and not for the session timeout (KIP-345).
            instance_id: Some(instance.clone()),
            ..ConsumerSettings::reliable(&shop.name)
        },
        batch_records: 20,
        // The same after each restart as well: the broker aborts what the process before left open.
        ..TransactionSettings::new(&shop.name, &instance)
    };
    let pace = Duration::from_millis(arguments.pace);
    let (cluster, sales) = (&shop.cluster, &shop.sales);
    let service =
        WindowedProcessor::new(cluster, &transactions, sales, &windows, Revenue { pace }).await?;
    service.run(&child::asked_to_stop()).await?;
    Ok(())
}

/// Revenue by product: a sale's key is its product.
struct Revenue {
    /// How long a sale takes, so that a kill strikes in the middle of it.
    pace: Duration,
}

impl Aggregation for Revenue {
    type Event = Sale;
    type Total = Takings;

    /// Event time: when the sale was made, whenever it comes.
    fn time(&self, sale: &Sale) -> Timestamp {
        sale.sold_at
    }

    fn fold(&self, takings: &mut Takings, sale: &Sale) {
        thread::sleep(self.pace);
        takings.cents += sale.cents;
        takings.sales += 1;
        tell("added");
    }

    fn restored(&self, found: Restored) {
        tell(&format!("restored {} {}", found.totals, found.records));
    }
}
// ANCHOR_END: service

/// To the parent. If it is gone, so is this process soon.
fn tell(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

// ANCHOR: live_and_die
/// Runs the service, kills it, twice, and then has it come to the end.
async fn live_and_die(shop: &Shop, arguments: &Arguments, expected: &Account) -> Result<()> {
    let &Arguments { grace, pace, .. } = arguments;
    let service = [
        format!("--service={}", shop.name),
        format!("--grace={grace}"),
        format!("--pace={pace}"),
    ];
    for life in 1..=KILLS {
        // Not only between two sales: within one, or in the middle of a commit.
        let lines = fastrand::usize(150..=200);
        let later = Duration::from_millis(fastrand::u64(0..20));
        let told = child::run_and_kill(&service, lines, later, PATIENCE).await;
        let told = told.context("is the broker still there?")?;
        picture::life(life, &told, "and was killed");
        if life == 1 {
            picture::left_behind(&Account::read(shop).await?.open);
        }
    }
    let (sender, mut lines) = mpsc::unbounded_channel();
    let last = Child::start(&service, sender)?;
    let deadline = Instant::now() + PATIENCE + Duration::from_millis(pace * SALES);
    while Account::read(shop).await? != *expected && Instant::now() < deadline {}
    last.stop().await?;
    let mut told = Vec::new();
    while lines.recv_many(&mut told, 1000).await > 0 {}
    picture::life(KILLS + 1, &told, "to the end");
    Ok(())
}
// ANCHOR_END: live_and_die

/// Add up revenue by minute and product, in a service that is killed and restores its state.
#[derive(Parser)]
struct Arguments {
    /// How long a minute waits for late sales, in seconds
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u64).range(..=3600))]
    grace: u64,

    /// How long the service works on one sale, in milliseconds
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(..=1000))]
    pace: u64,

    /// Set for the child that is killed: be the service of this shop
    #[arg(long, hide = true)]
    service: Option<String>,
}
