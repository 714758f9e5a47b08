//! For each API: what its request names, and what its answer looks like when that fails.

mod administration;
mod groups;
mod offset_fetch;
mod records;
#[cfg(test)]
mod tests;
mod topics;
mod transactions;

use bytes::Bytes;
use kafka_protocol::messages::*;

use super::request::{Asked, decode};

/// Decodes a request of any API.
///
/// # Errors
/// If the bytes are no such request, or faults do not know the API.
pub(super) fn examine(api: ApiKey, version: i16, body: &Bytes) -> anyhow::Result<Box<dyn Asked>> {
    match api {
        ApiKey::Produce => decode::<ProduceRequest>(body, version),
        ApiKey::Fetch => decode::<FetchRequest>(body, version),
        ApiKey::ListOffsets => decode::<ListOffsetsRequest>(body, version),
        ApiKey::Metadata => decode::<MetadataRequest>(body, version),
        ApiKey::OffsetCommit => decode::<OffsetCommitRequest>(body, version),
        ApiKey::OffsetFetch => decode::<OffsetFetchRequest>(body, version),
        ApiKey::FindCoordinator => decode::<FindCoordinatorRequest>(body, version),
        ApiKey::JoinGroup => decode::<JoinGroupRequest>(body, version),
        ApiKey::Heartbeat => decode::<HeartbeatRequest>(body, version),
        ApiKey::LeaveGroup => decode::<LeaveGroupRequest>(body, version),
        ApiKey::SyncGroup => decode::<SyncGroupRequest>(body, version),
        ApiKey::DescribeGroups => decode::<DescribeGroupsRequest>(body, version),
        ApiKey::ListGroups => decode::<ListGroupsRequest>(body, version),
        ApiKey::SaslHandshake => decode::<SaslHandshakeRequest>(body, version),
        ApiKey::ApiVersions => decode::<ApiVersionsRequest>(body, version),
        ApiKey::CreateTopics => decode::<CreateTopicsRequest>(body, version),
        ApiKey::DeleteTopics => decode::<DeleteTopicsRequest>(body, version),
        ApiKey::DeleteRecords => decode::<DeleteRecordsRequest>(body, version),
        ApiKey::InitProducerId => decode::<InitProducerIdRequest>(body, version),
        ApiKey::OffsetForLeaderEpoch => decode::<OffsetForLeaderEpochRequest>(body, version),
        ApiKey::AddPartitionsToTxn => decode::<AddPartitionsToTxnRequest>(body, version),
        ApiKey::AddOffsetsToTxn => decode::<AddOffsetsToTxnRequest>(body, version),
        ApiKey::EndTxn => decode::<EndTxnRequest>(body, version),
        ApiKey::TxnOffsetCommit => decode::<TxnOffsetCommitRequest>(body, version),
        ApiKey::DescribeAcls => decode::<DescribeAclsRequest>(body, version),
        ApiKey::CreateAcls => decode::<CreateAclsRequest>(body, version),
        ApiKey::DeleteAcls => decode::<DeleteAclsRequest>(body, version),
        ApiKey::DescribeConfigs => decode::<DescribeConfigsRequest>(body, version),
        ApiKey::AlterConfigs => decode::<AlterConfigsRequest>(body, version),
        ApiKey::DescribeLogDirs => decode::<DescribeLogDirsRequest>(body, version),
        ApiKey::SaslAuthenticate => decode::<SaslAuthenticateRequest>(body, version),
        ApiKey::CreatePartitions => decode::<CreatePartitionsRequest>(body, version),
        ApiKey::DeleteGroups => decode::<DeleteGroupsRequest>(body, version),
        ApiKey::ElectLeaders => decode::<ElectLeadersRequest>(body, version),
        ApiKey::IncrementalAlterConfigs => decode::<IncrementalAlterConfigsRequest>(body, version),
        ApiKey::ListPartitionReassignments => {
            decode::<ListPartitionReassignmentsRequest>(body, version)
        }
        ApiKey::OffsetDelete => decode::<OffsetDeleteRequest>(body, version),
        ApiKey::DescribeCluster => decode::<DescribeClusterRequest>(body, version),
        ApiKey::DescribeProducers => decode::<DescribeProducersRequest>(body, version),
        ApiKey::DescribeTransactions => decode::<DescribeTransactionsRequest>(body, version),
        ApiKey::ListTransactions => decode::<ListTransactionsRequest>(body, version),
        ApiKey::ConsumerGroupHeartbeat => decode::<ConsumerGroupHeartbeatRequest>(body, version),
        ApiKey::ConsumerGroupDescribe => decode::<ConsumerGroupDescribeRequest>(body, version),
        ApiKey::ListConfigResources => decode::<ListConfigResourcesRequest>(body, version),
        ApiKey::DescribeTopicPartitions => decode::<DescribeTopicPartitionsRequest>(body, version),
        _ => anyhow::bail!("faults do not know the answer of {api:?}"),
    }
}

/// APIs whose answer has one error for everything. `$names` gives the group and the transactional id of a request.
macro_rules! fails_as_a_whole {
    ($request:ty, $names:expr) => {
        impl Refuse for $request {
            fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
                let names: fn(&Self) -> (Option<&str>, Option<&str>) = $names;
                let (group, transactional_id) = names(self);
                whole(self, selector, group, transactional_id)
            }

            fn refused(&self, error: ResponseError, _: i16) -> Self::Response {
                Self::Response::default().with_error_code(error.code())
            }
        }
    };
    // The answer has words for it too.
    ($request:ty, $names:expr, with message) => {
        impl Refuse for $request {
            fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
                let names: fn(&Self) -> (Option<&str>, Option<&str>) = $names;
                let (group, transactional_id) = names(self);
                whole(self, selector, group, transactional_id)
            }

            fn refused(&self, error: ResponseError, _: i16) -> Self::Response {
                Self::Response::default()
                    .with_error_code(error.code())
                    .with_error_message(message(error))
            }
        }
    };
}
use fails_as_a_whole;
