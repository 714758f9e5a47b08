//! One client's connection: frames in, answers out, in the order of the requests.
//!
//! One request is served at a time, as Apache Kafka does. While one is parked (a long poll, a join) the connection keeps
//! reading a little ahead, so that it notices when the client hangs up, and can tell a long poll that its client waits.
//!
//! What a client sent before it hung up is served, for it may have been sent without waiting for answers. Each answer is then
//! written at once: the second one that a closed connection gets fails, and with it all that was still to be served.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::Decodable;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout_at;
use tracing::{debug, warn};

use super::frame::{self, BadFrame, LENGTH_BYTES};
use super::guard;
use super::incoming::Incoming;
use super::listener::Endpoint;
use super::unsent::UnsentPart;
use crate::api::{self, Context, Hurry, Refused};
use crate::clock::Now;
use crate::fault;
use crate::requests::Client;
use crate::security::{ListenerKind, NotAdmitted, Session};

/// How much is asked of the socket at least, and how far a parked connection reads ahead.
const READ_BYTES: usize = 16 * 1024;

/// A buffer beyond this is not kept for the next frame.
const KEPT_BUFFER: usize = 2 * 1024 * 1024;

/// Answers are gathered up to this size while further requests have already arrived.
const WRITE_BYTES: usize = 64 * 1024;

/// How long a connection serves what has already arrived before the others have their turn.
const TURN: Duration = Duration::from_millis(5);

/// A client that has not authenticated gets no more memory for one frame (`sasl.server.max.receive.size` of Apache Kafka).
const UNAUTHENTICATED_FRAME: usize = 512 * 1024;

/// How long a client waits to hear that it is not let in, which makes guessing slow
/// (`connection.failed.authentication.delay.ms` of Apache Kafka).
const FAILED_AUTHENTICATION_DELAY: Duration = Duration::from_millis(100);

/// Why a connection ended, other than by the client closing it.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] BadFrame),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("cannot decode the request header: {0}")]
    Header(anyhow::Error),
    #[error("no API has the key {0}; what is offered is answered to ApiVersions")]
    UnknownApi(i16),
    #[error("{api:?} version {version} is not offered")]
    UnknownVersion { api: ApiKey, version: i16 },
    #[error("{0}")]
    NotAdmitted(String),
    #[error("authentication failed: {0}")]
    Unauthenticated(String),
    #[error("a frame of {0} bytes from a client that has not authenticated")]
    LongBeforeAuthentication(usize),
    #[error("the client did not authenticate in time")]
    NotAuthenticatedInTime,
}

/// Serves one client until it hangs up or sends what cannot be served. Until `deadline` it may take to authenticate, where it
/// has to.
pub(crate) async fn run<R, W>(
    endpoint: Endpoint,
    kind: ListenerKind,
    (reader, writer): (R, W),
    peer: SocketAddr,
    deadline: Instant,
) where
    R: Incoming,
    W: AsyncWrite + Unpin,
{
    let node_id = endpoint.node_id;
    let session = Session::new(kind, endpoint.credentials.clone());
    let connection = Connection {
        authenticating: !session.is_open(),
        session: Arc::new(session),
        unsent: endpoint.shared.unsent.part(),
        endpoint,
        reader,
        writer,
        peer,
        client: None,
        input: BytesMut::new(),
        output: Vec::new(),
    };
    match connection.serve(deadline).await {
        Ok(()) => debug!(%peer, node_id, "the client hung up"),
        Err(Ended::Io(error)) => debug!(%peer, node_id, %error, "the connection broke"),
        // Not the client's doing: somebody set a fault, or the node is stopped.
        Err(Ended::Refused(Refused::Closed(reason))) => {
            debug!(%peer, node_id, reason, "closing the connection");
        }
        Err(reason) => warn!(%peer, node_id, %reason, "closing the connection"),
    }
}

