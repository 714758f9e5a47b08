//! **DeleteTopics**, key 20, versions 1-6.
//!
//! Removes topics by name or (version 6) by id, each with a result of its own. Fetches that are parked on a deleted topic
//! wake at once and learn that it is gone.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{ApiKey, DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct DeleteTopics;

impl Api for DeleteTopics {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    const VERSIONS: RangeInclusive<i16> = 1..=6;
    type Request = DeleteTopicsRequest;
    type Response = DeleteTopicsResponse;

    fn handle(
        state: &mut State,
        _: &Context,
        request: &mut DeleteTopicsRequest,
    ) -> Outcome<DeleteTopicsResponse> {
        let named = request
            .topic_names
            .iter()
            .map(|name| DeleteTopicState::default().with_name(Some(name.clone())));
        let responses = request
            .topics
            .iter()
            .cloned()
            .chain(named)
            .map(|topic| delete(state, topic))
            .collect();
        Outcome::Reply(DeleteTopicsResponse::default().with_responses(responses))
    }
}

fn delete(state: &mut State, asked: DeleteTopicState) -> DeletableTopicResult {
    let result = DeletableTopicResult::default().with_topic_id(asked.topic_id);
    let (name, unknown) = match asked.name {
        Some(name) if !asked.topic_id.is_nil() => {
            return failed(result.with_name(Some(name)), ResponseError::InvalidRequest);
        }
        Some(name) => (name.to_string(), ResponseError::UnknownTopicOrPartition),
        None => match state.topics.name_of(asked.topic_id) {
            Some(name) => (name.to_owned(), ResponseError::UnknownTopicId),
            None => return failed(result.with_name(None), ResponseError::UnknownTopicId),
        },
    };
    let result = result.with_name(Some(TopicName(StrBytes::from_string(name.clone()))));
    match state.topics.delete(&name) {
        Some(topic) => {
            state.groups.forget_topic(&name);
            result.with_topic_id(topic.id)
        }
        None => failed(result, unknown),
    }
}

fn failed(result: DeletableTopicResult, error: ResponseError) -> DeletableTopicResult {
    result
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(error.to_string())))
}
