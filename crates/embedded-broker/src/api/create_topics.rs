//! **CreateTopics**, key 19, versions 2-7.
//!
//! Creates topics, each with a result of its own, in the order of the request. From version 5 on a result tells what the
//! topic is like: partitions, replicas, and each of its configurations with where it comes from (KIP-525).
//! `validate_only` checks and answers as if, and creates nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::placement::{self, MAX_PARTITIONS};
use super::{Api, Context, Outcome};
use crate::config::Overrides;
use crate::config::topic::TopicConfigs;
use crate::refusal::Refusal;
use crate::state::State;

pub(super) struct CreateTopics;

impl Api for CreateTopics {
    const KEY: ApiKey = ApiKey::CreateTopics;
    const VERSIONS: RangeInclusive<i16> = 2..=7;
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut CreateTopicsRequest,
    ) -> Outcome<CreateTopicsResponse> {
        let mut times_named: HashMap<&str, usize> = HashMap::new();
        for topic in &request.topics {
            *times_named.entry(&topic.name).or_default() += 1;
        }
        let is_too_much = partitions_asked_for(state, &request.topics) > MAX_PARTITIONS;
        let mut answered = HashSet::new();
        let results = request
            .topics
            .iter()
            // A name that is given twice is answered once.
            .filter(|topic| answered.insert(&topic.name))
            .map(|topic| {
                let result = CreatableTopicResult::default().with_name(topic.name.clone());
                let created = match times_named.get(&**topic.name) {
                    Some(2..) => Err(Refusal::new(
                        ResponseError::InvalidRequest,
                        "Duplicate topic name.",
                    )),
                    _ if is_too_much => Err(Refusal::new(
                        ResponseError::PolicyViolation,
                        "Excessively large number of partitions per request.",
                    )),
                    _ => create(state, cx, topic, request.validate_only, result.clone()),
                };
                created.unwrap_or_else(|refusal| {
                    result
                        .with_error_code(refusal.code())
                        .with_error_message(refusal.message())
                })
            })
            .collect();
        Outcome::Reply(CreateTopicsResponse::default().with_topics(results))
    }
}

fn partitions_asked_for(state: &State, topics: &[CreatableTopic]) -> usize {
    let count = |topic: &CreatableTopic| match topic.num_partitions {
        -1 if !topic.assignments.is_empty() => topic.assignments.len(),
        -1 => usize::try_from(state.settings.default_partitions).unwrap_or(0),
        count => usize::try_from(count).unwrap_or(0),
    };
    topics.iter().map(count).fold(0, usize::saturating_add)
}

fn create(
    state: &mut State,
    cx: &Context,
    topic: &CreatableTopic,
    validate_only: bool,
    result: CreatableTopicResult,
) -> Result<CreatableTopicResult, Refusal> {
    state
        .topics
        .check_new_name(&topic.name)
        .map_err(|(error, message)| Refusal::new(error, message))?;
    let config = configure(state, topic)?;
    let replicas = if topic.assignments.is_empty() {
        spread(state, topic)?
    } else {
        assigned(state, topic)?
    };
    let partitions = i32::try_from(replicas.len()).unwrap_or(i32::MAX);
    let replication_factor = replicas.first().map_or(1, |replicas| {
        i16::try_from(replicas.len()).unwrap_or(i16::MAX)
    });
    state
        .topics
        .check_room(replicas.len())
        .map_err(|(error, message)| Refusal::new(error, message))?;
    let described = describe(state, cx, topic, &config);
    let id = match validate_only {
        true => Uuid::new_v4(),
        false => state.topics.create(&topic.name, replicas, config).id,
    };
    Ok(result
        .with_error_message(None)
        .with_topic_id(id)
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
        .with_configs(Some(described)))
}