struct Connection<R, W> {
    endpoint: Endpoint,
    reader: R,
    writer: W,
    peer: SocketAddr,
    session: Arc<Session>,
    /// Whether the session has to be asked what is served. Never again once it is open.
    authenticating: bool,
    /// Where the last request was counted: clients hardly ever change their name.
    client: Option<Arc<Client>>,
    /// What has arrived and is not yet taken as a frame.
    input: BytesMut,
    /// Answers that are not yet written.
    output: Vec<Bytes>,
    /// Of the answers that are being written.
    unsent: UnsentPart,
}

/// Why no more requests are read for now.
enum Stopped {
    HungUp,
    Authenticated,
}

/// How serving one request ended.
enum Served {
    Answer(Bytes),
    /// The protocol has no answer to this request.
    Silent,
    /// The client hung up while its request was parked.
    HungUp,
}

impl<R: Incoming, W: AsyncWrite + Unpin> Connection<R, W> {
    async fn serve(mut self, deadline: Instant) -> Result<(), Ended> {
        if self.authenticating {
            let authenticated = timeout_at(deadline.into(), self.serve_requests(true)).await;
            match authenticated.map_err(|_| Ended::NotAuthenticatedInTime)?? {
                Stopped::HungUp => return Ok(()),
                Stopped::Authenticated => {}
            }
        }
        self.serve_requests(false).await.map(drop)
    }

    // ANCHOR: serve_requests
    /// Serves requests until the client hangs up or, if that is asked for, has authenticated.
    async fn serve_requests(&mut self, until_authenticated: bool) -> Result<Stopped, Ended> {
        let mut turn_ends = Instant::now() + TURN;
        while let Some(frame) = self.next_frame().await? {
            match self.answer(frame).await {
                Ok(Served::Answer(answer)) => self.output.push(answer),
                Ok(Served::Silent) => {}
                Ok(Served::HungUp) => return Ok(Stopped::HungUp),
                Err(reason) => {
                    // What was asked before is answered all the same; the reason matters more than whether that worked.
                    let _broken = self.flush().await;
                    return Err(reason);
                }
            }
            if self.authenticating {
                self.look_at_authentication().await?;
            }
            let pending: usize = self.output.iter().map(Bytes::len).sum();
            if pending >= WRITE_BYTES || !self.has_frame()? || self.has_hung_up().await {
                self.flush().await?;
            }
            if until_authenticated && !self.authenticating {
                return Ok(Stopped::Authenticated);
            }
            // Requests that have arrived, and are answered at once, never wait for the socket.
            if Instant::now() >= turn_ends {
                tokio::task::yield_now().await;
                turn_ends = Instant::now() + TURN;
            }
        }
        Ok(Stopped::HungUp)
    }
    // ANCHOR_END: serve_requests

    /// Lets a client in that has authenticated, and tells one that has failed.
    async fn look_at_authentication(&mut self) -> Result<(), Ended> {
        while self.session.expects_bare_token() {
            self.flush().await?;
            let token = self.next_token().await?;
            // After a failure there is no answer: no field of it could say so.
            if let Ok(answer) = self.session.authenticate(&token) {
                self.output.push(token_frame(&answer));
            }
        }
        self.authenticating = !self.session.is_open();
        let Some(reason) = self.session.failure() else {
            return Ok(());
        };
        tokio::time::sleep(FAILED_AUTHENTICATION_DELAY).await;
        // The reason matters more than whether the client is still there to be told.
        let _broken = self.flush().await;
        Err(Ended::Unauthenticated(reason))
    }

    /// Writes the answers that are not yet written, unless and until the node is paused.
    async fn flush(&mut self) -> io::Result<()> {
        self.unsent.set(self.output.iter().map(Bytes::len).sum());
        self.endpoint.gate.pass().await;
        write_all(&mut self.writer, &mut self.output).await?;
        self.unsent.set(0);
        Ok(())
    }

    /// Reads more input, unless and until the node is paused. 0 when the client hung up.
    async fn read(&mut self) -> io::Result<usize> {
        self.endpoint.gate.pass().await;
        self.reader.read_buf(&mut self.input).await
    }

