//! One typical request of every API, with every field set and every array filled: what hostile requests are made from.
//!
//! A request is described once, step by step, for all versions of its API: a version takes the steps that it can express.
//! Nothing here knows the broker.

mod administration;
mod configuration;
mod groups;
mod records;
mod transactions;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, GroupId, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use uuid::Uuid;

/// A topic that should exist and have records, for the requests to find something.
pub(crate) const TOPIC: &str = "typical";
/// A topic that should not exist.
pub(crate) const ABSENT: &str = "absent";
pub(crate) const GROUP: &str = "typical-group";
/// A group that consumers of the new protocol join.
pub(crate) const CONSUMER_GROUP: &str = "typical-consumer-group";
pub(crate) const MEMBER: &str = "typical-member";
pub(crate) const INSTANCE: &str = "typical-instance";
pub(crate) const TRANSACTIONAL_ID: &str = "typical-transaction";
pub(crate) const CORRELATION_ID: i32 = 7;

/// A request, and how its answer is read.
pub(crate) struct Typical {
    /// Without its header.
    pub(crate) body: Bytes,
    /// Whether each step of the description was taken.
    pub(crate) taken: Vec<bool>,
    version: i16,
    read: fn(Bytes, i16) -> anyhow::Result<String>,
}

impl Typical {
    /// Reads an answer as a client does, which has to understand every byte of it. `frame` is without its length.
    pub(crate) fn read_answer(&self, frame: Bytes) -> anyhow::Result<String> {
        (self.read)(frame, self.version)
    }
}

/// The typical request of this API in this version; nothing if there is none yet. `topic_id` is the id of [`TOPIC`].
pub(crate) fn request(api: ApiKey, version: i16, topic_id: Uuid) -> Option<Typical> {
    Some(match api {
        ApiKey::Produce => records::produce(version),
        ApiKey::Fetch => records::fetch(version, topic_id),
        ApiKey::ListOffsets => records::list_offsets(version),
        ApiKey::Metadata => administration::metadata(version, topic_id),
        ApiKey::OffsetCommit => groups::offset_commit(version),
        ApiKey::OffsetFetch => groups::offset_fetch(version),
        ApiKey::FindCoordinator => groups::find_coordinator(version),
        ApiKey::JoinGroup => groups::join_group(version),
        ApiKey::Heartbeat => groups::heartbeat(version),
        ApiKey::LeaveGroup => groups::leave_group(version),
        ApiKey::SyncGroup => groups::sync_group(version),
        ApiKey::DescribeGroups => groups::describe_groups(version),
        ApiKey::ListGroups => groups::list_groups(version),
        ApiKey::ApiVersions => administration::api_versions(version),
        ApiKey::CreateTopics => administration::create_topics(version),
        ApiKey::DeleteTopics => administration::delete_topics(version, topic_id),
        ApiKey::DeleteRecords => records::delete_records(version),
        ApiKey::InitProducerId => transactions::init_producer_id(version),
        ApiKey::OffsetForLeaderEpoch => records::offset_for_leader_epoch(version),
        ApiKey::AddPartitionsToTxn => transactions::add_partitions_to_txn(version),
        ApiKey::AddOffsetsToTxn => transactions::add_offsets_to_txn(version),
        ApiKey::EndTxn => transactions::end_txn(version),
        ApiKey::TxnOffsetCommit => transactions::txn_offset_commit(version),
        ApiKey::DescribeAcls => configuration::describe_acls(version),
        ApiKey::CreateAcls => configuration::create_acls(version),
        ApiKey::DeleteAcls => configuration::delete_acls(version),
        ApiKey::DescribeConfigs => configuration::describe_configs(version),
        ApiKey::AlterConfigs => configuration::alter_configs(version),
        ApiKey::DescribeLogDirs => administration::describe_log_dirs(version),
        ApiKey::SaslHandshake => administration::sasl_handshake(version),
        ApiKey::SaslAuthenticate => administration::sasl_authenticate(version),
        ApiKey::CreatePartitions => administration::create_partitions(version),
        ApiKey::DeleteGroups => groups::delete_groups(version),
        ApiKey::ElectLeaders => administration::elect_leaders(version),
        ApiKey::IncrementalAlterConfigs => configuration::incremental_alter_configs(version),
        ApiKey::ListPartitionReassignments => administration::list_partition_reassignments(version),
        ApiKey::OffsetDelete => groups::offset_delete(version),
        ApiKey::DescribeCluster => administration::describe_cluster(version),
        ApiKey::DescribeProducers => transactions::describe_producers(version),
        ApiKey::DescribeTransactions => transactions::describe_transactions(version),
        ApiKey::ListTransactions => transactions::list_transactions(version),
        ApiKey::ConsumerGroupHeartbeat => groups::consumer_group_heartbeat(version, topic_id),
        ApiKey::ConsumerGroupDescribe => groups::consumer_group_describe(version),
        ApiKey::ListConfigResources => configuration::list_config_resources(version),
        ApiKey::DescribeTopicPartitions => administration::describe_topic_partitions(version),
        _ => return None,
    })
}

/// Takes the steps one after the other, except those that the version cannot express.
fn filled<R>(version: i16, steps: &[&dyn Fn(&mut R)]) -> Typical
where
    R: Request + Clone + Default,
    R::Response: std::fmt::Debug,
{
    let mut request = R::default();
    let mut taken = Vec::new();
    for step in steps {
        let mut fuller = request.clone();
        step(&mut fuller);
        // Before the first step that a version insists on, nothing can be encoded.
        let works = encoded(&fuller, version).is_ok() || encoded(&request, version).is_err();
        taken.push(works);
        if works {
            request = fuller;
        }
    }
    Typical {
        body: encoded(&request, version)
            .unwrap_or_else(|error| panic!("key {} version {version}: {error}", R::KEY)),
        taken,
        version,
        read: read::<R>,
    }
}

fn encoded(request: &impl Encodable, version: i16) -> anyhow::Result<Bytes> {
    let mut body = BytesMut::new();
    request.encode(&mut body, version)?;
    Ok(body.freeze())
}

fn read<R: Request<Response: std::fmt::Debug>>(
    mut frame: Bytes,
    version: i16,
) -> anyhow::Result<String> {
    let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version))?;
    anyhow::ensure!(
        header.correlation_id == CORRELATION_ID,
        "the answer to {}",
        header.correlation_id
    );
    let answer = R::Response::decode(&mut frame, version)?;
    anyhow::ensure!(!frame.has_remaining(), "bytes follow {answer:?}");
    Ok(format!("{answer:?}"))
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn some(value: &'static str) -> Option<StrBytes> {
    Some(text(value))
}

fn topic(name: &'static str) -> TopicName {
    TopicName(text(name))
}

fn group(id: &'static str) -> GroupId {
    GroupId(text(id))
}

/// The topic that exists and the one that does not.
fn both<T>(make: impl Fn(TopicName) -> T) -> Vec<T> {
    vec![make(topic(TOPIC)), make(topic(ABSENT))]
}
