//! ApiVersions, and the frame around every request.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, RequestHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};

use crate::support::raw::{RawClient, frame};
use crate::support::topic::{FETCH_BY_NAME, Topic, fetch_partition, fetch_request};
use crate::support::wait::DEADLINE;

/// What clients in use need, and every broker under test offers: key, lowest and highest version.
const NEEDED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 0, 11),
    (ApiKey::Fetch, 4, 16),
    (ApiKey::ListOffsets, 1, 8),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 5),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 3),
    (ApiKey::EndTxn, 0, 4),
    (ApiKey::TxnOffsetCommit, 0, 4),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
];

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name("suite".into())
        .with_client_software_version("1.0".into())
}

/// The request as the given version carries it: below 3 it has no body.
fn api_versions_at(version: i16) -> ApiVersionsRequest {
    if version >= 3 {
        api_versions()
    } else {
        ApiVersionsRequest::default()
    }
}

/// A frame with a request header of version 1 for any key and version, and `body` behind it.
fn plain_frame(api_key: i16, api_version: i16, correlation_id: i32, body: &[u8]) -> Bytes {
    let mut payload = BytesMut::new();
    payload.put_i16(api_key);
    payload.put_i16(api_version);
    payload.put_i32(correlation_id);
    payload.put_i16(-1); // no client id
    payload.put_slice(body);
    frame(&payload)
}

/// ApiVersions answers in every version it offers, with a response header of version 0 even where the request's is flexible.
#[tokio::test]
async fn api_versions_answers_in_every_version() {
    let mut client = RawClient::connect().await;
    for version in 0..=4 {
        let answer = client.send(version, api_versions_at(version)).await;
        assert_eq!(answer.error_code.err(), None, "version {version}");
        assert!(
            answer
                .api_keys
                .iter()
                .any(|api| api.api_key == ApiVersionsRequest::KEY),
            "version {version}"
        );
    }
}

/// Every API that clients in use need is offered in the versions that they send.
#[tokio::test]
async fn needed_versions_are_offered() {
    let answer = RawClient::connect().await.send(4, api_versions()).await;
    for (key, min, max) in NEEDED {
        let api = answer
            .api_keys
            .iter()
            .find(|api| api.api_key == *key as i16);
        let api = api.unwrap_or_else(|| panic!("{key:?} is not offered"));
        assert!(
            api.min_version <= *min && *max <= api.max_version,
            "{key:?}: {api:?}"
        );
    }
}

/// "Never advertise telemetry keys 71/72": a client that sees them asks for subscriptions at every start.
#[tokio::test]
async fn telemetry_is_not_offered() {
    let answer = RawClient::connect().await.send(4, api_versions()).await;
    for key in [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry] {
        assert!(
            !answer.api_keys.iter().any(|api| api.api_key == key as i16),
            "{key:?}"
        );
    }
}

/// Produce is offered from version 0 though only 3 and later are understood: librdkafka before 2.7 otherwise sends
/// uncompressed (KAFKA-18659).
#[tokio::test]
async fn produce_is_offered_from_version_0() {
    let answer = RawClient::connect()
        .await
        .send(0, ApiVersionsRequest::default())
        .await;
    let produce = answer
        .api_keys
        .iter()
        .find(|api| api.api_key == ApiKey::Produce as i16)
        .expect("Produce");
    assert_eq!(produce.min_version, 0);
}

/// "ApiVersions with unsupported version => v0 body, error 35, and the api list": the client finds its own range there.
#[tokio::test]
async fn unsupported_version_is_answered_in_version_0() {
    let mut client = RawClient::connect().await;
    let header = RequestHeader::default()
        .with_request_api_key(ApiVersionsRequest::KEY)
        .with_request_api_version(127)
        .with_correlation_id(7);
    let mut payload = BytesMut::new();
    header.encode(&mut payload, 2).expect("header");
    api_versions().encode(&mut payload, 4).expect("request");
    client.write_bytes(&frame(&payload)).await;
    let mut answer = client.read_frame().await.expect("an answer");
    assert_eq!(answer.get_i32(), 7, "correlation id");
    let body = ApiVersionsResponse::decode(&mut answer, 0).expect("a body of version 0");
    assert_eq!(
        body.error_code.err(),
        Some(ResponseError::UnsupportedVersion)
    );
    assert!(
        body.api_keys
            .iter()
            .any(|api| api.api_key == ApiVersionsRequest::KEY && api.max_version >= 4),
        "{body:?}"
    );
    assert!(!answer.has_remaining());
    // The connection is still good for the client's next try.
    client.send(0, ApiVersionsRequest::default()).await;
}

