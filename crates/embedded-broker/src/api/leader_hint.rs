//! Who leads, told along with the error to a client that asked the wrong node: it goes there without asking for metadata
//! first (KIP-951).

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{
    BrokerId, FetchResponse, ProduceResponse, fetch_response, produce_response,
};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use crate::cluster::Node;
use crate::state::State;

const FIRST_FETCH_WITH_HINT: i16 = 16;
const FIRST_PRODUCE_WITH_HINT: i16 = 10;

/// The leader of a partition and its epoch, while there is one.
fn leader<'a>(state: &'a State, topic: &str, index: i32) -> Option<(&'a Node, i32)> {
    let index = usize::try_from(index).ok()?;
    let partition = state.topics.get(topic)?.partitions.get(index)?;
    let mut nodes = state.cluster.running();
    let node = nodes.find(|node| node.id == partition.leader)?;
    Some((node, partition.leader_epoch))
}

/// Names the leaders of the partitions that a fetch asked the wrong node for, or with an old epoch.
pub(super) fn add_to_fetch(state: &State, cx: &Context, response: &mut FetchResponse) {
    if cx.version < FIRST_FETCH_WITH_HINT {
        return;
    }
    for topic in &mut response.responses {
        let Some(name) = state.topics.name_of(topic.topic_id) else {
            continue;
        };
        for partition in &mut topic.partitions {
            let Some(ResponseError::NotLeaderOrFollower | ResponseError::FencedLeaderEpoch) =
                partition.error_code.err()
            else {
                continue;
            };
            let Some((node, epoch)) = leader(state, name, partition.partition_index) else {
                continue;
            };
            partition.current_leader = fetch_response::LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(node.id))
                .with_leader_epoch(epoch);
            if !response
                .node_endpoints
                .iter()
                .any(|known| known.node_id.0 == node.id)
            {
                let (host, port) = node.endpoint(cx.session.listener);
                let endpoint = fetch_response::NodeEndpoint::default()
                    .with_node_id(BrokerId(node.id))
                    .with_host(StrBytes::from_string(host.to_owned()))
                    .with_port(port);
                response.node_endpoints.push(endpoint);
            }
        }
    }
}

/// Names the leaders of the partitions that were produced to at the wrong node.
pub(super) fn add_to_produce(state: &State, cx: &Context, response: &mut ProduceResponse) {
    if cx.version < FIRST_PRODUCE_WITH_HINT {
        return;
    }
    for topic in &mut response.responses {
        for partition in &mut topic.partition_responses {
            if partition.error_code.err() != Some(ResponseError::NotLeaderOrFollower) {
                continue;
            }
            let Some((node, epoch)) = leader(state, &topic.name, partition.index) else {
                continue;
            };
            partition.current_leader = produce_response::LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(node.id))
                .with_leader_epoch(epoch);
            if !response
                .node_endpoints
                .iter()
                .any(|known| known.node_id.0 == node.id)
            {
                let (host, port) = node.endpoint(cx.session.listener);
                let endpoint = produce_response::NodeEndpoint::default()
                    .with_node_id(BrokerId(node.id))
                    .with_host(StrBytes::from_string(host.to_owned()))
                    .with_port(port);
                response.node_endpoints.push(endpoint);
            }
        }
    }
}
