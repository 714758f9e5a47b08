//! Records on their way: a bounded number, whose delivery reports are counted as they come.
//!
//! Whoever sends many records neither waits for each, which costs a round trip for each, nor keeps a million reports in
//! memory to look at them in the end, when the first failure is long past.

use std::collections::VecDeque;

use crate::Error;
use crate::delivery::{Delivery, PendingDelivery};

/// Enough for several full batches, and no more reports in memory than that.
pub const IN_FLIGHT: usize = 20_000;

/// Delivery reports that are waited for, oldest first.
#[derive(Debug, Default)]
pub struct InFlight {
    /// At most [`IN_FLIGHT`].
    pending: VecDeque<PendingDelivery>,
    /// How many records arrived.
    delivered: usize,
    /// Why the first one that did not.
    failure: Option<Error>,
}

impl InFlight {
    /// Nothing is on its way.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record, and waits for the oldest one's report if there are [`IN_FLIGHT`].
    ///
    /// Dropping the future loses no report.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish), as soon as a failure is known: there is no use in sending more.
    pub async fn push(&mut self, pending: PendingDelivery) -> Result<(), Error> {
        self.pending.push_back(pending);
        while self.is_full() {
            self.next_report().await;
        }
        match self.failure {
            None => Ok(()),
            Some(_) => self.finish().await.map(|_| ()),
        }
    }

    /// Waits until every record has its report. Returns how many were delivered since the last call.
    ///
    /// # Errors
    ///
    /// [`Error::SendAllStopped`] with the first failure and with how many records were delivered all the same.
    pub async fn finish(&mut self) -> Result<usize, Error> {
        while !self.pending.is_empty() {
            self.next_report().await;
        }
        let delivered = std::mem::take(&mut self.delivered);
        match self.failure.take() {
            None => Ok(delivered),
            Some(source) => Err(Error::SendAllStopped {
                delivered,
                source: Box::new(source),
            }),
        }
    }

    /// Waits for the oldest record's report, and for ever if there is none. Dropping the future loses nothing.
    pub(crate) async fn next_report(&mut self) {
        let report = match self.pending.front_mut() {
            Some(report) => report.await,
            None => std::future::pending().await,
        };
        self.pending.pop_front();
        self.count(report);
    }

    /// Adds a record that may not even have reached the queue, without waiting.
    pub(crate) fn add(&mut self, enqueued: Result<PendingDelivery, Error>) {
        match enqueued {
            Ok(pending) => self.pending.push_back(pending),
            Err(error) => self.count(Err(error)),
        }
    }

    /// Whether a report has to be waited for before the next record.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= IN_FLIGHT
    }

    /// Whether there is use in sending more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    fn count(&mut self, report: Result<Delivery, Error>) {
        match report {
            Ok(_) => self.delivered += 1,
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
    }
}
