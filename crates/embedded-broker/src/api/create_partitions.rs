//! **CreatePartitions**, key 37, versions 0-3.
//!
//! Gives topics more partitions; there is no way to take some away. Records of a key may go to another partition from then
//! on. New partitions have as many replicas as the first one, where the request says or spread as for a new topic.
//! Each topic has a result of its own; `validate_only` checks and changes nothing.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{ApiKey, CreatePartitionsRequest, CreatePartitionsResponse};

use super::placement::{self, MAX_PARTITIONS};
use super::{Api, Context, Outcome};
use crate::refusal::Refusal;
use crate::state::State;

pub(super) struct CreatePartitions;

impl Api for CreatePartitions {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    type Request = CreatePartitionsRequest;
    type Response = CreatePartitionsResponse;

    fn handle(
        state: &mut State,
        _: &Context,
        request: &mut CreatePartitionsRequest,
    ) -> Outcome<CreatePartitionsResponse> {
        let mut times_named: HashMap<&str, usize> = HashMap::new();
        for topic in &request.topics {
            *times_named.entry(&topic.name).or_default() += 1;
        }
        let mut answered = HashSet::new();
        let results = request
            .topics
            .iter()
            // A name that is given twice is answered once.
            .filter(|topic| answered.insert(&topic.name))
            .map(|topic| {
                let created = match times_named.get(&**topic.name) {
                    Some(2..) => Err(Refusal::new(
                        ResponseError::InvalidRequest,
                        "Duplicate topic name.",
                    )),
                    _ => create(state, topic, request.validate_only),
                };
                let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
                match created {
                    Ok(()) => result,
                    Err(refusal) => result
                        .with_error_code(refusal.code())
                        .with_error_message(refusal.message()),
                }
            })
            .collect();
        Outcome::Reply(CreatePartitionsResponse::default().with_results(results))
    }
}

fn create(
    state: &mut State,
    topic: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refusal> {
    let name = &**topic.name;
    let partitions = match state.topics.get(name) {
        Some(found) => &found.partitions,
        None => return Err(ResponseError::UnknownTopicOrPartition.into()),
    };
    let current = partitions.len();
    let invalid = |message| Err(Refusal::new(ResponseError::InvalidPartitions, message));
    let count = match usize::try_from(topic.count) {
        Ok(count) if count == current => {
            return invalid(format!("Topic already has {current} partition(s)."));
        }
        Ok(count) if count > current => count,
        _ => {
            return invalid(format!(
                "The topic {name} currently has {current} partition(s); {} would not be an increase.",
                topic.count
            ));
        }
    };
    if count > MAX_PARTITIONS {
        let message =
            format!("The embedded broker keeps at most {MAX_PARTITIONS} partitions of a topic.");
        return Err(Refusal::new(ResponseError::PolicyViolation, message));
    }
    let replication_factor = partitions.first().map_or(1, |first| first.replicas.len());
    let replicas: Vec<Vec<i32>> = match &topic.assignments {
        None => (current..count)
            .map(|index| state.cluster.replicas(index, replication_factor))
            .collect(),
        Some(assignments) if assignments.len() == count - current => assignments
            .iter()
            .map(|assignment| assignment.broker_ids.iter().map(|id| id.0).collect())
            .collect(),
        Some(assignments) => {
            let message = format!(
                "Attempted to add {} additional partition(s), but only {} assignment(s) were specified.",
                count - current,
                assignments.len()
            );
            return Err(Refusal::new(
                ResponseError::InvalidReplicaAssignment,
                message,
            ));
        }
    };
    if topic.assignments.is_some() {
        for (index, replicas) in (0..).skip(current).zip(&replicas) {
            placement::check(&state.cluster, replicas, replication_factor)?;
            placement::check_running(&state.cluster, index, replicas)?;
        }
    }
    state
        .topics
        .check_room(replicas.len())
        .map_err(|(error, message)| Refusal::new(error, message))?;
    if !validate_only {
        state.topics.add_partitions(name, replicas);
    }
    Ok(())
}
