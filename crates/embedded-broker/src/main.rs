//! The broker as a program of its own: `embedded-broker serve`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use embedded_broker::{Broker, ProbeError, SaslUsers, StartError, probe, write_certificates};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// A broker that speaks the Apache Kafka protocol, for learning and for tests.
///
/// It keeps everything in memory and forgets it when it stops. RUST_LOG sets what it logs, for example RUST_LOG=debug.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a broker until Ctrl-C or SIGTERM
    Serve(Serve),
    /// Ask whether a Kafka broker answers: exit code 0 if so, 1 if nothing listens, 2 if it is something else
    Probe(Probe),
    /// Make a CA and certificates for this machine: ca.pem, server.pem, server.key, client.pem, client.key
    Certs(Certs),
}

#[derive(Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    listen: String,

    /// The host that clients are told to connect to, if it is not the one in --listen
    #[arg(long, value_name = "HOST")]
    advertised_host: Option<String>,

    /// Partitions of a topic that is created without a count
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    partitions: i32,

    /// How many nodes to show, each on a port of its own; the others take the ports that follow
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    nodes: usize,

    /// Do not create a topic because somebody asks for it
    #[arg(long)]
    no_auto_create_topics: bool,

    /// Accept a replication factor above the number of nodes
    #[arg(long)]
    lenient_replication: bool,

    /// How long the first member of an empty group waits for others, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    initial_rebalance_delay: u64,

    /// How much memory records may take, beyond which the oldest are deleted: bytes, or a number with KiB, MiB or GiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    max_memory: usize,

    /// Let in only the users of this file, by SASL PLAIN or SCRAM-SHA-512; its lines are name:password
    #[arg(long, value_name = "FILE")]
    sasl_users: Option<PathBuf>,

    /// Where to listen with TLS too; needs --tls-dir
    #[arg(long, value_name = "HOST:PORT", requires = "tls_dir")]
    tls_listen: Option<String>,

    /// The folder with the certificates that `embedded-broker certs` has written
    #[arg(long, value_name = "DIR", requires = "tls_listen")]
    tls_dir: Option<PathBuf>,

    /// Let in by TLS only who shows a certificate of the CA in --tls-dir
    #[arg(long, requires = "tls_listen")]
    tls_client_auth: bool,

    /// How many threads serve
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    worker_threads: usize,
}

#[derive(Args)]
struct Probe {
    /// The address to ask
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092")]
    bootstrap_servers: String,

    /// How long to wait for an answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    timeout: u64,
}

#[derive(Args)]
struct Certs {
    /// The folder to write them to; nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        // In a file the colours would be noise.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match Cli::parse().command {
        Command::Serve(serve) => run_serve(serve).await,
        Command::Probe(probe) => run_probe(probe).await,
        Command::Certs(certs) => run_certs(&certs),
    }
}

async fn run_serve(serve: Serve) -> ExitCode {
    match run_until_stopped(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_until_stopped(serve: Serve) -> Result<(), StartError> {
    // Watched before the broker starts, so that a signal in between is not lost.
    let stopped = stop_signal()?;
    let mut builder = Broker::builder()
        .listen(serve.listen)
        .partitions(serve.partitions)
        .nodes(serve.nodes)
        .auto_create_topics(!serve.no_auto_create_topics)
        .lenient_replication(serve.lenient_replication)
        .initial_rebalance_delay(Duration::from_millis(serve.initial_rebalance_delay))
        .max_memory(serve.max_memory)
        .worker_threads(serve.worker_threads)
        // Nobody can look at them from outside.
        .remembered_requests(0);
    if let Some(host) = serve.advertised_host {
        builder = builder.advertised_host(host);
    }
    if let Some(file) = serve.sasl_users {
        builder = builder.sasl_users(SaslUsers::from_file(file)?);
    }
    if let (Some(address), Some(dir)) = (serve.tls_listen, serve.tls_dir) {
        builder = builder
            .tls_listen(address)
            .tls_dir(dir)
            .tls_client_auth(serve.tls_client_auth);
    }
    let broker = builder.start().await?;
    println!("embedded-broker is ready on {}", broker.bootstrap_servers());
    if let Some(servers) = broker.tls_bootstrap_servers() {
        println!("with TLS on {servers}");
    }
    let signal = stopped.await;
    info!(signal, "stopping");
    Ok(())
}

/// A number of bytes, with or without a unit.
fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        unit => return Err(format!("{unit:?} is none of the units KiB, MiB and GiB")),
    };
    let count: usize = digits
        .parse()
        .map_err(|_| format!("{digits:?} is not a number"))?;
    count
        .checked_mul(unit)
        .ok_or_else(|| "that is more than there can be".to_owned())
}

/// Completes with the name of the signal that asks the process to stop.
fn stop_signal() -> Result<impl Future<Output = &'static str>, StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Thread)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Thread)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

fn run_certs(certs: &Certs) -> ExitCode {
    match write_certificates(&certs.dir) {
        Ok(()) => {
            println!("wrote certificates to {}", certs.dir.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_probe(arguments: Probe) -> ExitCode {
    let address = &arguments.bootstrap_servers;
    match probe(address, Duration::from_millis(arguments.timeout)).await {
        Ok(()) => {
            println!("a Kafka broker answers on {address}");
            ExitCode::SUCCESS
        }
        Err(error @ ProbeError::NothingListens { .. }) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
        Err(error @ ProbeError::NotKafka { .. }) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("1048576"), Ok(1 << 20));
        assert_eq!(parse_size("64KiB"), Ok(64 << 10));
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        for wrong in ["", "GiB", "1 GiB", "1GB", "-1", "1.5GiB", "99999999999GiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
