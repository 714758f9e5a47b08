//! **DescribeCluster**, key 60, versions 0-2.
//!
//! Tells an administrator the cluster's id, its nodes and its controller (KIP-700). From version 1 on the client says
//! whether it wants brokers or a quorum's controllers (KIP-919); there are only brokers. From version 2 on it may ask for
//! stopped nodes too, which Apache Kafka calls fenced (KIP-1073).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{ApiKey, BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::metadata::{ALL_CLUSTER_OPERATIONS, NOT_ASKED, controller};
use super::{Api, Context, Outcome};
use crate::cluster::Node;
use crate::refusal::Refusal;
use crate::security::ListenerKind;
use crate::state::State;

/// `endpoint_type` of brokers, and of controllers.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) struct DescribeCluster;

impl Api for DescribeCluster {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Request = DescribeClusterRequest;
    type Response = DescribeClusterResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut DescribeClusterRequest,
    ) -> Outcome<DescribeClusterResponse> {
        let response = DescribeClusterResponse::default()
            .with_endpoint_type(BROKERS)
            .with_error_message(None);
        let refusal = match request.endpoint_type {
            BROKERS => {
                let operations = match request.include_cluster_authorized_operations {
                    true => ALL_CLUSTER_OPERATIONS,
                    false => NOT_ASKED,
                };
                let nodes = state.cluster.nodes.iter();
                let shown = nodes.filter(|node| node.running || request.include_fenced_brokers);
                let kind = cx.session.listener;
                return Outcome::Reply(
                    response
                        .with_cluster_id(StrBytes::from_string(state.cluster.id.clone()))
                        .with_controller_id(BrokerId(controller(state)))
                        .with_brokers(shown.map(|node| broker(node, kind)).collect())
                        .with_cluster_authorized_operations(operations),
                );
            }
            CONTROLLERS => Refusal::new(
                ResponseError::MismatchedEndpointType,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            ),
            other => Refusal::new(
                ResponseError::UnsupportedEndpointType,
                format!("Unsupported endpoint type {other}"),
            ),
        };
        Outcome::Reply(
            response
                .with_error_code(refusal.code())
                .with_error_message(refusal.message()),
        )
    }
}

fn broker(node: &Node, kind: ListenerKind) -> DescribeClusterBroker {
    let (host, port) = node.endpoint(kind);
    DescribeClusterBroker::default()
        .with_broker_id(BrokerId(node.id))
        .with_host(StrBytes::from_string(host.to_owned()))
        .with_port(port)
        .with_rack(None)
        .with_is_fenced(!node.running)
}
