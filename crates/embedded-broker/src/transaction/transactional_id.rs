//! One transactional id: its producer id, its epoch, and its transaction.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use super::{Ended, Participant, ProducerIdAndEpoch, ProducerIds};
use crate::clock::{Now, millis};
use crate::forgetting::Rest;
use crate::log::TransactionResult;
use crate::timers::{Timer, Timers};

/// No epoch: before the first, or nothing to compare a claim with.
const NO_EPOCH: i16 = -1;
/// The last epoch that a producer is given. One more is kept, so that its transaction can still be fenced.
const LAST_EPOCH: i16 = i16::MAX - 1;
/// No transaction was ever begun.
const NEVER: i64 = -1;

/// How far the transaction is, with the names that Apache Kafka's tools show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has begun since the producer was initialised.
    Empty,
    Ongoing,
    CompleteCommit,
    CompleteAbort,
}

impl Phase {
    /// What DescribeTransactions calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct TransactionalId {
    /// The epoch is [`NO_EPOCH`] until the first producer is initialised.
    producer: ProducerIdAndEpoch,
    /// The producer id before the last change; another one only right after its epochs ran out. A producer that asks
    /// again because the answer was lost still claims it.
    previous_producer_id: i64,
    /// The epoch before the current one as far as its producer may go on: what it claims when it asks again, or finds
    /// out that its transaction timed out. [`NO_EPOCH`] after another process took over.
    previous_epoch: i16,
    timeout_ms: i32,
    phase: Phase,
    /// Empty unless the transaction is ongoing.
    participants: BTreeSet<Participant>,
    /// When the last transaction began, in milliseconds since the Unix epoch.
    started_ms: i64,
    /// When the ongoing transaction is aborted.
    deadline: Option<Instant>,
    /// The earliest timer of this id that is in the queue. Of many short transactions only one has a timer: it fires,
    /// finds nothing due and is scheduled anew if need be.
    timer: Option<Instant>,
    /// Ended by whatever its producer does.
    rest: Rest,
}

impl TransactionalId {
    pub(super) fn new(producer_id: i64) -> Self {
        Self {
            producer: ProducerIdAndEpoch {
                id: producer_id,
                epoch: NO_EPOCH,
            },
            previous_producer_id: producer_id,
            previous_epoch: NO_EPOCH,
            timeout_ms: 0,
            phase: Phase::Empty,
            participants: BTreeSet::new(),
            started_ms: NEVER,
            deadline: None,
            timer: None,
            rest: Rest::default(),
        }
    }

    pub(crate) fn producer(&self) -> ProducerIdAndEpoch {
        self.producer
    }

