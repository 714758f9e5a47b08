//! A client that speaks frames: for what a well-behaved client library never sends, and for every field of an answer.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::broker::broker;
use super::wait::{DEADLINE, within};

/// One connection. Requests may be pipelined: write several, then read their answers in the same order.
pub(crate) struct RawClient {
    stream: TcpStream,
    /// Of the last request written. The broker echoes it, and the test compares.
    correlation_id: i32,
}

/// A request written whose answer was not read yet.
#[must_use]
pub(crate) struct Pending<R> {
    correlation_id: i32,
    version: i16,
    request: std::marker::PhantomData<R>,
}

impl RawClient {
    /// Connects to the broker under test.
    pub(crate) async fn connect() -> Self {
        Self::connect_to(broker().await).await
    }

    /// Connects to `address`, `host:port`.
    pub(crate) async fn connect_to(address: &str) -> Self {
        let stream = within(DEADLINE, "a connection", TcpStream::connect(address))
            .await
            .expect("connect");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        Self {
            stream,
            correlation_id: 0,
        }
    }

    /// The same, and the system takes little off the broker's hands before somebody reads.
    #[allow(dead_code, reason = "most tests read what they ask for")]
    pub(crate) async fn connect_with_small_buffer(address: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(64 * 1024)
            .expect("set SO_RCVBUF");
        let address = address.parse().expect("a literal address");
        let stream = within(DEADLINE, "a connection", socket.connect(address))
            .await
            .expect("connect");
        Self {
            stream,
            correlation_id: 0,
        }
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        let pending = self.write(version, &request).await;
        self.read(pending).await
    }

    /// Writes one request; its answer is read later.
    pub(crate) async fn write<R: Request>(&mut self, version: i16, request: &R) -> Pending<R> {
        self.correlation_id += 1;
        let frame = request_frame(version, self.correlation_id, request);
        self.write_bytes(&frame).await;
        Pending {
            correlation_id: self.correlation_id,
            version,
            request: std::marker::PhantomData,
        }
    }

    /// Reads the answer to `pending`.
    ///
    /// # Panics
    /// When another answer comes first, or the answer is not exactly what its version's schema says.
    pub(crate) async fn read<R: Request>(&mut self, pending: Pending<R>) -> R::Response {
        let frame = within(DEADLINE, "an answer", self.read_frame())
            .await
            .expect("the broker closed the connection");
        let mut body = frame;
        let header_version = R::Response::header_version(pending.version);
        let header = ResponseHeader::decode(&mut body, header_version).expect("response header");
        assert_eq!(
            header.correlation_id, pending.correlation_id,
            "answers come in the order of their requests"
        );
        let response = R::Response::decode(&mut body, pending.version).expect("response body");
        assert!(
            !body.has_remaining(),
            "{} bytes left after the response",
            body.remaining()
        );
        response
    }

    /// Writes bytes as they are.
    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("write to the broker");
    }

    /// The next frame without its length, or nothing when the broker closed the connection.
    pub(crate) async fn read_frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).expect("length of a response")];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }

    /// Holds when the broker says nothing for `duration`, and the connection stays open.
    pub(crate) async fn no_response_within(&mut self, duration: Duration) {
        let mut byte = [0];
        if let Ok(read) = tokio::time::timeout(duration, self.stream.peek(&mut byte)).await {
            panic!(
                "no response was expected within {duration:?}, but the broker sent or closed: {read:?}"
            );
        }
    }

    /// Holds when the broker closes the connection without another byte.
    pub(crate) async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        let read = within(
            DEADLINE,
            "the broker to close the connection",
            self.stream.read_to_end(&mut rest),
        )
        .await;
        // A reset is how a socket closed with unread input says goodbye.
        if let Err(error) = read {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        assert!(
            rest.is_empty(),
            "the broker answered before it closed: {rest:?}"
        );
    }
}

/// A whole frame: length, header, body.
pub(crate) fn request_frame<R: Request>(version: i16, correlation_id: i32, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("conformance")));
    let mut payload = BytesMut::new();
    header
        .encode(&mut payload, R::header_version(version))
        .expect("encode the header");
    request
        .encode(&mut payload, version)
        .expect("encode the request");
    frame(&payload)
}

/// `payload` behind its length.
pub(crate) fn frame(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(4 + payload.len());
    frame.put_i32(i32::try_from(payload.len()).expect("length of a request"));
    frame.put_slice(payload);
    frame.freeze()
}