/// "Client software name/version must match `[a-zA-Z0-9]([a-zA-Z0-9\-.]*[a-zA-Z0-9])?` else INVALID_REQUEST."
#[tokio::test]
async fn client_software_name_is_checked() {
    let mut client = RawClient::connect().await;
    for (name, version) in [
        ("", "1"),
        ("a b", "1"),
        ("-a", "1"),
        ("a", ""),
        ("a", "1."),
        ("a", "é"),
    ] {
        let request = api_versions()
            .with_client_software_name(name.into())
            .with_client_software_version(version.into());
        let answer = client.send(3, request).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::InvalidRequest),
            "{name:?} {version:?}"
        );
    }
    for (name, version) in [("a", "1"), ("lib-rd.kafka", "2.12.1-x")] {
        let request = api_versions()
            .with_client_software_name(name.into())
            .with_client_software_version(version.into());
        assert_eq!(
            client.send(3, request).await.error_code.err(),
            None,
            "{name:?} {version:?}"
        );
    }
}

/// A client need not name itself, and may send tagged fields that the broker does not know.
#[tokio::test]
async fn no_client_id_and_unknown_tagged_fields_are_fine() {
    let mut client = RawClient::connect().await;
    let mut payload = BytesMut::new();
    let mut header = RequestHeader::default()
        .with_request_api_key(MetadataRequest::KEY)
        .with_request_api_version(12)
        .with_correlation_id(3)
        .with_client_id(None);
    header
        .unknown_tagged_fields
        .insert(5, Bytes::from_static(b"of the header"));
    header.encode(&mut payload, 2).expect("header");
    let mut request = MetadataRequest::default().with_topics(Some(vec![]));
    request
        .unknown_tagged_fields
        .insert(5, Bytes::from_static(b"of the request"));
    request.encode(&mut payload, 12).expect("request");
    client.write_bytes(&frame(&payload)).await;
    let mut answer = client.read_frame().await.expect("an answer");
    assert_eq!(answer.get_i32(), 3, "correlation id");
}

/// "Unknown key or out-of-range version (other than ApiVersions) => close the connection, do not answer."
#[tokio::test]
async fn unknown_key_or_version_closes_the_connection() {
    for (key, version) in [
        (999, 0),
        (-1, 0),
        (MetadataRequest::KEY, 99),
        (MetadataRequest::KEY, -1),
    ] {
        let mut client = RawClient::connect().await;
        client.write_bytes(&plain_frame(key, version, 1, &[])).await;
        client.is_closed().await;
    }
}

/// "Frame = i32 size + header + body; cap at 100 MiB; close on negative/oversize/undecodable."
#[tokio::test]
async fn impossible_frames_close_the_connection() {
    let no_body = plain_frame(MetadataRequest::KEY, 1, 1, &[]);
    let count_beyond_end = plain_frame(MetadataRequest::KEY, 1, 1, &i32::MAX.to_be_bytes());
    let frames: &[&[u8]] = &[
        &(-1_i32).to_be_bytes(),
        &i32::MAX.to_be_bytes(),
        &(100 * 1024 * 1024 + 1_i32).to_be_bytes(),
        &no_body,
        &count_beyond_end,
    ];
    for bytes in frames {
        let mut client = RawClient::connect().await;
        client.write_bytes(bytes).await;
        client.is_closed().await;
    }
}

/// "Responses strictly in request order per connection": a parked fetch holds back the answers behind it, and those come in
/// their order.
#[tokio::test]
async fn answers_come_in_the_order_of_requests() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let parked = fetch_request(&topic, vec![fetch_partition(0, 0)])
        .with_min_bytes(1)
        .with_max_wait_ms(300);
    let fetch = client.write(FETCH_BY_NAME, &parked).await;
    let metadata = client
        .write(12, &MetadataRequest::default().with_topics(Some(vec![])))
        .await;
    let versions = client.write(0, &ApiVersionsRequest::default()).await;
    // `read` compares correlation ids.
    client.read(fetch).await;
    client.read(metadata).await;
    client.read(versions).await;
}

/// A frame that arrives byte by byte is one frame, two that arrive at once are two.
#[tokio::test]
async fn frames_are_cut_by_length_not_by_packet() {
    let mut client = RawClient::connect().await;
    let one = plain_frame(ApiVersionsRequest::KEY, 0, 1, &[]);
    for byte in &one {
        client.write_bytes(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    let two = plain_frame(ApiVersionsRequest::KEY, 0, 2, &[]);
    let three = plain_frame(ApiVersionsRequest::KEY, 0, 3, &[]);
    client.write_bytes(&[two, three].concat()).await;
    for expected in 1..=3 {
        let read = tokio::time::timeout(DEADLINE, client.read_frame())
            .await
            .expect("an answer in time");
        assert_eq!(read.expect("an answer").get_i32(), expected);
    }
}

/// Feature levels are part of the answer: what is finalized is also supported. Version 3 leaves out features that may be
/// switched off (KIP-1022), version 4 names them all.
#[tokio::test]
async fn finalized_features_are_supported() {
    let answer = RawClient::connect().await.send(4, api_versions()).await;
    for finalized in &answer.finalized_features {
        let supported = answer
            .supported_features
            .iter()
            .find(|feature| feature.name == finalized.name);
        let supported: Option<(&StrBytes, i16)> =
            supported.map(|feature| (&feature.name, feature.max_version));
        assert!(
            supported.is_some_and(|(_, max)| finalized.max_version_level <= max),
            "{finalized:?}"
        );
    }
}
