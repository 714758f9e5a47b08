//! Topics: what there is, and creating, growing and deleting them.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::fails_as_a_whole;
use crate::fault::request::{
    NO_NAMES, Parts, Refuse, Selector, message, replace, split_topics, whole,
};

/// A topic that may be given by its id alone.
fn names(name: &Option<TopicName>, id: Uuid) -> (&str, Uuid) {
    (name.as_ref().map_or("", |name| name.as_str()), id)
}

/// The first version of Metadata with an error for all of it (KIP-1102).
const FIRST_METADATA_WITH_ERROR: i16 = 13;

impl Refuse for MetadataRequest {
    /// Something is always left, for an answer names the nodes even if it has nothing to say of any topic.
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        if !selector.selects(None, None) {
            return None;
        }
        let Some(topics) = &self.topics else {
            // All topics: the one that the rule is about is among them, or the rule is about each.
            let named = selector.topic.as_ref().map(|topic| {
                let name = TopicName(StrBytes::from_string(topic.name.clone()));
                vec![MetadataRequestTopic::default().with_name(Some(name))]
            });
            return Some(Parts {
                selected: self.clone().with_topics(named),
                rest: Some(self.clone()),
            });
        };
        let is_selected = |topic: &MetadataRequestTopic| {
            let (name, id) = names(&topic.name, topic.topic_id);
            selector.selects_topic(name, id)
        };
        let (selected, rest): (Vec<_>, Vec<_>) = topics.iter().cloned().partition(is_selected);
        let concerned = !selected.is_empty() || selector.topic.is_none();
        concerned.then(|| Parts {
            selected: self.clone().with_topics(Some(selected)),
            rest: Some(self.clone().with_topics(Some(rest))),
        })
    }

    fn refused(&self, error: ResponseError, version: i16) -> MetadataResponse {
        let Some(topics) = self.topics.as_ref().filter(|topics| !topics.is_empty()) else {
            // Without a topic the error has one place, which `merge` looks at.
            return MetadataResponse::default().with_error_code(error.code());
        };
        let of_all =
            version >= FIRST_METADATA_WITH_ERROR && error == ResponseError::RebootstrapRequired;
        let topics = topics.iter().map(|topic| {
            MetadataResponseTopic::default()
                .with_name(topic.name.clone())
                .with_topic_id(topic.topic_id)
                .with_error_code(error.code())
        });
        MetadataResponse::default()
            .with_error_code(if of_all { error.code() } else { 0 })
            .with_topics(topics.collect())
    }

    fn merge(answer: &mut MetadataResponse, refused: MetadataResponse) {
        if refused.topics.is_empty() && !answer.topics.is_empty() {
            // All topics were asked for, and each has a place of its own for the error.
            for topic in &mut answer.topics {
                topic.error_code = refused.error_code;
                topic.partitions.clear();
            }
            return;
        }
        answer.error_code = refused.error_code;
        answer.topics.retain(|known| {
            let mut topics = refused.topics.iter();
            !topics.any(|topic| {
                let same_name = topic.name.is_some() && topic.name == known.name;
                same_name || (!topic.topic_id.is_nil() && topic.topic_id == known.topic_id)
            })
        });
        answer.topics.extend(refused.topics);
    }
}

impl Refuse for CreateTopicsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> CreateTopicsResponse {
        let topics = self.topics.iter().map(|topic| {
            CreatableTopicResult::default()
                .with_name(topic.name.clone())
                .with_error_code(error.code())
                .with_error_message(message(error))
        });
        CreateTopicsResponse::default().with_topics(topics.collect())
    }

    fn merge(answer: &mut CreateTopicsResponse, refused: CreateTopicsResponse) {
        replace(&mut answer.topics, refused.topics, |topic| {
            topic.name.clone()
        });
    }
}

/// The first version of DeleteTopics that lists topics by name or id; earlier ones list names.
const FIRST_DELETE_TOPICS_BY_ID: i16 = 6;

