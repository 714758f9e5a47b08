//! Three made-up banks, and the payments that are due at them.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kafka_event_streaming::Error;
use kafka_event_streaming::error_kind::{Classify, ErrorKind};
use kafka_event_streaming::event::Event;
use kafka_event_streaming::ledger::Ledger;
use kafka_event_streaming::producer::RecordProducer;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) bank: String,
    pub(crate) number: u64,
    pub(crate) cents: u64,
}

impl Event for Payment {
    const TYPE: &'static str = "payment.due";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.bank)
    }
}

// ANCHOR: error
/// What a bank says, or does not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BankError {
    #[error("no answer")]
    NoAnswer,
    #[error("the bank refuses an amount of 0")]
    Refused,
}

impl Classify for BankError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAnswer => ErrorKind::Transient,
            Self::Refused => ErrorKind::Permanent,
        }
    }
}
// ANCHOR_END: error

/// `sound` answers, `flaky` answers every third call, `down` answers when it is back.
#[derive(Debug, Default)]
pub(crate) struct Banks {
    /// How often `flaky` was called.
    calls: AtomicU64,
    down_is_back: AtomicBool,
    /// Whether all is well: every bank answers, and takes every amount.
    is_mended: AtomicBool,
}

impl Banks {
    pub(crate) async fn charge(&self, payment: &Payment) -> Result<(), BankError> {
        if self.is_mended.load(Ordering::Relaxed) {
            return Ok(());
        }
        let answers = match payment.bank.as_str() {
            "flaky" => self.calls.fetch_add(1, Ordering::Relaxed) % 3 == 2,
            "down" => self.down_is_back.load(Ordering::Relaxed),
            _ => true,
        };
        match payment.cents {
            _ if !answers => Err(BankError::NoAnswer),
            0 => Err(BankError::Refused),
            _ => Ok(()),
        }
    }

    pub(crate) fn bring_back(&self) {
        self.down_is_back.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.is_mended.store(true, Ordering::Relaxed);
    }
}

/// Sends the payments of each bank in order, and writes down which. As keys, these names go to one partition each of three.
pub(crate) async fn send_payments(producer: &RecordProducer, topic: &str) -> Result<Ledger, Error> {
    let sent = Ledger::new();
    for (bank, count) in [("sound", 6), ("flaky", 3), ("down", 4)] {
        for number in 1..=count {
            let cents = match (bank, number) {
                // Not what a reader of `Payment` expects.
                ("sound", 3) => r#""9.50""#,
                ("sound", 5) => "0",
                _ => "1250",
            };
            let payment = format!(r#"{{"bank":"{bank}","number":{number},"cents":{cents}}}"#);
            producer
                .send(topic, bank.as_bytes(), payment.as_bytes())
                .await?;
            sent.sent(bank, number);
        }
    }
    Ok(sent)
}
