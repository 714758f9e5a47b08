//! Exercise 7b: fence the zombie.
//!
//! A process hangs, its orchestrator takes it for dead and starts another one, and then it wakes up and goes on: a zombie.
//! Both have the same `transactional.id`, so the broker knows which came later, and fences the earlier one off. What the
//! earlier one has to do is stop: not try again, not begin anew under the same id, which would fence off its successor.
//!
//! rdkafka sorts the errors of transactions into three kinds: the call may be repeated (`again` below does that), the transaction
//! has to be aborted, or the error is fatal and the producer is of no more use.
//!
//! Write `give_up`, which tells them apart, and `try_again`, which draws the consequence:
//! <https://docs.rs/rdkafka/latest/rdkafka/error/struct.RDKafkaError.html>.
//!
//! Check it with `make exercise-7b`. Read first: book/src/07_exactly_once.md

use std::time::{Duration, Instant};
use std::{fmt, slice};

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

const BOOKINGS: &str = "bookings";
/// How long a call waits. What it has begun goes on meanwhile, and the next call waits for that.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long to repeat a call.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often in a row a transfer may be aborted before that is an error.
const MOST_ATTEMPTS: usize = 3;

/// So many euros from one account to another: two bookings, of which both can be read or none.
#[derive(Debug)]
struct Transfer {
    from: &'static str,
    to: &'static str,
    euros: u32,
}

/// Why a transfer was not made.
#[derive(Debug)]
enum Failure {
    /// Nothing of it will ever be read, and it may be tried again.
    Aborted(KafkaError),
    /// This instance can do nothing more. Another one may have taken over.
    Fatal(KafkaError),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted(error) => write!(formatter, "its transaction was aborted: {error}"),
            Self::Fatal(error) => write!(formatter, "this instance has to stop: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Books transfers.
struct Till {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Till {
    /// Fences off whoever has the same `instance`, and aborts what it has left open.
    ///
    /// # Errors
    ///
    /// When no broker answers.
    fn open(servers: &str, instance: &str) -> anyhow::Result<Self> {
        let producer: ThreadedProducer<_> = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("transactional.id", instance)
            .create()?;
        again(|| producer.init_transactions(TIMEOUT))?;
        Ok(Self { producer })
    }

    /// Makes one transfer, in one transaction.
    ///
    /// # Errors
    ///
    /// When it was not made: [`Failure`].
    fn transfer(&self, transfer: &Transfer) -> Result<(), Failure> {
        let outcome = self.begin_and_book(transfer);
        let outcome = outcome.and_then(|()| again(|| self.producer.commit_transaction(TIMEOUT)));
        outcome.or_else(|error| self.give_up(error))
    }

    /// Begins a transaction and writes both bookings.
    fn begin_and_book(&self, transfer: &Transfer) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        let Transfer { from, to, euros } = transfer;
        for (account, booking) in [(from, format!("-{euros}")), (to, format!("+{euros}"))] {
            let record = BaseRecord::to(BOOKINGS).key(*account).payload(&booking);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// After an `error` in a transaction: aborts it, if that is still possible, and says what is left to do.
    ///
    /// # Errors
    ///
    /// Always: with the error that decides.
    fn give_up(&self, error: KafkaError) -> Result<(), Failure> {
        todo!(
            "return {:?}, or {:?} once the transaction of {:p} is aborted",
            Failure::Fatal(error.clone()),
            Failure::Aborted(error),
            &self.producer
        )
    }

    /// Makes all transfers, each once, in this order.
    ///
    /// # Errors
    ///
    /// When one cannot be made. The others behind it are not made either.
    fn run(&self, transfers: &[Transfer]) -> anyhow::Result<()> {
        for transfer in transfers {
            let mut attempts = 1;
            while let Err(failure) = self.transfer(transfer) {
                try_again(failure, attempts)
                    .with_context(|| format!("{transfer:?} was not made"))?;
                attempts += 1;
            }
        }
        Ok(())
    }
}

/// Whether to make a transfer once more, which has failed for this reason after so many `attempts`: one that was aborted, up
/// to [`MOST_ATTEMPTS`] times.
///
/// # Errors
///
/// The failure, when there is no sense in another attempt.
fn try_again(failure: Failure, attempts: usize) -> Result<(), Failure> {
    todo!("{failure:?} after {attempts} of {MOST_ATTEMPTS} attempts: another one, or an error")
}

/// Repeats a call for as long as its error says that it may be repeated.
///
/// # Errors
///
/// Every other error, and that one when it still comes after [`PATIENCE`].
fn again(call: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call() {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && Instant::now() < deadline => {}
            outcome => return outcome,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder().start().await?;
    let servers = broker.bootstrap_servers();
    let lunch = Transfer {
        from: "alice",
        to: "canteen",
        euros: 12,
    };
    tokio::task::block_in_place(|| {
        let zombie = Till::open(&servers, "till-1")?;
        zombie.run(slice::from_ref(&lunch))?;
        println!("the first instance has made its transfer");
        let successor = Till::open(&servers, "till-1")?;
        match zombie.run(slice::from_ref(&lunch)) {
            Ok(()) => anyhow::bail!("the first instance was not fenced off"),
            Err(error) => println!("the first instance stops: {error:#}"),
        }
        successor.run(&[lunch])?;
        println!("the second instance has made its transfer");
        Ok(())
    })
}

#[cfg(test)]
#[path = "../tests/checks/07b_fence_the_zombie.rs"]
mod checks;
