//! The Kafka APIs, one file each, and the one table that they are registered in.
//!
//! Every file has the same shape: a header that names the API, its key and the versions offered, then a unit struct
//! that implements [`Api`]. What [`APIS`] holds is what ApiVersions answers and what the dispatcher accepts.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod api_versions;
mod config_resource;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
mod fetch;
mod fetch_request;
mod find_coordinator;
mod heartbeat;
#[cfg(test)]
mod hostile;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leader_hint;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod once;
mod placement;
mod produce;
mod produce_request;
mod record_checks;
#[cfg(test)]
mod registry;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;
mod txn_offset_commit;
#[cfg(test)]
mod typical;

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Encodable;
use tokio::sync::{Notify, oneshot};

use crate::clock::Now;
use crate::fault;
use crate::net::wire::{FromWire, encode_answer};
use crate::security::Session;
use crate::state::{Shared, State};

/// One Kafka API.
pub(crate) trait Api: 'static {
    /// Its key in the protocol (<https://kafka.apache.org/protocol#protocol_api_keys>).
    const KEY: ApiKey;
    /// The versions offered to clients.
    const VERSIONS: RangeInclusive<i16>;
    /// What a client sends. Decoded before the state is locked.
    type Request: FromWire + Send + 'static;
    /// What the client gets. Encoded after the state is unlocked.
    type Response: Encodable + Send + 'static;

    /// Does what is asked. Runs with the state locked, so it neither waits nor touches a socket.
    ///
    /// The request is borrowed because [`Outcome::Wait`] has it handled again when something changed.
    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut Self::Request,
    ) -> Outcome<Self::Response>;

    /// Does what takes long and needs no state, after [`Outcome::Work`]. It should begin nothing after `end`: it gets further
    /// turns.
    fn work(_request: &mut Self::Request, _end: Instant) {}
}

/// Who asks, and when.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The moment at which this attempt is handled.
    pub(crate) now: Now,
    /// When the request arrived: long polls count their wait from here.
    pub(crate) arrived: Instant,
    /// The node whose listener the client is connected to.
    pub(crate) node_id: i32,
    /// `client.id`, empty if the client gave none.
    pub(crate) client_id: String,
    /// The client's address as Kafka's tools show it, for example `/127.0.0.1`.
    pub(crate) client_host: String,
    /// The version of the API that the client speaks.
    pub(crate) version: i16,
    /// Set while a further request waits behind this one on its connection: a long poll then answers with what it has.
    pub(crate) hurry: Arc<Hurry>,
    /// What the connection came in by and has proved.
    pub(crate) session: Arc<Session>,
}

/// Tells a parked long poll that its own client is waiting for it to end.
///
/// Apache Kafka keeps the client waiting (up to `fetch.max.wait.ms`); answering early is as legal and makes seeks,
/// lookups and closes on a shared connection immediate.
#[derive(Debug, Default)]
pub(crate) struct Hurry {
    /// Sticky, so that a wake-up between two looks is not lost.
    asked: std::sync::atomic::AtomicBool,
    notify: Notify,
}

