//! Example 6: retries, dead letters and a circuit breaker.
//!
//! Shows: payments at three banks. One bank is sound, but two of its payments cannot be charged. One is flaky: it answers
//! every third call. One is down for a while: its circuit breaker opens, probes, and closes. What could not be charged is
//! put aside, and sent back when the causes are mended.
//!
//! Key point: a record has three ways to go. It is done, it is tried again later while its partition stands still, or it is
//! put aside and confirmed there. Only then is its offset committed, so none is passed over.
//!
//! Limit: the banks are made up. A payment that was charged just before a crash would be charged again: this is at least
//! once.
//!
//! The book explains it: book/src/06_retries_and_dead_letters.md
//!
//! Run it:
//!
//! ```sh
//! make example-6                                                # starts a broker if none answers
//! cargo run --example 06_retry_dead_letter -- --attempts 2      # less patience, more dead letters
//! ```

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use kafka_event_streaming::circuit_breaker::{self, CircuitBreaker};
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::dead_letter::DeadLetterProducer;
use kafka_event_streaming::processor::{Failure, Processor, ProcessorSettings, WhenExhausted};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::redrive::redrive;
use kafka_event_streaming::retry::RetryPolicy;
use kafka_event_streaming::shutdown;
use kafka_event_streaming::{logging, reachability, topics};

use account::{Account, show_dead_letters};
use bank::{Banks, Payment, send_payments};

#[path = "06_retry_dead_letter/account.rs"]
mod account;
#[path = "06_retry_dead_letter/bank.rs"]
mod bank;

#[tokio::main]
async fn main() -> Result<()> {
    // What is put aside is printed here, and need not be logged too.
    logging::init_without("kafka_event_streaming::dead_letter");
    let arguments = Arguments::parse();
    let cluster = Cluster::from_environment()?;
    let stop = shutdown::on_signal()?;
    reachability::check(&cluster, reachability::PATIENCE).await?;
    println!(
        "Example 6: retries and dead letters, on {}",
        cluster.servers()
    );
    let topic = topics::unique_name("example-06");
    topics::ensure_topic(&cluster, &topic, 3).await?;
    let dead_letters = topics::dead_letter_topic(&topic);
    topics::ensure_topic(&cluster, &dead_letters, 1).await?;
    let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable())?;

    let ledger = send_payments(&producer, &topic).await?;
    let sent = ledger.report().sent;
    let billing = Billing {
        cluster,
        topic,
        dead_letters: DeadLetterProducer::new(&producer, &dead_letters),
        attempts: arguments.attempts,
        banks: Banks::default(),
    };
    println!("\n   time  bank  offset");
    let mut account = Arc::new(Account::new(&ledger, sent, &stop));
    billing.run(&account).await?;
    if !stop.is_cancelled() {
        println!("\n{sent} payments: {}", account.summary("lost"));
        println!("\nThe dead letters, and all headers of the first one:\n");
        show_dead_letters(&billing.cluster, &dead_letters).await?;

        // Its offsets say what was sent back already, so it is a group of its own.
        let group = format!("{dead_letters}.redrive");
        let redriven = redrive(&billing.cluster, &dead_letters, &group, &producer, &stop).await?;
        println!(
            "\nThe banks are mended, and {} go back:\n",
            redriven.total()
        );
        billing.banks.mend();
        account = Arc::new(Account::new(&ledger, redriven.total(), &stop));
        billing.run(&account).await?;
    }
    if stop.is_cancelled() {
        let summary = account.summary("left");
        println!("\n{sent} payments: {summary} (stopped early)");
        return Ok(());
    }
    let late = ledger.report().reordered;
    println!("\n{late} were charged later than a later one: order is the price of going on");
    println!("{sent} payments: {}", account.summary("lost"));
    ensure!(account.missing() == 0, "payments were lost");
    Ok(())
}

/// A service that charges payments.
struct Billing {
    cluster: Cluster,
    topic: String,
    dead_letters: DeadLetterProducer,
    attempts: u32,
    banks: Banks,
}

impl Billing {
    // ANCHOR: run
    /// Charges payments until everything that is there is charged or put aside.
    async fn run(&self, account: &Arc<Account>) -> Result<()> {
        let settings = ProcessorSettings {
            retry: RetryPolicy {
                attempts: self.attempts,
                // Doubled each time, plus up to as much again by chance: not all who wait come back at the same moment.
                first_delay: Duration::from_millis(50),
                longest_delay: Duration::from_millis(400),
                total: Duration::from_secs(60),
            },
            // `Stop` is for services that would rather stand still than lose their order.
            when_exhausted: WhenExhausted::DeadLetter,
            drain_timeout: Duration::from_secs(2),
            ..ProcessorSettings::default()
        };
        // One for each thing that may be down. None of them knows of the others.
        let breakers = ["sound", "flaky", "down"].map(|bank| {
            let settings = circuit_breaker::Settings {
                failures: 3,
                open_for: Duration::from_millis(500),
                probes: 1,
            };
            (bank, CircuitBreaker::new(settings))
        });
        let charge = async |payment: &Payment, _: &ConsumedRecord<'_>| {
            let breaker = breakers.iter().find(|(bank, _)| *bank == payment.bank);
            let (_, breaker) = breaker.ok_or_else(|| Failure::poison("there is no such bank"))?;
            self.charge(payment, breaker, account).await
        };
        let group = ConsumerSettings::reliable(&self.topic);
        let letters = self.dead_letters.clone();
        let processor = Processor::new(&self.cluster, &group, &[&self.topic], charge, letters)?
            .with_settings(settings)
            .with_observer(Arc::clone(account) as _);
        let work = async {
            let counts = processor.run(account.through.clone()).await;
            account.through.cancel();
            counts
        };
        let (counts, watched) = tokio::join!(work, account.watch(&self.cluster));
        watched?;
        counts?;
        Ok(())
    }
    // ANCHOR_END: run

    // ANCHOR: charge
    async fn charge(
        &self,
        payment: &Payment,
        breaker: &CircuitBreaker,
        account: &Account,
    ) -> Result<(), Failure> {
        if account.is_outage_over() {
            self.banks.bring_back();
        }
        let before = breaker.snapshot().state;
        let charged = breaker.call(|| self.banks.charge(payment)).await;
        account.breaker_changed(&payment.bank, before, breaker.snapshot().state);
        // Errors know their kind. No answer is transient, and so is a call that the breaker did not make: tried again. What
        // the bank refuses is permanent: put aside.
        charged?;
        account.charged(payment);
        Ok(())
    }
    // ANCHOR_END: charge
}

/// Charge payments at banks that are sound, flaky and down, and lose none.
#[derive(Parser)]
struct Arguments {
    /// How often a payment is tried before it is put aside
    #[arg(long, default_value_t = 5)]
    attempts: u32,
}
