//! Requests from bytes and answers to bytes, through the `kafka-protocol` crate.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::frame::LENGTH_BYTES;
use super::guard;

/// What a request is decoded by. An API whose request needs work outside the lock implements it on a type of its own.
pub(crate) trait FromWire: Sized {
    /// Decodes the body of a request.
    ///
    /// # Errors
    /// If the bytes are not a request of this version.
    fn from_wire(body: Bytes, version: i16) -> anyhow::Result<Self>;
}

impl<T: Decodable> FromWire for T {
    fn from_wire(mut body: Bytes, version: i16) -> anyhow::Result<Self> {
        guard::check::<T>(&body, version)?;
        T::decode(&mut body, version)
    }
}

/// What an answer is encoded by. An API whose answer carries large byte strings implements it on a type of its own, so
/// that they are handed to the socket without a copy.
pub(crate) trait IntoWire {
    /// Appends the body of the answer.
    ///
    /// # Errors
    /// If the answer cannot be expressed in this version.
    fn into_wire(self, version: i16, output: &mut Output) -> anyhow::Result<()>;
}

impl<T: Encodable> IntoWire for T {
    fn into_wire(self, version: i16, output: &mut Output) -> anyhow::Result<()> {
        self.encode(output.bytes(), version)
    }
}

/// An encoded answer: a frame in pieces that are written one after the other.
#[derive(Debug)]
pub(crate) struct Output {
    /// The frame's length, filled in last, and all that comes before the first shared piece.
    head: BytesMut,
    /// What follows the head, in order.
    pieces: Vec<Bytes>,
    /// What was encoded since the last shared piece.
    tail: BytesMut,
}

impl Output {
    /// An empty frame.
    pub(crate) fn new() -> Self {
        Self {
            head: BytesMut::zeroed(LENGTH_BYTES),
            pieces: Vec::new(),
            tail: BytesMut::new(),
        }
    }

    /// Where small fields are encoded to.
    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        if self.pieces.is_empty() {
            &mut self.head
        } else {
            &mut self.tail
        }
    }

    /// Appends bytes that already exist, without copying them.
    pub(crate) fn share(&mut self, bytes: Bytes) {
        if !self.tail.is_empty() {
            self.pieces.push(self.tail.split().freeze());
        }
        self.pieces.push(bytes);
    }

    /// The frame with its length in front, in order.
    ///
    /// # Errors
    /// If it is longer than a frame can say.
    pub(crate) fn into_frame(mut self) -> anyhow::Result<impl Iterator<Item = Bytes>> {
        let rest = self.pieces.iter().map(Bytes::len).sum::<usize>() + self.tail.len();
        let length = i32::try_from(self.head.len() - LENGTH_BYTES + rest)?;
        self.head[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        let tail = (!self.tail.is_empty()).then(|| self.tail.freeze());
        Ok(std::iter::once(self.head.freeze())
            .chain(self.pieces)
            .chain(tail))
    }
}