impl Hurry {
    /// Asks a parked request to end.
    pub(crate) fn ask(&self) {
        self.asked.store(true, std::sync::atomic::Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether it was asked.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(std::sync::atomic::Ordering::Acquire)
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome<R> {
    /// Answered at once.
    Reply(R),
    /// Answered by the state when others have done their part, for example the other members of a group.
    Later(oneshot::Receiver<R>),
    /// Handled again when `wakeup` is notified, at `deadline`, or when the client hurries.
    Wait {
        /// Notified by what the request waits for.
        wakeup: Arc<Notify>,
        /// When it is handled for the last time.
        deadline: Instant,
    },
    /// Handled again after a turn of [`Api::work`].
    Work,
    /// The protocol has no answer here (Produce with acks=0).
    Silent,
    /// The connection is closed, as Apache Kafka does where no answer can carry the error.
    Close(&'static str),
}

/// A request that could not be served: the connection is closed and this is logged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The bytes are no request of that API and version.
    #[error("cannot decode {api:?} version {version}: {source}")]
    Undecodable {
        api: ApiKey,
        version: i16,
        source: anyhow::Error,
    },
    /// The answer does not fit its version of the protocol: a defect of the broker.
    #[error("cannot encode the answer to {api:?} version {version}: {source}")]
    Unencodable {
        api: ApiKey,
        version: i16,
        source: anyhow::Error,
    },
    /// See [`Outcome::Close`].
    #[error("{0}")]
    Closed(&'static str),
}

/// The future that serves one request: the answer's frame, or nothing where the protocol has no answer.
pub(crate) type Serving = Pin<Box<dyn Future<Output = Result<Option<Bytes>, Refused>> + Send>>;

/// A row of the registration table: an [`Api`] with its types erased.
pub(crate) struct Registration {
    pub(crate) key: ApiKey,
    pub(crate) versions: RangeInclusive<i16>,
    pub(crate) serve: fn(Arc<Shared>, Context, i32, Bytes) -> Serving,
}

impl Registration {
    const fn of<A: Api>() -> Self {
        Self {
            key: A::KEY,
            versions: A::VERSIONS,
            serve: |shared, cx, correlation_id, body| {
                Box::pin(serve::<A>(shared, cx, correlation_id, body))
            },
        }
    }
}

/// Every API that the broker offers, in the order of their keys.
pub(crate) static APIS: &[Registration] = &[
    Registration::of::<produce::Produce>(),
    Registration::of::<fetch::Fetch>(),
    Registration::of::<list_offsets::ListOffsets>(),
    Registration::of::<metadata::Metadata>(),
    Registration::of::<offset_commit::OffsetCommit>(),
    Registration::of::<offset_fetch::OffsetFetch>(),
    Registration::of::<find_coordinator::FindCoordinator>(),
    Registration::of::<join_group::JoinGroup>(),
    Registration::of::<heartbeat::Heartbeat>(),
    Registration::of::<leave_group::LeaveGroup>(),
    Registration::of::<sync_group::SyncGroup>(),
    Registration::of::<describe_groups::DescribeGroups>(),
    Registration::of::<list_groups::ListGroups>(),
    Registration::of::<sasl_handshake::SaslHandshake>(),
    Registration::of::<api_versions::ApiVersions>(),
    Registration::of::<create_topics::CreateTopics>(),
    Registration::of::<delete_topics::DeleteTopics>(),
    Registration::of::<delete_records::DeleteRecords>(),
    Registration::of::<init_producer_id::InitProducerId>(),
    Registration::of::<offset_for_leader_epoch::OffsetForLeaderEpoch>(),
    Registration::of::<add_partitions_to_txn::AddPartitionsToTxn>(),
    Registration::of::<add_offsets_to_txn::AddOffsetsToTxn>(),
    Registration::of::<end_txn::EndTxn>(),
    Registration::of::<txn_offset_commit::TxnOffsetCommit>(),
    Registration::of::<describe_acls::DescribeAcls>(),
    Registration::of::<create_acls::CreateAcls>(),
    Registration::of::<delete_acls::DeleteAcls>(),
    Registration::of::<describe_configs::DescribeConfigs>(),
    Registration::of::<alter_configs::AlterConfigs>(),
    Registration::of::<describe_log_dirs::DescribeLogDirs>(),
    Registration::of::<sasl_authenticate::SaslAuthenticate>(),
    Registration::of::<create_partitions::CreatePartitions>(),
    Registration::of::<delete_groups::DeleteGroups>(),
    Registration::of::<elect_leaders::ElectLeaders>(),
    Registration::of::<incremental_alter_configs::IncrementalAlterConfigs>(),
    Registration::of::<list_partition_reassignments::ListPartitionReassignments>(),
    Registration::of::<offset_delete::OffsetDelete>(),
    Registration::of::<describe_cluster::DescribeCluster>(),
    Registration::of::<describe_producers::DescribeProducers>(),
    Registration::of::<describe_transactions::DescribeTransactions>(),
    Registration::of::<list_transactions::ListTransactions>(),
    Registration::of::<consumer_group_heartbeat::ConsumerGroupHeartbeat>(),
    Registration::of::<consumer_group_describe::ConsumerGroupDescribe>(),
    Registration::of::<list_config_resources::ListConfigResources>(),
    Registration::of::<describe_topic_partitions::DescribeTopicPartitions>(),
];

/// The registration of the API with this key.
pub(crate) fn find(key: i16) -> Option<&'static Registration> {
    APIS.iter().find(|api| api.key as i16 == key)
}

/// Serves one request of `api`, through the faults if any are set.
pub(crate) fn start(
    api: &'static Registration,
    shared: Arc<Shared>,
    cx: Context,
    correlation_id: i32,
    body: Bytes,
) -> Serving {
    match shared.faults.are_set() {
        true => Box::pin(fault::serve(api, shared, cx, correlation_id, body)),
        false => (api.serve)(shared, cx, correlation_id, body),
    }
}

// ANCHOR: serve
/// Decodes, handles and encodes one request; waits where the API waits.
async fn serve<A: Api>(
    shared: Arc<Shared>,
    mut cx: Context,
    correlation_id: i32,
    body: Bytes,
) -> Result<Option<Bytes>, Refused> {
    let version = cx.version;
    let mut request =
        A::Request::from_wire(body, version).map_err(|source| Refused::Undecodable {
            api: A::KEY,
            version,
            source,
        })?;
    let response = loop {
        cx.now = Now::read();
        let outcome = {
            let mut state = shared.state.lock();
            let outcome = A::handle(&mut state, &cx, &mut request);
            state.keep_house(cx.now);
            outcome
        };
        match outcome {
            Outcome::Reply(response) => break response,
            Outcome::Later(answer) => {
                // What was asked may be megabytes, and the others may take minutes.
                drop(request);
                break answer
                    .await
                    .map_err(|_| Refused::Closed("the request was superseded"))?;
            }
            Outcome::Wait { wakeup, deadline } => tokio::select! {
                () = wakeup.notified() => {}
                () = cx.hurry.notify.notified() => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            },
            Outcome::Work => {
                let working = shared.workshop.take_turn(move |end| {
                    A::work(&mut request, end);
                    request
                });
                request = working
                    .await
                    .ok_or(Refused::Closed("the work was not finished"))?;
            }
            Outcome::Silent => return Ok(None),
            Outcome::Close(reason) => return Err(Refused::Closed(reason)),
        }
    };
    encode(A::KEY, version, correlation_id, &response).map(Some)
}
// ANCHOR_END: serve

fn encode(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &impl Encodable,
) -> Result<Bytes, Refused> {
    encode_answer(api, version, correlation_id, response).map_err(|source| Refused::Unencodable {
        api,
        version,
        source,
    })
}

/// The answer to an ApiVersions request of a version that is not offered: version 0, UNSUPPORTED_VERSION and which versions of
/// it there are, so that the client can ask again (KIP-511).
pub(crate) fn unsupported_api_versions(correlation_id: i32) -> Result<Bytes, Refused> {
    let mut response =
        api_versions::response(0).with_error_code(ResponseError::UnsupportedVersion.code());
    response
        .api_keys
        .retain(|api| api.api_key == ApiKey::ApiVersions as i16);
    encode(ApiKey::ApiVersions, 0, correlation_id, &response)
}

/// The code that a field of an answer carries: 0 is success.
pub(crate) fn code<T>(result: &Result<T, ResponseError>) -> i16 {
    match result {
        Ok(_) => 0,
        Err(error) => error.code(),
    }
}