impl Refuse for DeleteTopicsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        if self.topics.is_empty() {
            return split_topics(
                self,
                selector,
                NO_NAMES,
                |request| &mut request.topic_names,
                |name| (name, Uuid::nil()),
            );
        }
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| names(&topic.name, topic.topic_id),
        )
    }

    fn refused(&self, error: ResponseError, version: i16) -> DeleteTopicsResponse {
        let refused = |name: Option<TopicName>, id: Uuid| {
            DeletableTopicResult::default()
                .with_name(name)
                .with_topic_id(id)
                .with_error_code(error.code())
                .with_error_message(message(error))
        };
        let responses = if version >= FIRST_DELETE_TOPICS_BY_ID {
            let topics = self.topics.iter();
            topics
                .map(|topic| refused(topic.name.clone(), topic.topic_id))
                .collect()
        } else {
            let names = self.topic_names.iter();
            names
                .map(|name| refused(Some(name.clone()), Uuid::nil()))
                .collect()
        };
        DeleteTopicsResponse::default().with_responses(responses)
    }

    fn merge(answer: &mut DeleteTopicsResponse, refused: DeleteTopicsResponse) {
        answer.responses.retain(|known| {
            let mut topics = refused.responses.iter();
            !topics.any(|topic| match &topic.name {
                Some(name) => known.name.as_ref() == Some(name),
                None => known.topic_id == topic.topic_id,
            })
        });
        answer.responses.extend(refused.responses);
    }
}

impl Refuse for CreatePartitionsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> CreatePartitionsResponse {
        let results = self.topics.iter().map(|topic| {
            CreatePartitionsTopicResult::default()
                .with_name(topic.name.clone())
                .with_error_code(error.code())
                .with_error_message(message(error))
        });
        CreatePartitionsResponse::default().with_results(results.collect())
    }

    fn merge(answer: &mut CreatePartitionsResponse, refused: CreatePartitionsResponse) {
        replace(&mut answer.results, refused.results, |topic| {
            topic.name.clone()
        });
    }
}

/// The first version of ElectLeaders with an error for all of it.
const FIRST_ELECT_LEADERS_WITH_ERROR: i16 = 1;

impl Refuse for ElectLeadersRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        match &self.topic_partitions {
            None => whole(self, selector, None, None),
            Some(_) => split_topics(
                self,
                selector,
                NO_NAMES,
                |request| request.topic_partitions.get_or_insert_default(),
                |topic| (&topic.topic, Uuid::nil()),
            ),
        }
    }

    fn refused(&self, error: ResponseError, version: i16) -> ElectLeadersResponse {
        let topics = self.topic_partitions.iter().flatten().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                PartitionResult::default()
                    .with_partition_id(*partition)
                    .with_error_code(error.code())
                    .with_error_message(message(error))
            });
            ReplicaElectionResult::default()
                .with_topic(topic.topic.clone())
                .with_partition_result(partitions.collect())
        });
        let of_all = version >= FIRST_ELECT_LEADERS_WITH_ERROR;
        ElectLeadersResponse::default()
            .with_error_code(if of_all { error.code() } else { 0 })
            .with_replica_election_results(topics.collect())
    }

    fn merge(answer: &mut ElectLeadersResponse, refused: ElectLeadersResponse) {
        answer.error_code = refused.error_code;
        replace(
            &mut answer.replica_election_results,
            refused.replica_election_results,
            |topic| topic.topic.clone(),
        );
    }
}

impl Refuse for DescribeTopicPartitionsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.topics,
            |topic| (&topic.name, Uuid::nil()),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> DescribeTopicPartitionsResponse {
        let topics = self.topics.iter().map(|topic| {
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(topic.name.clone()))
                .with_error_code(error.code())
        });
        DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
    }

    fn merge(
        answer: &mut DescribeTopicPartitionsResponse,
        refused: DescribeTopicPartitionsResponse,
    ) {
        replace(&mut answer.topics, refused.topics, |topic| {
            topic.name.clone()
        });
    }
}

fails_as_a_whole!(ListPartitionReassignmentsRequest, |_| NO_NAMES, with message);
