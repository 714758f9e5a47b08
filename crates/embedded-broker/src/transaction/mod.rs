//! The transaction coordinator: who may write under a transactional id, and how far its transaction is (KIP-98).
//!
//! A transactional id outlives the processes that use it. Each process that initialises it gets the next epoch, which
//! fences the one before: a zombie can neither write nor commit any more. A transaction is begun by the first partition or
//! group that is added to it and ended by the client, by the next process, or by its time-out.
//!
//! This is version 1 of the protocol: partitions are added before they are written to, and the epoch stays the same from
//! one transaction to the next. Clients that know version 2 (KIP-890) fall back to it.
//!
//! What a transaction has touched is ended in one step with it ([`Ended`]), under the one lock of the state. So there is
//! nothing between "prepared" and "complete", and no client is asked to wait with CONCURRENT_TRANSACTIONS.
//! A transactional id that nobody uses is forgotten after 7 days (`transactional.id.expiration.ms`).

mod ending;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
mod transactional_id;
#[cfg(test)]
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use crate::api::Context;
use crate::clock::Now;
use crate::cluster::Cluster;
use crate::log::TransactionResult;
use crate::timers::Timers;

pub(crate) use self::transactional_id::TransactionalId;

/// A producer at one time of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIdAndEpoch {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// What a transaction writes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Participant {
    /// A partition of a topic.
    Partition(String, i32),
    /// The offsets of a group.
    Group(String),
}

/// A transaction that has just ended: each participant must be told.
#[derive(Debug)]
#[must_use = "readers wait until the participants know"]
pub(crate) struct Ended {
    /// With the epoch of the marker.
    pub(crate) producer: ProducerIdAndEpoch,
    pub(crate) result: TransactionResult,
    pub(crate) participants: BTreeSet<Participant>,
}

/// All transactional ids, and the producer ids of everybody.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Sorted, so that listings come in the same order each time.
    by_id: BTreeMap<String, TransactionalId>,
    producer_ids: ProducerIds,
}

/// Producer ids that nobody else has.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    /// Never handed out twice.
    next: i64,
}

impl ProducerIds {
    pub(crate) fn next(&mut self) -> i64 {
        let id = self.next;
        self.next += 1;
        id
    }
}

impl Transactions {
    /// A producer id for a producer without a transactional id.
    pub(crate) fn new_producer_id(&mut self) -> i64 {
        self.producer_ids.next()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Forgets the ids that have no open transaction and were not used for that long. Whoever still has one initialises it
    /// anew, and gets another producer id.
    pub(crate) fn forget(&mut self, now: Now, expiration: Duration) {
        self.by_id
            .retain(|_, known| known.rest(now).is_none_or(|rest| rest < expiration));
    }

    pub(crate) fn get(&self, id: &str) -> Option<&TransactionalId> {
        self.by_id.get(id)
    }

    /// In the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &TransactionalId)> {
        self.by_id.iter().map(|(id, known)| (id.as_str(), known))
    }

    /// Ends the transaction that is open under this id, if there is one, before somebody initialises it: it is aborted
    /// with the next epoch, so that the producer that began it is fenced.
    ///
    /// As in Apache Kafka, a producer that claims the right producer id ends the transaction even if its epoch turns out
    /// to be too old.
    ///
    /// # Errors
    /// PRODUCER_FENCED if the producer claims another producer id than its transactional id has.
    pub(crate) fn abort_before_initialising(
        &mut self,
        id: &str,
        claimed: Option<ProducerIdAndEpoch>,
    ) -> Result<Option<Ended>, ResponseError> {
        let Some(known) = self.by_id.get_mut(id) else {
            return Ok(None);
        };
        known.check_claimed_id(claimed)?;
        Ok(known.fence(&mut self.producer_ids))
    }

    /// Gives a producer its id and epoch. Without a claim it is a new process, which fences the one before it; with one it
    /// is a process that lost track and goes on with the next epoch (KIP-360).
    ///
    /// # Errors
    /// PRODUCER_FENCED if the claimed epoch is not the current one.
    pub(crate) fn initialise(
        &mut self,
        id: &str,
        timeout_ms: i32,
        claimed: Option<ProducerIdAndEpoch>,
    ) -> Result<ProducerIdAndEpoch, ResponseError> {
        let Self {
            by_id,
            producer_ids,
        } = self;
        by_id
            .entry(id.to_owned())
            .or_insert_with(|| TransactionalId::new(producer_ids.next()))
            .initialise(timeout_ms, claimed, producer_ids)
    }

