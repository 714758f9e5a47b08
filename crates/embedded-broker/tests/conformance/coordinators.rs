//! FindCoordinator: who keeps a group, or a transaction.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest};

use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::topic::only;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// One of the brokers that Metadata names keeps each group and each transaction; from version 4 several are asked at once.
#[tokio::test]
async fn every_version_names_a_broker() {
    let mut client = RawClient::connect().await;
    let brokers = client
        .send(12, MetadataRequest::default().with_topics(Some(vec![])))
        .await
        .brokers;
    let known = |node, host: &str, port| {
        brokers
            .iter()
            .any(|broker| broker.node_id == node && &*broker.host == host && broker.port == port)
    };
    for version in 0..=3 {
        for key_type in [GROUP, TRANSACTION] {
            if version == 0 && key_type != GROUP {
                continue;
            }
            let request = FindCoordinatorRequest::default()
                .with_key(unique("key").into())
                .with_key_type(key_type);
            let answer = client.send(version, request).await;
            assert_eq!(answer.error_code.err(), None, "version {version}");
            assert!(
                known(answer.node_id, &answer.host, answer.port),
                "version {version}: {answer:?}"
            );
        }
    }
    for version in 4..=5 {
        for key_type in [GROUP, TRANSACTION] {
            let keys = vec![unique("key").into(), unique("key").into()];
            let request = FindCoordinatorRequest::default()
                .with_coordinator_keys(keys.clone())
                .with_key_type(key_type);
            let answer = client.send(version, request).await;
            let answered: Vec<_> = answer
                .coordinators
                .iter()
                .map(|found| found.key.clone())
                .collect();
            assert_eq!(answered, keys);
            for found in answer.coordinators {
                assert_eq!(found.error_code.err(), None);
                assert!(
                    known(found.node_id, &found.host, found.port),
                    "version {version}: {found:?}"
                );
            }
        }
    }
}

/// "Type 0 group, 1 txn; else INVALID_REQUEST(42)."
#[tokio::test]
async fn other_types_of_key_are_refused() {
    let mut client = RawClient::connect().await;
    for key_type in [9, -1] {
        let request = FindCoordinatorRequest::default()
            .with_key(unique("key").into())
            .with_key_type(key_type);
        let answer = client.send(3, request).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::InvalidRequest),
            "{key_type}"
        );
        assert_eq!((answer.node_id.0, &*answer.host, answer.port), (-1, "", -1));
        let request = FindCoordinatorRequest::default()
            .with_coordinator_keys(vec![unique("key").into()])
            .with_key_type(key_type);
        let answer = only(client.send(4, request).await.coordinators);
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::InvalidRequest),
            "{key_type}"
        );
    }
}

/// The same question has the same answer.
#[tokio::test]
async fn a_coordinator_stays() {
    let mut client = RawClient::connect().await;
    let request = FindCoordinatorRequest::default().with_key(unique("key").into());
    let first = client.send(2, request.clone()).await;
    let second = client.send(2, request).await;
    assert_eq!(first, second);
}

/// A group without a name cannot be joined, and can still be asked for.
#[tokio::test]
async fn the_empty_name_has_a_coordinator() {
    let mut client = RawClient::connect().await;
    let answer = client
        .send(2, FindCoordinatorRequest::default().with_key("".into()))
        .await;
    assert_eq!(answer.error_code.err(), None);
}
