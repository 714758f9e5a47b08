//! Why a broker could not start, or could not do what its handle was asked.

use std::io;
use std::path::PathBuf;

/// Why [`Builder::start`](crate::Builder::start) failed. Each message names the value and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listen address is not `HOST:PORT`, or its host is unknown.
    #[error("cannot listen on `{address}`: {reason}; give HOST:PORT, for example 127.0.0.1:9092")]
    BadAddress {
        /// The address as it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process already listens there.
    #[error(
        "cannot listen on `{address}`: the port is taken; stop the process that uses it or choose another port"
    )]
    PortTaken {
        /// The address as it was given.
        address: String,
    },
    /// The operating system refused for another reason.
    #[error("cannot listen on `{address}`: {source}")]
    Bind {
        /// The address as it was given.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A setting is outside its bounds.
    #[error("`{setting}` cannot be {value}: {reason}")]
    BadSetting {
        /// The setting's name, as the command line spells it.
        setting: &'static str,
        /// The value as it was given.
        value: String,
        /// The bound that it breaks.
        reason: &'static str,
    },
    /// The program was built without what the setting needs.
    #[error(
        "`{setting}` needs the cargo feature `{feature}`: build embedded-broker with `--features {feature}`"
    )]
    FeatureMissing {
        /// The setting's name, as the command line spells it.
        setting: &'static str,
        /// The feature's name.
        feature: &'static str,
    },
    /// A listener with TLS was asked for, but not with what certificate.
    #[error(
        "`tls-listen` needs `tls-dir`, the folder that `embedded-broker certs --dir DIR` has written"
    )]
    NoCertificates,
    /// A certificate or key cannot be used.
    #[error(
        "cannot use `{}`: {reason}; `embedded-broker certs --dir DIR` writes what is needed", path.display()
    )]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The users are no users.
    #[error(transparent)]
    SaslUsers(#[from] crate::SaslUsersError),
    /// The broker's thread or runtime could not be made.
    #[error("cannot start the broker's thread: {0}")]
    Thread(#[source] io::Error),
}

/// Why a method of [`Broker`](crate::Broker) did nothing. Each message names what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nodes are counted from 0.
    #[error("there is no node {node_id}")]
    UnknownNode {
        /// The id that was given.
        node_id: i32,
    },
    /// A stopped node neither leads nor coordinates.
    #[error("node {node_id} is stopped; start it first")]
    NodeStopped {
        /// The id that was given.
        node_id: i32,
    },
    /// A topic exists once it was created, or a producer asked for it.
    #[error("there is no partition {partition} of a topic `{topic}`")]
    UnknownPartition {
        /// The topic's name as it was given.
        topic: String,
        /// The partition's index as it was given.
        partition: i32,
    },
    /// A group exists once a member joined it or an offset was committed.
    #[error("there is no group `{group}`")]
    UnknownGroup {
        /// The group's id as it was given.
        group: String,
    },
    /// Nobody in the group has this member id, `group.instance.id` or `client.id`.
    #[error("the group `{group}` has no member `{member}`")]
    UnknownMember {
        /// The group's id as it was given.
        group: String,
        /// The member as it was given.
        member: String,
    },
    /// Nobody has begun a transaction under this `transactional.id`, or it has ended.
    #[error("no transaction is open under the transactional id `{transactional_id}`")]
    NoOpenTransaction {
        /// The `transactional.id` as it was given.
        transactional_id: String,
    },
    /// The batch is not what its header says, or too large when it is decompressed.
    #[error(
        "the records of `{topic}` partition {partition} cannot be read from offset {base_offset} on"
    )]
    UnreadableBatch {
        /// The topic's name.
        topic: String,
        /// The partition's index.
        partition: i32,
        /// Where the batch begins.
        base_offset: i64,
    },
    /// A listener could not be brought back.
    #[error("cannot listen: {0}")]
    Listener(#[source] io::Error),
}
