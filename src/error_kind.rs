//! What to do about an error: try again, give up, abort the transaction, or stop.
//!
//! Kafka has more than a hundred error codes and librdkafka sixty of its own. A program has four answers:
//!
//! ```
//! use kafka_event_streaming::error_kind::{Classify, ErrorKind};
//! use rdkafka::error::RDKafkaErrorCode;
//!
//! assert_eq!(RDKafkaErrorCode::NotEnoughReplicas.kind(), ErrorKind::Transient);
//! assert_eq!(RDKafkaErrorCode::MessageSizeTooLarge.kind(), ErrorKind::Permanent);
//! ```
//!
//! Sources: the column "Retriable" of <https://kafka.apache.org/protocol#protocol_error_codes> as of Apache Kafka 4.3.1,
//! and librdkafka's own reading in `rd_kafka_err_action` (`rdkafka_request.c`).

use std::error::Error as StdError;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::Error;

/// What an error asks of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same call may succeed later, unchanged: a broker restarts, a leader moves, a queue is full.
    Transient,
    /// The same call fails again however often it is made. What is unknown counts as permanent: a person should look.
    Permanent,
    /// The transaction cannot be committed any more. Abort it, and do the work again in a new one (KIP-360, KIP-588).
    Abortable,
    /// The client is of no more use: another one has taken its place, or it is being closed. Going on with a new client
    /// of the same identity would only throw the other one out in turn.
    Fatal,
}

/// An error that knows what it asks for. Implement it for the errors of your handlers, and the patterns of this library
/// treat them alike.
pub trait Classify {
    /// What to do about it.
    fn kind(&self) -> ErrorKind;
}

impl Classify for RDKafkaErrorCode {
    fn kind(&self) -> ErrorKind {
        use RDKafkaErrorCode as Code;
        match self {
            Code::Fatal
            | Code::Fenced
            | Code::ProducerFenced
            | Code::FencedInstanceId
            | Code::InvalidTransactionalState
            | Code::GaplessGuarantee
            | Code::Inconsistent
            // The handle was destroyed: this process is closing the client.
            | Code::BrokerDestroy => ErrorKind::Fatal,

            // The broker has forgotten, or never had, what came before in this producer's sequence.
            Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
            | Code::UnknownProducerId
            | Code::OutOfOrderSequenceNumber => ErrorKind::Abortable,

            code if is_retriable_by_protocol(*code) || is_retriable_by_client(*code) => {
                ErrorKind::Transient
            }
            _ => ErrorKind::Permanent,
        }
    }
}

/// Every code that the broker itself calls retriable, as far as librdkafka knows it.
fn is_retriable_by_protocol(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        // The checksum is wrong: bytes were damaged on their way.
        Code::InvalidMessage
            // The topic may have been created a moment ago, on another broker.
            | Code::UnknownTopicOrPartition
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotController
            | Code::ConcurrentTransactions
            | Code::KafkaStorageError
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::ListenerNotFound
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            | Code::ElectionNotNeeded
            | Code::UnstableOffsetCommit
            | Code::ThrottlingQuotaExceeded
            | Code::UnknownTopicId
    )
}

/// Codes that only mean something to the client, or that it recovers from by itself.
fn is_retriable_by_client(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::Resolve
            | Code::SSL
            | Code::AllBrokersDown
            | Code::DestroyBroker
            | Code::UnknownBroker
            | Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::QueueFull
            | Code::ISRInsufficient
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Interrupted
            | Code::Retry
            // Another record of the batch was refused, and this one with it. In another batch it passes (KIP-467).
            | Code::InvalidDifferentRecord
            // The member was too slow. Asking for the next record makes it join again.
            | Code::PollExceeded
            // librdkafka looks for the broker anew, although the protocol does not call it retriable.
            | Code::BrokerNotAvailable
            // The member is told to join again, does so by itself, and then the call is possible.
            | Code::RebalanceInProgress
            | Code::MemberIdRequired
    )
}

impl Classify for KafkaError {
    fn kind(&self) -> ErrorKind {
        match self {
            // What happened in a transaction depends on its state, so librdkafka says it with each error.
            Self::Transaction(error) if error.is_fatal() => ErrorKind::Fatal,
            Self::Transaction(error) if error.txn_requires_abort() => ErrorKind::Abortable,
            Self::Transaction(error) if error.is_retriable() => ErrorKind::Transient,
            Self::Transaction(_) => ErrorKind::Permanent,
            Self::MessageConsumptionFatal(_) | Self::Canceled => ErrorKind::Fatal,
            Self::AdminOp(code) => code.kind(),
            Self::NoMessageReceived => ErrorKind::Transient,
            _ => self
                .rdkafka_error_code()
                .map_or(ErrorKind::Permanent, |code| code.kind()),
        }
    }
}

