//! **CreateTopics**, key 19, versions 2-7.
//!
//! Creates topics, each with a result of its own, in the order of the request; a name that is given twice has one, a refusal.
//! `validate_only` checks and creates nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Api, Context, Outcome};
use crate::state::State;

/// More partitions than this are refused: each takes memory, and a single process is for learning.
const MAX_PARTITIONS: i32 = 10_000;

pub(super) struct CreateTopics;

impl Api for CreateTopics {
    const KEY: ApiKey = ApiKey::CreateTopics;
    const VERSIONS: RangeInclusive<i16> = 2..=7;
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;

    fn handle(
        state: &mut State,
        _: &Context,
        request: &mut CreateTopicsRequest,
    ) -> Outcome<CreateTopicsResponse> {
        let mut times_named: HashMap<&str, usize> = HashMap::new();
        for topic in &request.topics {
            *times_named.entry(&topic.name).or_default() += 1;
        }
        let mut answered = HashSet::new();
        let results = request
            .topics
            .iter()
            .filter(|topic| answered.insert(&topic.name))
            .map(|topic| match times_named.get(&**topic.name) {
                Some(1) => create(state, topic, request.validate_only)
                    .unwrap_or_else(|error| refused(topic, error)),
                _ => refused(
                    topic,
                    Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name."),
                ),
            })
            .collect();
        Outcome::Reply(CreateTopicsResponse::default().with_topics(results))
    }
}

/// Why a topic was not created.
struct Refusal {
    error: ResponseError,
    message: String,
}

impl Refusal {
    fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self {
            error,
            message: message.into(),
        }
    }
}

fn refused(topic: &CreatableTopic, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(topic.name.clone())
        .with_error_code(refusal.error.code())
        .with_error_message(Some(StrBytes::from_string(refusal.message)))
}

fn create(
    state: &mut State,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, Refusal> {
    state
        .topics
        .check_new_name(&topic.name)
        .map_err(|(error, message)| Refusal::new(error, message))?;
    let replicas = if topic.assignments.is_empty() {
        spread(state, topic)?
    } else {
        assigned(state, topic)?
    };
    if let Some(unset) = topic.configs.iter().find(|config| config.value.is_none()) {
        let message = format!(
            "Null value not supported for topic configs: {}",
            &*unset.name
        );
        return Err(Refusal::new(ResponseError::InvalidConfig, message));
    }
    let overrides = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect();
    let config = state
        .configs
        .topic(overrides)
        .map_err(|invalid| Refusal::new(ResponseError::InvalidConfig, invalid.to_string()))?;
    let partitions = i32::try_from(replicas.len()).unwrap_or(i32::MAX);
    let replication_factor = replicas.first().map_or(1, |replicas| {
        i16::try_from(replicas.len()).unwrap_or(i16::MAX)
    });
    let id = if validate_only {
        Uuid::nil()
    } else {
        state.topics.create(&topic.name, replicas, config).id
    };
    Ok(CreatableTopicResult::default()
        .with_name(topic.name.clone())
        .with_topic_id(id)
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
        .with_configs(Some(Vec::new())))
}

/// Replicas as the broker spreads them. -1 asks for the default (KIP-464).
fn spread(state: &State, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    let partitions = match topic.num_partitions {
        -1 => state.settings.default_partitions,
        count if (1..=MAX_PARTITIONS).contains(&count) => count,
        count if count > MAX_PARTITIONS => {
            let message = format!(
                "{count} partitions are more than the {MAX_PARTITIONS} that the embedded broker keeps."
            );
            return Err(Refusal::new(ResponseError::InvalidPartitions, message));
        }
        _ => {
            return Err(Refusal::new(
                ResponseError::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
    };
    let nodes = state.cluster.nodes.len();
    let replication_factor = match topic.replication_factor {
        -1 => 1,
        factor => match usize::try_from(factor) {
            Ok(factor)
                if factor >= 1 && (factor <= nodes || state.settings.lenient_replication) =>
            {
                factor
            }
            Ok(factor) if factor >= 1 => {
                let message = format!(
                    "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot \
                     be reached because only {nodes} broker(s) are registered."
                );
                return Err(Refusal::new(
                    ResponseError::InvalidReplicationFactor,
                    message,
                ));
            }
            _ => {
                return Err(Refusal::new(
                    ResponseError::InvalidReplicationFactor,
                    "Replication factor must be larger than 0, or -1 to use the default value.",
                ));
            }
        },
    };
    let partitions = usize::try_from(partitions).unwrap_or(1);
    Ok((0..partitions)
        .map(|index| state.cluster.replicas(index, replication_factor))
        .collect())
}

/// Replicas as the request lists them.
fn assigned(state: &State, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    let invalid = |message: String| Refusal::new(ResponseError::InvalidReplicaAssignment, message);
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let message = "A manual partition assignment was specified, but numPartitions or replicationFactor was not set to -1.";
        return Err(Refusal::new(ResponseError::InvalidRequest, message));
    }
    let mut by_index: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for assignment in &topic.assignments {
        let replicas: Vec<i32> = assignment.broker_ids.iter().map(|id| id.0).collect();
        let known = |id: &i32| state.cluster.nodes.iter().any(|node| node.id == *id);
        if let Some(unknown) = replicas.iter().find(|id| !known(id)) {
            return Err(invalid(format!(
                "The manual partition assignment includes broker {unknown}, but no such broker is registered."
            )));
        }
        if replicas.is_empty() {
            return Err(invalid(
                "The manual partition assignment includes an empty replica list.".to_owned(),
            ));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = replicas.iter().find(|id| !seen.insert(**id)) {
            return Err(invalid(format!(
                "The manual partition assignment includes the broker {twice} more than once."
            )));
        }
        if by_index
            .insert(assignment.partition_index, replicas)
            .is_some()
        {
            let index = assignment.partition_index;
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
    Ok(by_index.into_values().collect())
}