    /// Adds participants to the transaction; the first ones begin it.
    ///
    /// # Errors
    /// As [`Self::of_producer`].
    pub(crate) fn add(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        participants: impl IntoIterator<Item = Participant>,
        now: Now,
        timers: &mut Timers,
    ) -> Result<(), ResponseError> {
        let known = self.of_producer(id, producer)?;
        known.add(participants, now);
        known.schedule(id, timers);
        Ok(())
    }

    /// Ends the transaction as its producer asks. None if it has ended so already: the producer asks again because the
    /// answer was lost.
    ///
    /// # Errors
    /// As [`Self::of_producer`]; INVALID_TXN_STATE if there is nothing to end or it has ended otherwise.
    pub(crate) fn end(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        result: TransactionResult,
    ) -> Result<Option<Ended>, ResponseError> {
        self.of_producer(id, producer)?.end(result)
    }

    /// Whether the producer's open transaction has this participant (KIP-890, the part that protects older clients).
    ///
    /// # Errors
    /// As [`Self::of_producer`]; TRANSACTION_ABORTABLE if not, which clients know by newer versions of their requests
    /// ([`error_before_abortable`]).
    pub(crate) fn verify(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        participant: &Participant,
    ) -> Result<(), ResponseError> {
        let known = self
            .of_producer(id, producer)
            .map_err(|error| match error {
                // Producing and committing offsets never knew the other code (KIP-588).
                ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
                other => other,
            })?;
        match known.has(participant) {
            true => Ok(()),
            false => Err(ResponseError::TransactionAbortable),
        }
    }

    /// Aborts the transaction under this id if its time is over, and fences its producer.
    pub(crate) fn expire(&mut self, id: &str, now: Now, timers: &mut Timers) -> Option<Ended> {
        let known = self.by_id.get_mut(id)?;
        let ended = known.expire(now, &mut self.producer_ids);
        known.schedule(id, timers);
        ended
    }

    /// What is known of the id, if the producer is the one that has it.
    ///
    /// # Errors
    /// INVALID_REQUEST for an empty id, INVALID_PRODUCER_ID_MAPPING if the id is unknown or another producer's,
    /// PRODUCER_FENCED for any epoch but the current one.
    fn of_producer(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
    ) -> Result<&mut TransactionalId, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let known = self
            .by_id
            .get_mut(id)
            .filter(|known| known.producer().id == producer.id)
            .ok_or(ResponseError::InvalidProducerIdMapping)?;
        match known.producer().epoch == producer.epoch {
            true => Ok(known),
            false => Err(ResponseError::ProducerFenced),
        }
    }
}

/// The error as a client knows it whose request is older than `first_version`: PRODUCER_FENCED was INVALID_PRODUCER_EPOCH
/// (KIP-588).
pub(crate) fn error_before_fenced(
    error: ResponseError,
    version: i16,
    first_version: i16,
) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < first_version => {
            ResponseError::InvalidProducerEpoch
        }
        other => other,
    }
}

/// The error as a client knows it whose request is older than `first_version`: TRANSACTION_ABORTABLE was
/// INVALID_TXN_STATE (KIP-890).
pub(crate) fn error_before_abortable(
    error: ResponseError,
    version: i16,
    first_version: i16,
) -> ResponseError {
    match error {
        ResponseError::TransactionAbortable if version < first_version => {
            ResponseError::InvalidTxnState
        }
        other => other,
    }
}

/// Whether the node that was asked coordinates the transactional id.
///
/// # Errors
/// NOT_COORDINATOR if not: the client asks FindCoordinator again.
pub(crate) fn check_coordinator(
    cluster: &Cluster,
    cx: &Context,
    id: &str,
) -> Result<(), ResponseError> {
    // An empty id belongs to nobody and is refused by whoever is asked.
    match id.is_empty() || cluster.is_coordinator(cx.node_id, id) {
        true => Ok(()),
        false => Err(ResponseError::NotCoordinator),
    }
}
