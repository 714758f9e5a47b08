//! A client that speaks frames over any stream, as far as it gets.

use std::io;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse, ResponseHeader,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw::request_frame;
use crate::support::wait::{DEADLINE, within};

pub(crate) struct Client<S> {
    stream: S,
    /// The client's own address, as the broker's log names it.
    pub(crate) address: String,
}

impl Client<TcpStream> {
    pub(crate) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("connect");
        let address = stream.local_addr().expect("its own address").to_string();
        Self::over(stream, address)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S, address: String) -> Self {
        Self { stream, address }
    }

    /// Sends a request and reads its answer; an error when the broker closed the connection instead.
    pub(crate) async fn try_send<R: Request>(
        &mut self,
        version: i16,
        request: R,
    ) -> io::Result<R::Response> {
        let exchange = async {
            self.stream
                .write_all(&request_frame(version, 1, &request))
                .await?;
            self.stream.flush().await?;
            self.frame().await
        };
        let mut frame = within(DEADLINE, "an answer, or the connection's end", exchange).await?;
        let header_version = R::Response::header_version(version);
        ResponseHeader::decode(&mut frame, header_version).expect("a header");
        let response = R::Response::decode(&mut frame, version).expect("an answer");
        assert!(!frame.has_remaining(), "there is more than the answer");
        Ok(response)
    }

    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        let answer = self.try_send(version, request).await;
        answer.expect("an answer, not the connection's end")
    }

    async fn frame(&mut self) -> io::Result<Bytes> {
        let length = self.stream.read_i32().await?;
        let mut frame = vec![0; usize::try_from(length).expect("a length")];
        self.stream.read_exact(&mut frame).await?;
        Ok(frame.into())
    }

    /// The next frame, whatever is in it; an error when the broker closed the connection instead.
    pub(crate) async fn read(&mut self) -> io::Result<Bytes> {
        within(DEADLINE, "a frame, or the connection's end", self.frame()).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("write");
        self.stream.flush().await.expect("write");
    }

    /// Holds when the broker closes the connection without another byte.
    pub(crate) async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        // However it ends: a reset is how a socket with unread input is closed.
        let _how = within(DEADLINE, "the broker to close the connection", read).await;
        assert!(rest.is_empty(), "there came {rest:?}");
    }

    pub(crate) async fn versions(&mut self) -> ApiVersionsResponse {
        let name = StrBytes::from_static_str("test");
        let request = ApiVersionsRequest::default()
            .with_client_software_name(name.clone())
            .with_client_software_version(name);
        self.send(4, request).await
    }

    pub(crate) async fn handshake(&mut self, mechanism: &str) -> SaslHandshakeResponse {
        let mechanism = StrBytes::from_string(mechanism.to_owned());
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
        self.send(1, request).await
    }

    pub(crate) async fn authenticate(&mut self, token: &[u8]) -> SaslAuthenticateResponse {
        let token = Bytes::copy_from_slice(token);
        let request = SaslAuthenticateRequest::default().with_auth_bytes(token);
        self.send(2, request).await
    }

    /// What every client asks first once it may. An error if it may not.
    pub(crate) async fn metadata(&mut self) -> io::Result<MetadataResponse> {
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        self.try_send(12, request).await
    }
}