    pub(crate) fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// When the last transaction began, in milliseconds since the Unix epoch, -1 if none did.
    pub(crate) fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// In the order of their names.
    pub(crate) fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.participants.iter()
    }

    pub(super) fn has(&self, participant: &Participant) -> bool {
        self.participants.contains(participant)
    }

    /// Aborts the ongoing transaction if its time is over.
    pub(super) fn expire(&mut self, now: Now, producer_ids: &mut ProducerIds) -> Option<Ended> {
        self.timer = self.timer.filter(|at| *at > now.instant);
        match self.deadline.is_some_and(|at| at <= now.instant) {
            true => self.fence(producer_ids),
            false => None,
        }
    }

    /// For how long nothing was done; none while a transaction is open.
    pub(super) fn rest(&mut self, now: Now) -> Option<Duration> {
        match self.phase {
            Phase::Ongoing => None,
            Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort => {
                Some(self.rest.look(now))
            }
        }
    }

    /// Has the timer fire no later than the deadline.
    pub(super) fn schedule(&mut self, id: &str, timers: &mut Timers) {
        if let Some(deadline) = self.deadline
            && self.timer.is_none_or(|at| deadline < at)
        {
            timers.schedule(deadline, Timer::Transaction(id.to_owned()));
            self.timer = Some(deadline);
        }
    }

    /// Whether the producer id that a producer claims is or was this one's.
    pub(super) fn check_claimed_id(
        &self,
        claimed: Option<ProducerIdAndEpoch>,
    ) -> Result<(), ResponseError> {
        let known = |claimed: ProducerIdAndEpoch| {
            claimed.id == self.producer.id
                || claimed.id == self.previous_producer_id && claimed.epoch >= LAST_EPOCH
        };
        match claimed.is_none_or(known) {
            true => Ok(()),
            false => Err(ResponseError::ProducerFenced),
        }
    }

    /// Gives the next epoch, or the next producer id when the epochs ran out. The transaction is not ongoing.
    pub(super) fn initialise(
        &mut self,
        timeout_ms: i32,
        claimed: Option<ProducerIdAndEpoch>,
        producer_ids: &mut ProducerIds,
    ) -> Result<ProducerIdAndEpoch, ResponseError> {
        let current = self.producer;
        let is_new = current.epoch == NO_EPOCH;
        match claimed {
            None => {
                self.take_next_epoch(producer_ids);
                // Whoever had it before is fenced for good.
                self.previous_epoch = NO_EPOCH;
            }
            Some(claimed) if is_new || claimed.epoch == current.epoch => {
                self.take_next_epoch(producer_ids);
            }
            // It asks again, or was fenced by a time-out and nobody took over.
            Some(claimed) if claimed.epoch == self.previous_epoch => {
                self.previous_producer_id = current.id;
            }
            Some(_) => return Err(ResponseError::ProducerFenced),
        }
        self.rest.end();
        self.timeout_ms = timeout_ms;
        self.phase = Phase::Empty;
        self.started_ms = NEVER;
        Ok(self.producer)
    }

    /// Adds participants. The first ones begin the transaction.
    pub(super) fn add(&mut self, participants: impl IntoIterator<Item = Participant>, now: Now) {
        self.rest.end();
        self.previous_producer_id = self.producer.id;
        self.participants.extend(participants);
        if self.phase != Phase::Ongoing {
            self.phase = Phase::Ongoing;
            self.started_ms = now.unix_ms;
            self.deadline = Some(now.instant + millis(self.timeout_ms));
        }
    }

    /// Ends the transaction as its producer asks. None if it has ended so already.
    pub(super) fn end(
        &mut self,
        result: TransactionResult,
    ) -> Result<Option<Ended>, ResponseError> {
        match (self.phase, result) {
            (Phase::Ongoing, _) => Ok(Some(self.complete(result))),
            (Phase::CompleteCommit, TransactionResult::Commit)
            | (Phase::CompleteAbort, TransactionResult::Abort) => Ok(None),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Aborts the ongoing transaction, if there is one, with the next epoch: the markers carry it to the partitions, and
    /// nothing that its producer still sends is taken.
    pub(super) fn fence(&mut self, producer_ids: &mut ProducerIds) -> Option<Ended> {
        if self.phase != Phase::Ongoing {
            return None;
        }
        let mut ended = self.complete(TransactionResult::Abort);
        ended.producer.epoch = ended.producer.epoch.saturating_add(1);
        self.take_next_epoch(producer_ids);
        Some(ended)
    }

    fn complete(&mut self, result: TransactionResult) -> Ended {
        self.rest.end();
        self.previous_producer_id = self.producer.id;
        self.phase = match result {
            TransactionResult::Commit => Phase::CompleteCommit,
            TransactionResult::Abort => Phase::CompleteAbort,
        };
        self.deadline = None;
        Ended {
            producer: self.producer,
            result,
            participants: std::mem::take(&mut self.participants),
        }
    }

    fn take_next_epoch(&mut self, producer_ids: &mut ProducerIds) {
        let ProducerIdAndEpoch { id, epoch } = self.producer;
        self.previous_producer_id = id;
        self.previous_epoch = epoch;
        self.producer = match epoch < LAST_EPOCH {
            true => ProducerIdAndEpoch {
                id,
                epoch: epoch + 1,
            },
            false => ProducerIdAndEpoch {
                id: producer_ids.next(),
                epoch: 0,
            },
        };
    }
}
