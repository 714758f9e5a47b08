//! **ElectLeaders**, key 43, versions 0-2.
//!
//! Gives partitions back to their preferred leader, the first of their replicas, or (unclean, from version 1 on) finds any
//! leader for those that have none. Partitions that are named and need no election say ELECTION_NOT_NEEDED; without names
//! all partitions are looked at, and only those that were elected for are answered.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ApiKey, ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::refusal::Refusal;
use crate::state::State;
use crate::topic::Election;

pub(super) struct ElectLeaders;

impl Api for ElectLeaders {
    const KEY: ApiKey = ApiKey::ElectLeaders;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Request = ElectLeadersRequest;
    type Response = ElectLeadersResponse;

    fn handle(
        state: &mut State,
        _: &Context,
        request: &mut ElectLeadersRequest,
    ) -> Outcome<ElectLeadersResponse> {
        // Version 0 knew only preferred leaders.
        let election = match request.election_type {
            0 => Ok(Election::Preferred),
            1 => Ok(Election::Unclean),
            other => Err(Refusal::new(
                ResponseError::InvalidRequest,
                format!("Unknown election type {other}"),
            )),
        };
        let error = election.as_ref().err().map_or(0, Refusal::code);
        let is_named = request.topic_partitions.is_some();
        let asked = match &request.topic_partitions {
            Some(topics) => topics
                .iter()
                .map(|topic| (topic.topic.to_string(), topic.partitions.clone()))
                .collect(),
            None if election.is_err() => Vec::new(),
            None => all_partitions(state),
        };
        let results = asked.into_iter().map(|(topic, partitions)| {
            let results = partitions
                .into_iter()
                .map(|index| {
                    let elected = election
                        .clone()
                        .and_then(|election| elect(state, &topic, index, election));
                    result(index, elected)
                })
                .filter(|result| {
                    is_named || result.error_code != ResponseError::ElectionNotNeeded.code()
                });
            ReplicaElectionResult::default()
                .with_partition_result(results.collect())
                .with_topic(TopicName(StrBytes::from_string(topic.clone())))
        });
        let results = results.collect();
        Outcome::Reply(
            ElectLeadersResponse::default()
                .with_error_code(error)
                .with_replica_election_results(results),
        )
    }
}

fn all_partitions(state: &State) -> Vec<(String, Vec<i32>)> {
    state
        .topics
        .iter()
        .map(|(name, topic)| {
            let indexes = (0..).zip(&topic.partitions).map(|(index, _)| index);
            (name.to_owned(), indexes.collect())
        })
        .collect()
}

fn elect(state: &mut State, topic: &str, index: i32, election: Election) -> Result<(), Refusal> {
    let unknown = |what: String| {
        let message = format!("No such {what}");
        Refusal::new(ResponseError::UnknownTopicOrPartition, message)
    };
    if state.topics.get(topic).is_none() {
        return Err(unknown(format!("topic as {topic}")));
    }
    if !state.topics.has(topic, index) {
        return Err(unknown(format!("partition as {topic}-{index}")));
    }
    state
        .topics
        .elect(topic, index, election)
        .map_err(|error| Refusal::new(error, message(error)))
}

fn message(error: ResponseError) -> &'static str {
    match error {
        ResponseError::PreferredLeaderNotAvailable => "The preferred leader was not available.",
        ResponseError::EligibleLeadersNotAvailable => {
            "Eligible topic partition leaders are not available."
        }
        _ => "Leader election not needed for topic partition.",
    }
}

fn result(index: i32, elected: Result<(), Refusal>) -> PartitionResult {
    let result = PartitionResult::default().with_partition_id(index);
    match elected {
        Ok(()) => result,
        Err(refusal) => result
            .with_error_code(refusal.code())
            .with_error_message(refusal.message()),
    }
}
