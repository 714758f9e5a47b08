//! **Metadata**, key 3, versions 0-13.
//!
//! Tells a client which nodes there are, which topics, and who leads each partition; creates a topic that a producer asks
//! for by name (`auto.create.topics.enable`). Topics and partitions are sorted, so that two answers can be compared.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{ApiKey, BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::once::each_once;
use super::{Api, Context, Outcome, code};
use crate::cluster::{Cluster, Node};
use crate::config::Overrides;
use crate::security::ListenerKind;
use crate::state::State;
use crate::topic::{NO_LEADER, Partition, Topic};

/// `authorized_operations` when nobody asked for them.
pub(super) const NOT_ASKED: i32 = i32::MIN;
/// Read, write, create, delete, alter, describe, describe configs, alter configs: a bit each, by the operation's code
/// (`org.apache.kafka.common.acl.AclOperation`). Without an authorizer everybody may do everything.
pub(super) const ALL_TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// Create, cluster action, describe configs, alter configs, idempotent write, alter, describe.
pub(super) const ALL_CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

pub(super) struct Metadata;

impl Api for Metadata {
    const KEY: ApiKey = ApiKey::Metadata;
    const VERSIONS: RangeInclusive<i16> = 0..=13;
    type Request = MetadataRequest;
    type Response = MetadataResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut MetadataRequest,
    ) -> Outcome<MetadataResponse> {
        let topics = match &request.topics {
            None => all_topics(state),
            // Before version 1 there was no null list: an empty one asked for everything.
            Some(topics) if topics.is_empty() && cx.version == 0 => all_topics(state),
            Some(topics) => {
                let may_create = state.settings.auto_create_topics
                    && (cx.version < 4 || request.allow_auto_topic_creation);
                named(topics)
                    .map(|topic| one_topic(state, topic, may_create))
                    .collect()
            }
        };
        let topics = topics
            .into_iter()
            .map(|topic| {
                let asked = request.include_topic_authorized_operations && topic.error_code == 0;
                topic.with_topic_authorized_operations(if asked {
                    ALL_TOPIC_OPERATIONS
                } else {
                    NOT_ASKED
                })
            })
            .collect();
        let asked = request.include_cluster_authorized_operations;
        let response = MetadataResponse::default()
            .with_brokers(brokers(state, cx.session.listener))
            .with_cluster_id(Some(StrBytes::from_string(state.cluster.id.clone())))
            .with_controller_id(BrokerId(controller(state)))
            .with_topics(topics)
            .with_cluster_authorized_operations(if asked {
                ALL_CLUSTER_OPERATIONS
            } else {
                NOT_ASKED
            });
        Outcome::Reply(response)
    }
}

/// A client is told the addresses of the kind of listener that it came in by.
fn brokers(state: &State, kind: ListenerKind) -> Vec<MetadataResponseBroker> {
    let broker = |node: &Node| {
        let (host, port) = node.endpoint(kind);
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(node.id))
            .with_host(StrBytes::from_string(host.to_owned()))
            .with_port(port)
    };
    state.cluster.running().map(broker).collect()
}

/// With KRaft any running node answers for the controller: the first one here. -1 if there is none.
pub(super) fn controller(state: &State) -> i32 {
    state.cluster.running().next().map_or(-1, |node| node.id)
}

fn all_topics(state: &State) -> Vec<MetadataResponseTopic> {
    state
        .topics
        .iter()
        .map(|(name, topic)| found(name, topic, &state.cluster))
        .collect()
}

/// The topics that a request names, each once; where one has an id, names do not count.
fn named(topics: &[MetadataRequestTopic]) -> impl Iterator<Item = &MetadataRequestTopic> {
    let by_id = topics.iter().any(|topic| !topic.topic_id.is_nil());
    each_once(topics, move |topic| {
        let name = topic.name.as_ref().filter(|_| !by_id);
        (topic.topic_id, name)
    })
    .filter(move |topic| !by_id || !topic.topic_id.is_nil())
}

/// Answers for one topic that was asked for, by name or (from version 10 on) by id.
fn one_topic(
    state: &mut State,
    asked: &MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    let name = asked.name.as_ref().filter(|_| asked.topic_id.is_nil());
    let Some(name) = name else {
        return match state
            .topics
            .name_of(asked.topic_id)
            .and_then(|name| Some((name, state.topics.get(name)?)))
        {
            Some((name, topic)) => found(name, topic, &state.cluster),
            None => MetadataResponseTopic::default()
                .with_error_code(ResponseError::UnknownTopicId.code())
                .with_topic_id(asked.topic_id)
                .with_name(None),
        };
    };
    let missing = match state.topics.get(name) {
        Some(_) => Ok(()),
        None => create(state, name, may_create),
    };
    match (missing, state.topics.get(name)) {
        (Ok(()), Some(topic)) => found(name, topic, &state.cluster),
        (missing, _) => MetadataResponseTopic::default()
            .with_error_code(code(&missing))
            .with_name(Some(name.clone())),
    }
}

/// Creates a topic because it was asked for, if that is allowed.
fn create(state: &mut State, name: &str, is_allowed: bool) -> Result<(), ResponseError> {
    let topics = &mut state.topics;
    topics.check_new_name(name).map_err(|(error, _)| error)?;
    if !is_allowed {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let partitions = state.settings.default_partitions;
    topics
        .check_room(usize::try_from(partitions).unwrap_or(0))
        .map_err(|(error, _)| error)?;
    let config = state.configs.topic(Overrides::default());
    let config = config.map_err(|_| ResponseError::InvalidConfig)?;
    topics.create_default(name, partitions, &state.cluster, config);
    Ok(())
}

fn found(name: &str, topic: &Topic, cluster: &Cluster) -> MetadataResponseTopic {
    let partitions = (0..)
        .zip(&topic.partitions)
        .map(|(index, found)| partition(index, found, cluster));
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}

fn partition(index: i32, partition: &Partition, cluster: &Cluster) -> MetadataResponsePartition {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    let replicas = partition.replicas.iter().copied();
    let offline: Vec<i32> = replicas.filter(|id| !cluster.is_running(*id)).collect();
    let led = match partition.leader {
        NO_LEADER => Err(ResponseError::LeaderNotAvailable),
        _ => Ok(()),
    };
    MetadataResponsePartition::default()
        .with_error_code(code(&led))
        .with_partition_index(index)
        .with_leader_id(BrokerId(partition.leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_isr_nodes(ids(&partition.in_sync))
        .with_replica_nodes(ids(&partition.replicas))
        .with_offline_replicas(ids(&offline))
}