/// The topic's configuration, from what the request sets.
fn configure(state: &State, topic: &CreatableTopic) -> Result<TopicConfigs, Refusal> {
    let invalid = |message| Refusal::new(ResponseError::InvalidConfig, message);
    let without_value: Vec<&str> = topic
        .configs
        .iter()
        .filter(|config| config.value.is_none())
        .map(|config| &*config.name)
        .collect();
    if !without_value.is_empty() {
        return Err(invalid(format!(
            "Null value not supported for topic configs: {}",
            without_value.join(",")
        )));
    }
    let given: Overrides = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect();
    state
        .configs
        .topic(given)
        .map_err(|refused| invalid(refused.to_string()))
}

/// All configurations of the new topic; those that the request sets as it wrote them.
fn describe(
    state: &State,
    cx: &Context,
    topic: &CreatableTopic,
    config: &TopicConfigs,
) -> Vec<CreatableTopicConfigs> {
    let given = |name: &str| {
        let config = topic.configs.iter().find(|config| *config.name == *name);
        config.and_then(|config| config.value.clone())
    };
    state
        .configs
        .describe_topic(config, cx.node_id)
        .into_iter()
        .map(|described| {
            let value = given(&described.name);
            CreatableTopicConfigs::default()
                .with_name(StrBytes::from_string(described.name))
                .with_value(value.or_else(|| described.value.map(StrBytes::from_string)))
                .with_read_only(described.read_only)
                .with_config_source(described.source as i8)
        })
        .collect()
}

/// Replicas as the broker spreads them. -1 asks for the default (KIP-464).
fn spread(state: &State, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    let partitions = match topic.num_partitions {
        -1 => state.settings.default_partitions,
        count => count,
    };
    let partitions = match usize::try_from(partitions) {
        Ok(count) if count > 0 => count,
        _ => {
            return Err(Refusal::new(
                ResponseError::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
    };
    let replication_factor = replication_factor(state, topic.replication_factor)?;
    Ok((0..partitions)
        .map(|index| state.cluster.replicas(index, replication_factor))
        .collect())
}

fn replication_factor(state: &State, asked: i16) -> Result<usize, Refusal> {
    let nodes = state.cluster.nodes.len();
    let message = match usize::try_from(asked) {
        _ if asked == -1 => return Ok(1),
        Ok(factor) if factor >= 1 && (factor <= nodes || state.settings.lenient_replication) => {
            return Ok(factor);
        }
        Ok(factor) if factor >= 1 => format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot \
             be reached because only {nodes} broker(s) are registered or some brokers have all their log directories \
             cordoned."
        ),
        _ => "Replication factor must be larger than 0, or -1 to use the default value.".to_owned(),
    };
    Err(Refusal::new(
        ResponseError::InvalidReplicationFactor,
        message,
    ))
}

/// Replicas as the request lists them.
fn assigned(state: &State, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let message = "A manual partition assignment was specified, but numPartitions or replicationFactor was not set to -1.";
        return Err(Refusal::new(ResponseError::InvalidRequest, message));
    }
    let invalid = |message| Refusal::new(ResponseError::InvalidReplicaAssignment, message);
    let mut by_index: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for assignment in &topic.assignments {
        let index = assignment.partition_index;
        let replicas: Vec<i32> = assignment.broker_ids.iter().map(|id| id.0).collect();
        let factor = by_index
            .values()
            .next()
            .map_or(replicas.len(), |first| first.len());
        placement::check(&state.cluster, &replicas, factor)?;
        if by_index.insert(index, replicas).is_some() {
            return Err(invalid(format!(
                "Found multiple manual partition assignments for partition {index}"
            )));
        }
    }
    if by_index
        .keys()
        .copied()
        .ne(0..i32::try_from(by_index.len()).unwrap_or(i32::MAX))
    {
        return Err(invalid(
            "partitions should be a consecutive 0-based integer sequence".to_owned(),
        ));
    }
    for (index, replicas) in &by_index {
        placement::check_running(&state.cluster, *index, replicas)?;
    }
    Ok(by_index.into_values().collect())
}