    /// Whether the client is seen to have hung up.
    async fn has_hung_up(&self) -> bool {
        let mut end = pin!(self.reader.end());
        poll_fn(|task| Poll::Ready(end.as_mut().poll(task).is_ready())).await
    }

    /// Whether a whole frame has already arrived.
    fn has_frame(&self) -> Result<bool, BadFrame> {
        Ok(frame::length(&self.input)?
            .is_some_and(|length| self.input.len() >= LENGTH_BYTES + length))
    }

    /// The next frame; none when the client hung up.
    async fn next_frame(&mut self) -> Result<Option<Bytes>, Ended> {
        loop {
            if let Some(frame) = frame::take(&mut self.input)? {
                return Ok(Some(frame));
            }
            if self.input.is_empty() && self.input.capacity() > KEPT_BUFFER {
                self.input = BytesMut::new();
            }
            // Room for the rest of the frame, but no more than what was really sent once more: announcing much is free.
            let expected = frame::length(&self.input)?.map_or(0, |length| LENGTH_BYTES + length);
            let announced = frame::announced(&self.input);
            if self.authenticating && announced > UNAUTHENTICATED_FRAME {
                return Err(Ended::LongBeforeAuthentication(announced));
            }
            let missing = expected.saturating_sub(self.input.len());
            self.input
                .reserve(missing.clamp(READ_BYTES, self.input.len().max(KEPT_BUFFER)));
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next SASL token that comes without a request around it.
    async fn next_token(&mut self) -> Result<Bytes, Ended> {
        loop {
            let announced = frame::announced(&self.input);
            if announced > UNAUTHENTICATED_FRAME {
                return Err(Ended::LongBeforeAuthentication(announced));
            }
            if let Some(token) = frame::take_token(&mut self.input) {
                return Ok(token);
            }
            self.input.reserve(READ_BYTES);
            if self.read().await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Counts a request that has arrived.
    fn take_note(&mut self, api: ApiKey, version: i16, client_id: Option<&str>, arrived: Instant) {
        let client_id = client_id.unwrap_or_default();
        let requests = &self.endpoint.shared.requests;
        let same = self.client.take().filter(|client| client.is(client_id));
        let client = same.unwrap_or_else(|| requests.client(client_id));
        requests.record(&client, self.endpoint.node_id, api, version, arrived);
        self.client = Some(client);
    }

    /// Whether the request is served now; if not, the error that it is answered with.
    fn admit(&self, found: &Found) -> Result<Option<ResponseError>, Ended> {
        let api = match found {
            Found::Offered(api) => api.key,
            Found::NewerApiVersions { .. } => ApiKey::ApiVersions,
        };
        match self.session.admit(api) {
            Ok(()) => Ok(None),
            Err(NotAdmitted::Told(error)) => Ok(Some(error)),
            Err(NotAdmitted::Silently(reason)) => Err(Ended::NotAdmitted(reason)),
        }
    }

    // ANCHOR: answer
    /// Serves one request.
    async fn answer(&mut self, mut frame: Bytes) -> Result<Served, Ended> {
        let found = find_api(&frame)?;
        let refused = match self.authenticating {
            true => self.admit(&found)?,
            false => None,
        };
        let api = match found {
            Found::Offered(api) => api,
            Found::NewerApiVersions { correlation_id } => {
                if let Some(error) = refused {
                    // The body cannot be read; that of version 0 has none.
                    return refuse(ApiKey::ApiVersions, 0, correlation_id, &Bytes::new(), error);
                }
                return Ok(Served::Answer(api::unsupported_api_versions(
                    correlation_id,
                )?));
            }
        };
        let version = frame.slice(2..4).get_i16();
        let header_version = api.key.request_header_version(version);
        let header = guard::check::<RequestHeader>(&frame, header_version)
            .and_then(|()| RequestHeader::decode(&mut frame, header_version))
            .map_err(Ended::Header)?;
        if let Some(error) = refused {
            return refuse(api.key, version, header.correlation_id, &frame, error);
        }
        let arrived = Instant::now();
        self.take_note(api.key, version, header.client_id.as_deref(), arrived);
        let hurry = Arc::new(Hurry::default());
        let cx = Context {
            now: Now::read(),
            arrived,
            node_id: self.endpoint.node_id,
            client_id: header.client_id.as_deref().unwrap_or_default().to_owned(),
            client_host: format!("/{}", self.peer.ip()),
            version,
            hurry: Arc::clone(&hurry),
            session: Arc::clone(&self.session),
        };
        let shared = Arc::clone(&self.endpoint.shared);
        let mut serving = api::start(api, shared, cx, header.correlation_id, frame);
        // Most requests are answered by the first poll, without another look at the socket.
        if let Poll::Ready(answer) = poll_fn(|task| Poll::Ready(serving.as_mut().poll(task))).await
        {
            return Ok(served(answer?));
        }
        self.flush().await?;
        // Takes its time, but waits for nobody. Its client may not wait for it either, and have hung up (acks=0).
        if api.key == ApiKey::Produce {
            return Ok(served(serving.await?));
        }
        loop {
            if !self.input.is_empty() {
                hurry.ask();
            }
            if self.input.len() >= READ_BYTES {
                tokio::select! {
                    biased;
                    answer = &mut serving => return Ok(served(answer?)),
                    () = self.reader.end() => return Ok(Served::HungUp),
                }
            }
            self.input.reserve(READ_BYTES);
            tokio::select! {
                biased;
                answer = &mut serving => return Ok(served(answer?)),
                read = self.read() => if read? == 0 { return Ok(Served::HungUp) },
            }
        }
    }
    // ANCHOR_END: answer
}

/// Answers a request with an error, and does nothing of what it asks for.
fn refuse(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &Bytes,
    error: ResponseError,
) -> Result<Served, Ended> {
    let answer = fault::refuse(api, version, correlation_id, body, error);
    let answer = answer.map_err(|source| Refused::Undecodable {
        api,
        version,
        source,
    })?;
    Ok(served(answer))
}

/// A token behind its length.
fn token_frame(token: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + token.len());
    // The tokens of our mechanisms are short.
    frame.put_u32(u32::try_from(token.len()).unwrap_or(u32::MAX));
    frame.put_slice(token);
    frame.freeze()
}

fn served(answer: Option<Bytes>) -> Served {
    answer.map_or(Served::Silent, Served::Answer)
}

/// What a frame's first fields say of it.
enum Found {
    Offered(&'static api::Registration),
    /// ApiVersions in a version that nobody here can decode.
    NewerApiVersions {
        correlation_id: i32,
    },
}

/// Finds the API and checks the version, once for all APIs.
fn find_api(frame: &Bytes) -> Result<Found, Ended> {
    let mut head = frame.clone();
    let (key, version) = (head.get_i16(), head.get_i16());
    let api = api::find(key).ok_or(Ended::UnknownApi(key))?;
    if api.versions.contains(&version) {
        Ok(Found::Offered(api))
    } else if api.key == ApiKey::ApiVersions {
        Ok(Found::NewerApiVersions {
            correlation_id: head.get_i32(),
        })
    } else {
        Err(Ended::UnknownVersion {
            api: api.key,
            version,
        })
    }
}

/// Writes all pieces, several with one call where the stream can.
async fn write_all<W: AsyncWrite + Unpin>(
    writer: &mut W,
    pieces: &mut Vec<Bytes>,
) -> io::Result<()> {
    /// As many as one call takes; more are written by further calls.
    const AT_ONCE: usize = 32;
    let mut first = 0;
    while first < pieces.len() {
        let mut slices = [IoSlice::new(&[]); AT_ONCE];
        let count = (pieces.len() - first).min(AT_ONCE);
        for (slice, piece) in slices.iter_mut().zip(&pieces[first..]) {
            *slice = IoSlice::new(piece);
        }
        let mut written = writer.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = pieces.get_mut(first).filter(|_| written > 0) {
            let taken = piece.len().min(written);
            piece.advance(taken);
            written -= taken;
            first += usize::from(piece.is_empty());
        }
    }
    pieces.clear();
    writer.flush().await
}