impl Classify for Error {
    /// Where Kafka's client is the cause, its answer counts.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. }
            | Self::TopicNotReady { .. }
            | Self::FlushIncomplete { .. }
            | Self::StillMissing { .. } => ErrorKind::Transient,
            Self::ProducerClosed { .. } | Self::Fenced { .. } => ErrorKind::Fatal,
            Self::TopicNotCreated { code, .. } => code.kind(),
            Self::SendAllStopped { source, .. } => source.kind(),
            // Wrong settings are refused when the client is created, whatever the code says.
            Self::Client { .. } => ErrorKind::Permanent,
            other => other
                .source()
                .and_then(|source| source.downcast_ref::<KafkaError>())
                .map_or(ErrorKind::Permanent, KafkaError::kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::*;

    /// S1-15: what a service meets, and what it should do about it.
    #[test]
    fn every_common_error_has_its_answer() {
        use ErrorKind::{Abortable, Fatal, Permanent, Transient};
        for (kind, errors) in [
            (
                Transient,
                &[
                    KafkaError::MessageProduction(Code::NotEnoughReplicas),
                    KafkaError::MessageProduction(Code::MessageTimedOut),
                    KafkaError::MessageProduction(Code::QueueFull),
                    KafkaError::MessageProduction(Code::InvalidDifferentRecord),
                    KafkaError::MessageConsumption(Code::AllBrokersDown),
                    KafkaError::MessageConsumption(Code::UnknownTopicOrPartition),
                    KafkaError::ConsumerCommit(Code::RebalanceInProgress),
                    KafkaError::ConsumerCommit(Code::CoordinatorNotAvailable),
                    KafkaError::MetadataFetch(Code::BrokerTransportFailure),
                    KafkaError::AdminOp(Code::OperationTimedOut),
                ][..],
            ),
            (
                Permanent,
                &[
                    KafkaError::MessageProduction(Code::MessageSizeTooLarge),
                    KafkaError::MessageProduction(Code::InvalidRecord),
                    KafkaError::MessageProduction(Code::UnknownTopic),
                    KafkaError::MessageProduction(Code::TopicAuthorizationFailed),
                    KafkaError::MessageProduction(Code::PurgeQueue),
                    // The partitions belong to another member, which does the work again.
                    KafkaError::ConsumerCommit(Code::IllegalGeneration),
                    KafkaError::ConsumerCommit(Code::UnknownMemberId),
                    KafkaError::ConsumerCommit(Code::StaleMemberEpoch),
                    KafkaError::AdminOp(Code::InvalidReplicationFactor),
                    KafkaError::Global(Code::Unknown),
                    KafkaError::Subscription("?".to_owned()),
                ],
            ),
            (
                Abortable,
                &[
                    KafkaError::MessageProduction(Code::InvalidProducerEpoch),
                    KafkaError::MessageProduction(Code::OutOfOrderSequenceNumber),
                    KafkaError::MessageProduction(Code::UnknownProducerId),
                ],
            ),
            (
                Fatal,
                &[
                    KafkaError::MessageProduction(Code::Fenced),
                    KafkaError::MessageProduction(Code::ProducerFenced),
                    KafkaError::MessageProduction(Code::Fatal),
                    KafkaError::MessageConsumptionFatal(Code::FencedInstanceId),
                    KafkaError::ConsumerCommit(Code::FencedInstanceId),
                    KafkaError::Canceled,
                ],
            ),
        ] {
            for error in errors {
                assert_eq!(error.kind(), kind, "{error:?}");
            }
        }
    }

    /// S1-15: the library's own errors are what their cause is.
    #[test]
    fn errors_of_the_library_are_what_their_cause_is() {
        let not_delivered = |code| Error::NotDelivered {
            topic: "orders".to_owned(),
            source: KafkaError::MessageProduction(code),
        };
        assert_eq!(not_delivered(Code::QueueFull).kind(), ErrorKind::Transient);
        assert_eq!(not_delivered(Code::Fenced).kind(), ErrorKind::Fatal);
        let size = not_delivered(Code::MessageSizeTooLarge);
        assert_eq!(size.kind(), ErrorKind::Permanent);
        let flush = Error::FlushIncomplete {
            remaining: 3,
            waited: Duration::ZERO,
        };
        assert_eq!(flush.kind(), ErrorKind::Transient);
        let refused = Error::TopicNotCreated {
            topic: "orders".to_owned(),
            code: Code::PolicyViolation,
        };
        assert_eq!(refused.kind(), ErrorKind::Permanent);
        let stopped = Error::SendAllStopped {
            delivered: 2,
            source: Box::new(not_delivered(Code::QueueFull)),
        };
        assert_eq!(stopped.kind(), ErrorKind::Transient);
        // Not even when the last abort was for a reason that passes: it did not pass.
        let given_up = Error::AbortedTooOften {
            transactional_id: "orders".to_owned(),
            times: 5,
            source: Box::new(not_delivered(Code::QueueFull)),
        };
        assert_eq!(given_up.kind(), ErrorKind::Permanent);
        let closed = Error::ProducerClosed {
            topic: "orders".to_owned(),
        };
        assert_eq!(closed.kind(), ErrorKind::Fatal);
        let client = Error::Client {
            client: "producer",
            source: KafkaError::ClientCreation("?".to_owned()),
        };
        assert_eq!(client.kind(), ErrorKind::Permanent);
    }

    /// S1-15: `Errors` of Apache Kafka 4.3.1, each one whose exception is a `RetriableException`.
    #[test]
    fn the_brokers_own_opinion_is_followed() {
        const RETRIABLE: [i32; 27] = [
            2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83,
            84, 88, 89, 100,
        ];
        let mut retriable = Vec::new();
        for number in 1..=129 {
            let Ok(code) = rdkafka::types::RDKafkaRespErr::try_from(number) else {
                continue;
            };
            if is_retriable_by_protocol(code.into()) {
                retriable.push(number);
            }
        }
        assert_eq!(retriable, RETRIABLE);
    }
}
