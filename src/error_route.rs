//! Which of the errors that a consumer reports are to be passed over, told, or raised (row S2-09).
//!
//! librdkafka hands everything through the same door: that a partition was read to its end, that a topic does not exist
//! yet, and that the client is finished. A loop that stops at each of them never starts, and one that passes over all of
//! them never ends.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What a consumer's loop does with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// No error at all. Go on.
    Ignore,
    /// Say it once, in these words, and go on: the client tries again by itself.
    Warn(&'static str),
    /// Hand it to the caller, who asks [its kind](crate::error_kind::Classify).
    Raise,
}

/// Whether a consumer is still on its way into the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has subscribed and was never assigned anything.
    Starting,
    /// It was assigned its partitions at least once.
    Running,
}

/// Decides about one error.
///
/// ```
/// use kafka_event_streaming::error_route::{Phase, Route, route};
/// use rdkafka::error::KafkaError;
///
/// assert_eq!(route(&KafkaError::PartitionEOF(0), Phase::Running), Route::Ignore);
/// ```
pub fn route(error: &KafkaError, phase: Phase) -> Route {
    use RDKafkaErrorCode as Code;
    if matches!(error, KafkaError::PartitionEOF(_)) {
        return Route::Ignore;
    }
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Route::Raise;
    }
    match (error.rdkafka_error_code(), phase) {
        // Services start in any order, so the one that reads may be first. A topic that disappears later was deleted,
        // and then somebody should know.
        (
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition),
            Phase::Starting,
        ) => Route::Warn("the topic does not exist yet, and is looked for again"),
        // During a change of the assignor, old and new members are there together. Joining is tried again until the
        // last old one is gone.
        (Some(Code::InconsistentGroupProtocol), _) => Route::Warn(
            "the group's other members divide partitions in another way; joining is tried again",
        ),
        _ => Route::Raise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S2-09: the end is passed over, two are told, and all others are raised.
    #[test]
    fn errors_are_routed_by_what_they_mean() {
        use RDKafkaErrorCode as Code;
        let consumed = KafkaError::MessageConsumption;
        for phase in [Phase::Starting, Phase::Running] {
            assert_eq!(route(&KafkaError::PartitionEOF(3), phase), Route::Ignore);
            let other = route(&consumed(Code::InconsistentGroupProtocol), phase);
            assert!(matches!(other, Route::Warn(_)), "{other:?}");
            for code in [
                Code::AllBrokersDown,
                Code::GroupAuthorizationFailed,
                Code::TopicAuthorizationFailed,
                Code::OffsetOutOfRange,
                Code::PollExceeded,
                Code::Unknown,
            ] {
                assert_eq!(route(&consumed(code), phase), Route::Raise, "{code:?}");
            }
            let fatal = KafkaError::MessageConsumptionFatal(Code::InconsistentGroupProtocol);
            assert_eq!(route(&fatal, phase), Route::Raise);
        }
        for code in [Code::UnknownTopicOrPartition, Code::UnknownTopic] {
            let starting = route(&consumed(code), Phase::Starting);
            assert!(matches!(starting, Route::Warn(_)), "{code:?}: {starting:?}");
            assert_eq!(route(&consumed(code), Phase::Running), Route::Raise);
        }
    }
}
