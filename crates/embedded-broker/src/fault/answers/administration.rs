//! Configurations, access rules, and the broker itself.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, ApiVersionsRequest, BrokerId, CreateAclsRequest,
    CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest,
    DescribeConfigsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest, alter_configs_response,
    incremental_alter_configs_response,
};
use uuid::Uuid;

use super::fails_as_a_whole;
use crate::fault::request::{
    NO_NAMES, Parts, Refuse, Selector, message, replace, split_topics, whole,
};

fails_as_a_whole!(ApiVersionsRequest, |_| NO_NAMES);
fails_as_a_whole!(DescribeAclsRequest, |_| NO_NAMES, with message);
fails_as_a_whole!(ListConfigResourcesRequest, |_| NO_NAMES);
fails_as_a_whole!(SaslHandshakeRequest, |_| NO_NAMES);
fails_as_a_whole!(SaslAuthenticateRequest, |_| NO_NAMES, with message);

/// `resource_type` of a configuration that belongs to a topic.
const TOPIC_RESOURCE: i8 = 2;

/// The name of a resource if it is a topic: rules about topics are not about other resources of the same name.
fn topic_name(resource_type: i8, name: &str) -> (&str, Uuid) {
    match resource_type {
        TOPIC_RESOURCE => (name, Uuid::nil()),
        _ => ("", Uuid::nil()),
    }
}

impl Refuse for DescribeClusterRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        whole(self, selector, None, None)
    }

    fn refused(&self, error: ResponseError, _: i16) -> DescribeClusterResponse {
        DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_error_message(message(error))
            .with_controller_id(BrokerId(-1))
    }
}

/// From this version on DescribeLogDirs has an error for all of it (KIP-784).
const FIRST_DESCRIBE_LOG_DIRS_WITH_ERROR: i16 = 3;

impl Refuse for DescribeLogDirsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        whole(self, selector, None, None)
    }

    fn refused(&self, error: ResponseError, version: i16) -> DescribeLogDirsResponse {
        if version >= FIRST_DESCRIBE_LOG_DIRS_WITH_ERROR {
            return DescribeLogDirsResponse::default().with_error_code(error.code());
        }
        let directory = DescribeLogDirsResult::default().with_error_code(error.code());
        DescribeLogDirsResponse::default().with_results(vec![directory])
    }
}

impl Refuse for CreateAclsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        whole(self, selector, None, None)
    }

    fn refused(&self, error: ResponseError, _: i16) -> CreateAclsResponse {
        let results = self.creations.iter().map(|_| {
            AclCreationResult::default()
                .with_error_code(error.code())
                .with_error_message(message(error))
        });
        CreateAclsResponse::default().with_results(results.collect())
    }
}

impl Refuse for DeleteAclsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        whole(self, selector, None, None)
    }

    fn refused(&self, error: ResponseError, _: i16) -> DeleteAclsResponse {
        let results = self.filters.iter().map(|_| {
            DeleteAclsFilterResult::default()
                .with_error_code(error.code())
                .with_error_message(message(error))
        });
        DeleteAclsResponse::default().with_filter_results(results.collect())
    }
}

impl Refuse for DescribeConfigsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.resources,
            |resource| topic_name(resource.resource_type, &resource.resource_name),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> DescribeConfigsResponse {
        let results = self.resources.iter().map(|resource| {
            DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(error.code())
                .with_error_message(message(error))
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    fn merge(answer: &mut DescribeConfigsResponse, refused: DescribeConfigsResponse) {
        replace(&mut answer.results, refused.results, |result| {
            (result.resource_type, result.resource_name.clone())
        });
    }
}

impl Refuse for AlterConfigsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.resources,
            |resource| topic_name(resource.resource_type, &resource.resource_name),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> AlterConfigsResponse {
        let responses = self.resources.iter().map(|resource| {
            alter_configs_response::AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(error.code())
                .with_error_message(message(error))
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    }

    fn merge(answer: &mut AlterConfigsResponse, refused: AlterConfigsResponse) {
        replace(&mut answer.responses, refused.responses, |result| {
            (result.resource_type, result.resource_name.clone())
        });
    }
}

impl Refuse for IncrementalAlterConfigsRequest {
    fn split(&self, selector: &Selector) -> Option<Parts<Self>> {
        split_topics(
            self,
            selector,
            NO_NAMES,
            |request| &mut request.resources,
            |resource| topic_name(resource.resource_type, &resource.resource_name),
        )
    }

    fn refused(&self, error: ResponseError, _: i16) -> IncrementalAlterConfigsResponse {
        let responses = self.resources.iter().map(|resource| {
            incremental_alter_configs_response::AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(error.code())
                .with_error_message(message(error))
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    }

    fn merge(
        answer: &mut IncrementalAlterConfigsResponse,
        refused: IncrementalAlterConfigsResponse,
    ) {
        replace(&mut answer.responses, refused.responses, |result| {
            (result.resource_type, result.resource_name.clone())
        });
    }
}
