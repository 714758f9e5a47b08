//! Everything that can go wrong in this library, in one enum. Messages say what was tried and, where a person can do
//! something, what to do; the cause is the error's `source`, so a report that prints the chain says nothing twice.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::assignment::TopicPartition;
use crate::reachability::NoAnswer;
use crate::window::ChangelogError;

/// What went wrong, and with which topic, partition and offset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An environment variable holds something that cannot be used. Nothing was tried with it.
    #[error("{variable} is {value:?}, but {reason}: {remedy}")]
    Setting {
        /// The variable's name.
        variable: String,
        /// Its value as found.
        value: String,
        /// What is wrong with it.
        reason: String,
        /// What to write instead.
        remedy: &'static str,
    },

    /// A program asked for a topic by a key that it never gave a name to.
    #[error("no topic has the key {key:?}; the keys are {known}")]
    UnknownTopicKey {
        /// The key that was asked for.
        key: String,
        /// Those that exist, with commas between them.
        known: String,
    },

    /// Nothing that speaks Kafka answered in time at any of the addresses.
    #[error("no Kafka broker answered at {servers} (waited {:.1} s): {}", .waited.as_secs_f32(), remedy(*is_default))]
    Unreachable {
        /// The addresses that were tried.
        servers: String,
        /// How long.
        waited: Duration,
        /// Whether nobody chose these addresses, which decides what a person can do.
        is_default: bool,
        /// What the client reported last.
        source: Box<NoAnswer>,
    },

    /// A broker is there and turns this client away, or this client does not trust that broker. Trying again with the same
    /// settings changes nothing.
    #[error("no way into the cluster at {servers}: {reason}")]
    NotAdmitted {
        /// The addresses that were tried.
        servers: String,
        /// The client's own words: of certificates, or of a user's name and password.
        reason: String,
    },

    /// librdkafka refused to create a client: a setting has a name or value that it does not know.
    #[error("could not create the {client}")]
    Client {
        /// Which kind of client.
        client: &'static str,
        /// What librdkafka objected to.
        source: KafkaError,
    },

    /// The broker refused to create a topic.
    #[error("could not create topic {topic}: {code}")]
    TopicNotCreated {
        /// The topic's name.
        topic: String,
        /// The broker's reason.
        code: RDKafkaErrorCode,
    },

    /// A topic could not be created or looked at because the request itself failed.
    #[error("could not reach the cluster about topic {topic}")]
    TopicRequest {
        /// The topic's name.
        topic: String,
        /// What the client reported.
        source: KafkaError,
    },

    /// A topic exists, but some partition had no leader in time, so records cannot be written to it yet.
    #[error("topic {topic} has no leader for every partition after {} s", .waited.as_secs_f32())]
    TopicNotReady {
        /// The topic's name.
        topic: String,
        /// How long its leaders were waited for.
        waited: Duration,
    },

    /// A record was not written, or the broker's confirmation did not arrive before the delivery timeout. In the
    /// second case the record may be in the log all the same.
    #[error("a record for topic {topic} was not delivered")]
    NotDelivered {
        /// The topic it was meant for.
        topic: String,
        /// What the delivery report says.
        source: KafkaError,
    },

    /// The producer was closed: what is placed in its queue now might be lost with the process. Nothing was sent.
    #[error("a record for topic {topic} came after the producer was closed")]
    ProducerClosed {
        /// The topic it was meant for.
        topic: String,
    },

    /// One of many events was not delivered, and no further ones were taken. The others had their reports awaited, so
    /// the count is exact; which ones they are is in the log at debug.
    #[error("an event was not delivered, {delivered} others were")]
    SendAllStopped {
        /// How many events have a delivery report that says where they are.
        delivered: usize,
        /// What became of the first one that has not.
        source: Box<Error>,
    },

    /// Records were still on their way when the time for flushing was over. They are lost if the process ends now.
    #[error("{remaining} records were still not delivered after {} s", .waited.as_secs_f32())]
    FlushIncomplete {
        /// How many records have no delivery report yet.
        remaining: usize,
        /// How long was waited.
        waited: Duration,
    },

    /// Records that were sent are not to be seen.
    #[error("{missing} records are not in topic {topic} after {} s", .waited.as_secs_f32())]
    StillMissing {
        /// The topic they were waited for in.
        topic: String,
        /// How many.
        missing: u64,
        /// How long was waited.
        waited: Duration,
    },

    /// Reading failed. The consumer is still usable unless the source says that the error is fatal.
    #[error("could not read the next record")]
    Receive {
        /// What the client reported.
        source: KafkaError,
    },

    /// Joining the group, or telling it which topics to read, failed.
    #[error("could not subscribe to {topics}")]
    Subscribe {
        /// The topics' names, with commas between them.
        topics: String,
        /// What the client reported.
        source: KafkaError,
    },

    /// Offsets were not stored: after a restart the group reads from the last ones that were.
    #[error("could not commit offset {offsets}")]
    Commit {
        /// What was to be stored: `5 of orders-0, 7 of orders-1`. Each is the offset of the next record to read.
        offsets: String,
        /// What the broker or client reported.
        source: KafkaError,
    },

    /// The group has given the partition to another member, which reads the record again: nothing was committed.
    #[error(
        "offset {offset} of {partition} was not committed: the partition belongs to another member now"
    )]
    NotOwned {
        /// The partition: `orders-0`.
        partition: TopicPartition,
        /// The offset that was to be stored.
        offset: i64,
    },

    /// A partition's place could not be read or changed.
    #[error("could not {action} {partitions}")]
    Position {
        /// What was tried.
        action: &'static str,
        /// The partitions: `orders-0, orders-1`.
        partitions: String,
        /// What the client or the broker reported.
        source: KafkaError,
    },

    /// This instance may write no more: another process began with the same transactional id, or a transaction took
    /// longer than its time-out, after which the broker aborts it. What was not committed is not visible, and will not
    /// be. In the first case stop; in the second, begin anew.
    #[error(
        "{transactional_id} was fenced: another process has this transactional id now, or a transaction took too long"
    )]
    Fenced {
        /// The transactional id.
        transactional_id: String,
        /// What the broker said.
        source: KafkaError,
    },

    /// A step of a transaction failed in a way that neither a retry nor an abort heals. If it was the commit, the
    /// committed offsets say after a restart whether it happened.
    #[error("could not {step} as {transactional_id}")]
    Transaction {
        /// What was tried.
        step: &'static str,
        /// The transactional id.
        transactional_id: String,
        /// What the client reported.
        source: KafkaError,
    },

    /// Transactions failed again and again, so what is wrong does not heal by itself. Nothing of them is visible.
    #[error("the transactions of {transactional_id} were aborted {times} times in a row")]
    AbortedTooOften {
        /// The transactional id.
        transactional_id: String,
        /// How many, without a commit in between.
        times: u32,
        /// Why the last one was.
        source: Box<Error>,
    },

    /// A transform could not process a record. It, and all of its transaction, stays unprocessed.
    #[error("could not process the record at offset {offset} of {partition}")]
    Transform {
        /// The record's partition: `orders-0`.
        partition: TopicPartition,
        /// Its offset.
        offset: i64,
        /// What the transform said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A transform could not complete a transaction. Its records stay unprocessed.
    #[error("could not complete a transaction")]
    Complete {
        /// What the transform said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The state of a partition could not be restored, so its records must not be processed.
    #[error("could not restore the state from {partition}")]
    Changelog {
        /// The partition of the changelog.
        partition: TopicPartition,
        /// Why not.
        source: ChangelogError,
    },

    /// The operating system gave no thread.
    #[error("could not start a thread")]
    Thread {
        /// What it reported.
        source: std::io::Error,
    },

    /// An event could not be turned into bytes. Nothing was sent.
    #[error("could not encode an event of type {event_type}")]
    Encode {
        /// The event's type.
        event_type: &'static str,
        /// What serde_json objected to.
        source: serde_json::Error,
    },

    /// A consumer that is closing has not left its group. The group goes on without it when its session times out. The
    /// thread that waits for it stays until the process ends, and does not keep it from ending.
    #[error("the consumer has not left its group after {} s", .waited.as_secs_f32())]
    NotLeft {
        /// How long was waited.
        waited: Duration,
    },

    /// The blocking half of a call (flush or commit) ended in a panic, or its runtime was shut down.
    #[error("a blocking call into the Kafka client did not finish")]
    Interrupted {
        /// What the runtime reported.
        #[from]
        source: tokio::task::JoinError,
    },

    /// The process could not be told to listen for signals.
    #[error("could not listen for Ctrl-C and SIGTERM")]
    Signals {
        /// What the operating system reported.
        source: std::io::Error,
    },
}

fn remedy(is_default: bool) -> &'static str {
    if is_default {
        "start one with `make infra-up`, or set KAFKA_BOOTSTRAP_SERVERS to one that runs"
    } else {
        "KAFKA_BOOTSTRAP_SERVERS names that address; start a broker there, or unset the variable and run `make infra-up`"
    }
}

impl Error {
    /// True when the client that reported this is of no more use and has to be created anew. Anything else that a
    /// consumer reports may pass, because librdkafka reconnects by itself
    /// (<https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md#fatal-consumer-errors>).
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Fenced { .. }
                | Self::Transaction { .. }
                | Self::Receive {
                    source: KafkaError::MessageConsumptionFatal(_)
                }
        )
    }
}
