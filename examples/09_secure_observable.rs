//! Example 9: secure and observable.
//!
//! Shows: a broker with TLS and passwords, its certificate authority made on the spot. Three clients are turned away, each
//! told why, and one is let in. Then three services, each a process: the lag of a slow one rises and falls, as /metrics has
//! it, and the trace of one order goes through the logs of all three.
//!
//! Key point: none of it is a matter of the services' code. How to get in comes from the environment; a trace goes from
//! record to record in their headers; how far a group is behind, the cluster knows.
//!
//! Limit: the broker with certificates is an embedded one of this program's own, always. With `KAFKA_BOOTSTRAP_SERVERS`
//! set, the services run there instead, by the security settings of the environment. And no collector keeps the spans.
//!
//! The book explains it: book/src/09_security_and_observability.md
//!
//! Run it:
//!
//! ```sh
//! make example-9                          # says what to install if OpenSSL's headers are missing
//! make example-9 ARGS="--orders 2000"     # longer, to look at /metrics yourself
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use kafka_event_streaming::config::{Cluster, Sasl, SaslMechanism, Security, Tls};
use kafka_event_streaming::shutdown::{self, CancellationToken};
use kafka_event_streaming::{Error, logging, reachability, topics};

use services::{Services, show_health, sum};
use trace::{brief, print_wrapped};
use vault::Vault;

#[path = "09_secure_observable/services.rs"]
mod services;
#[path = "09_secure_observable/shop.rs"]
mod shop;
#[path = "09_secure_observable/trace.rs"]
mod trace;
#[path = "09_secure_observable/vault.rs"]
mod vault;

/// The only user, and the password.
const USER: (&str, &str) = ("alice", "wonderland");

/// The trace of this order is shown.
const ORDER: u64 = 7;

/// Between two looks at /metrics.
const SCRAPE: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.service {
        return shop::serve(name, &arguments.run, arguments.orders).await;
    }
    // What the broker logs of those whom it turns away would stand in the middle of the table.
    logging::init_without("embedded_broker");
    let stop = shutdown::on_signal()?;
    let named = Cluster::from_environment()?;
    let is_named = !named.servers().is_default();
    if is_named {
        reachability::check(&named, reachability::PATIENCE).await?;
    }
    println!("Example 9: secure and observable\n");
    let folder = Path::new("target").join(&arguments.run);
    // Makes an authority, and has it sign the broker's certificate.
    let vault = Vault::open(&folder, USER).await?;
    let refused = show_who_gets_in(&vault).await?;

    let (cluster, environment) = match is_named {
        false => (
            vault.cluster(way_in(&vault.authority))?,
            vault.environment(USER),
        ),
        true => (named, Vec::new()),
    };
    let (place, protocol) = (cluster.servers(), cluster.security().protocol());
    println!("\nThree services on {place}, by {protocol}\n");
    shop::create_topics(&cluster, &arguments.run).await?;
    let services = Services::start(&arguments.run, arguments.orders, &folder, &environment).await?;
    let (highest, last) = tokio::select! {
        lag = show_lag(&services, arguments.orders, &stop) => lag?,
        // The services would wait for their broker as long as it takes. A person would not.
        gone = reachability::watch(&cluster, Duration::from_secs(3)) => return Ok(gone?),
    };
    services.stop().await?;

    let traced = trace::show(ORDER, &folder)?;
    let is_early = stop.is_cancelled();
    let note = if is_early { " (stopped early)" } else { "" };
    print!("\n{refused} of 4 clients refused; ");
    println!("lag {highest}, then {last}; 1 trace in {traced} logs{note}");
    ensure!(is_early || traced == 3, "the trace is broken");
    Ok(())
}

/// Has four clients knock, and returns how many are turned away.
async fn show_who_gets_in(vault: &Vault) -> Result<usize> {
    println!("A broker at {}, its certificate signed by", vault.servers);
    println!("{}\n", vault.authority.display());
    let Security { tls, sasl } = way_in(&vault.authority);
    let wrong = sasl.clone().map(|sasl| Sasl {
        password: "guess".to_owned(),
        ..sasl
    });
    let clients = [
        ("no TLS", None, sasl.clone()),
        ("TLS, but not this CA", Some(Tls::default()), sasl.clone()),
        ("wrong password", tls.clone(), wrong),
        ("CA and password", tls, sasl),
    ];
    let mut refused = 0;
    for (client, tls, sasl) in clients {
        let cluster = vault.cluster(Security { tls, sasl })?;
        let reason = match reachability::check(&cluster, reachability::PATIENCE).await {
            Ok(()) => None,
            Err(Error::NotAdmitted { reason, .. }) => Some(reason),
            Err(Error::Unreachable { source, .. }) => Some(source.to_string()),
            Err(error) => return Err(error.into()),
        };
        refused += usize::from(reason.is_some());
        let answer = reason.as_deref().map_or("is let in", brief);
        print_wrapped(&format!("  {client:<22}"), answer);
    }
    Ok(refused)
}

// ANCHOR: way_in
/// What it takes to get in.
fn way_in(authority: &Path) -> Security {
    Security {
        // Encrypts, and proves that the broker is who it says it is, as far as this authority is to be trusted.
        tls: Some(Tls {
            authority: Some(authority.to_owned()),
            ..Tls::default()
        }),
        // Proves who the client is. By SCRAM the password itself is not sent.
        sasl: Some(Sasl {
            mechanism: SaslMechanism::ScramSha512,
            username: USER.0.to_owned(),
            password: USER.1.to_owned(),
        }),
    }
}
// ANCHOR_END: way_in

/// Prints every now and then what the services have at /metrics, until the last order is shipped. Returns shipping's lag
/// at its highest, and in the end.
async fn show_lag(
    services: &Services,
    orders: u64,
    stop: &CancellationToken,
) -> Result<(u64, u64)> {
    println!("    time   placed   lag of payments   lag of shipping");
    let (started, mut highest) = (Instant::now(), 0);
    loop {
        tokio::select! {
            () = tokio::time::sleep(SCRAPE) => {}
            () = stop.cancelled() => {}
        }
        let ordering = services.metrics("orders").await?;
        let placed = sum(&ordering, "kafka_producer_records_total");
        let paying = sum(
            &services.metrics("payments").await?,
            "kafka_group_lag_records",
        );
        let shipping = services.metrics("shipping").await?;
        let lag = sum(&shipping, "kafka_group_lag_records");
        highest = highest.max(lag);
        let seconds = started.elapsed().as_secs_f64();
        let bar = "■".repeat((24 * lag / orders) as usize);
        let row = format!("{seconds:>6.2} s   {placed:>6}   {paying:>15}   {lag:>15}  {bar}");
        println!("{}", row.trim_end());
        let done = sum(&shipping, "kafka_group_committed_offset");
        if done >= orders || stop.is_cancelled() {
            show_health("orders", &ordering);
            return Ok((highest, lag));
        }
    }
}

/// A broker with TLS and passwords, and three services whose lag and traces are seen.
#[derive(Parser)]
struct Arguments {
    /// How many orders are placed
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(10..))]
    orders: u64,

    /// Set for the services, which are children: be this one
    #[arg(long, hide = true)]
    service: Option<String>,

    /// The name of this run: of its folder, and in front of its topics' and groups'
    #[arg(long, hide = true, default_value_t = topics::unique_name("example-09"))]
    run: String,
}
