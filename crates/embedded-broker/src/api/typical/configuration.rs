//! Requests about configurations and access.

use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    AlterConfigsRequest, CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
    incremental_alter_configs_request as incremental,
};

use super::{ABSENT, TOPIC, Typical, filled, some, text};

/// Types of resources (`org.apache.kafka.common.config.ConfigResource.Type`).
const OF_TOPIC: i8 = 2;
const OF_BROKER: i8 = 4;
const OF_CLIENT_METRICS: i8 = 16;
const OF_GROUP: i8 = 32;

pub(super) fn describe_configs(version: i16) -> Typical {
    filled::<DescribeConfigsRequest>(
        version,
        &[
            &|request| {
                let of = |resource_type, name, keys| {
                    DescribeConfigsResource::default()
                        .with_resource_type(resource_type)
                        .with_resource_name(text(name))
                        .with_configuration_keys(keys)
                };
                request.resources = vec![
                    of(
                        OF_TOPIC,
                        TOPIC,
                        Some(vec![text("retention.ms"), text("no.such")]),
                    ),
                    of(OF_TOPIC, ABSENT, None),
                    of(OF_BROKER, "0", None),
                    of(OF_BROKER, "", None),
                    of(OF_GROUP, super::GROUP, None),
                ];
                request.include_synonyms = true;
            },
            &|request| request.include_documentation = true,
        ],
    )
}

pub(super) fn alter_configs(version: i16) -> Typical {
    filled::<AlterConfigsRequest>(
        version,
        &[&|request| {
            let of = |resource_type, name, key, value| {
                let config = AlterableConfig::default()
                    .with_name(text(key))
                    .with_value(some(value));
                AlterConfigsResource::default()
                    .with_resource_type(resource_type)
                    .with_resource_name(text(name))
                    .with_configs(vec![config.clone(), config.with_name(text("no.such"))])
            };
            request.resources = vec![
                of(OF_TOPIC, TOPIC, "cleanup.policy", "compact,delete"),
                of(
                    OF_GROUP,
                    super::GROUP,
                    "consumer.session.timeout.ms",
                    "45000",
                ),
            ];
            request.validate_only = false;
        }],
    )
}

pub(super) fn incremental_alter_configs(version: i16) -> Typical {
    filled::<IncrementalAlterConfigsRequest>(
        version,
        &[&|request| {
            let config = |operation: i8| {
                incremental::AlterableConfig::default()
                    .with_name(text("cleanup.policy"))
                    .with_config_operation(operation)
                    .with_value(some("compact"))
            };
            let of = |resource_type, name, configs| {
                incremental::AlterConfigsResource::default()
                    .with_resource_type(resource_type)
                    .with_resource_name(text(name))
                    .with_configs(configs)
            };
            request.resources = vec![
                of(OF_TOPIC, TOPIC, vec![config(2)]),
                of(OF_TOPIC, ABSENT, vec![config(0), config(3)]),
                of(OF_BROKER, "0", vec![config(1)]),
                of(OF_GROUP, super::GROUP, vec![config(0)]),
            ];
            request.validate_only = false;
        }],
    )
}

pub(super) fn list_config_resources(version: i16) -> Typical {
    filled::<ListConfigResourcesRequest>(
        version,
        &[&|request| {
            request.resource_types = vec![OF_TOPIC, OF_BROKER, OF_CLIENT_METRICS, OF_GROUP];
        }],
    )
}

pub(super) fn describe_acls(version: i16) -> Typical {
    filled::<DescribeAclsRequest>(
        version,
        &[
            &|request| {
                request.resource_type_filter = 2;
                request.resource_name_filter = some(TOPIC);
                request.principal_filter = some("User:typical");
                request.host_filter = some("*");
                request.operation = 3;
                request.permission_type = 3;
            },
            &|request| request.pattern_type_filter = 3,
        ],
    )
}

pub(super) fn create_acls(version: i16) -> Typical {
    filled::<CreateAclsRequest>(
        version,
        &[&|request| {
            let creation = |name| {
                AclCreation::default()
                    .with_resource_type(2)
                    .with_resource_name(text(name))
                    .with_principal(text("User:typical"))
                    .with_host(text("*"))
                    .with_operation(3)
                    .with_permission_type(3)
            };
            request.creations = vec![creation(TOPIC), creation(ABSENT)];
        }],
    )
}

pub(super) fn delete_acls(version: i16) -> Typical {
    filled::<DeleteAclsRequest>(
        version,
        &[&|request| {
            let filter = |name| {
                DeleteAclsFilter::default()
                    .with_resource_type_filter(2)
                    .with_resource_name_filter(some(name))
                    .with_principal_filter(some("User:typical"))
                    .with_host_filter(some("*"))
                    .with_operation(3)
                    .with_permission_type(3)
            };
            request.filters = vec![filter(TOPIC), filter(ABSENT)];
        }],
    )
}
