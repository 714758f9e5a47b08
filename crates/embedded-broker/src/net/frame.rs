//! Frames: a signed 32-bit length and that many bytes (<https://kafka.apache.org/protocol#protocol_common>).

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;

/// `socket.request.max.bytes` of Apache Kafka: the longest frame that may carry records.
pub(crate) const MAX_PRODUCE_FRAME: usize = 100 * 1024 * 1024;

/// The longest frame of any other request. Decoded fields take some thirty times the room of their bytes, and nothing but
/// records needs to be large.
pub(crate) const MAX_OTHER_FRAME: usize = 4 * 1024 * 1024;

/// How many bytes the length takes.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Why a connection's bytes are no frames.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadFrame {
    #[error("a frame of {0} bytes: the length is negative or too small for a request header")]
    TooShort(i32),
    #[error(
        "the client speaks TLS; this listener takes clients with security.protocol=PLAINTEXT or SASL_PLAINTEXT"
    )]
    Tls,
    #[error("a frame of {length} bytes: at most {limit} are read for this request")]
    TooLong { length: usize, limit: usize },
}

/// The length of the frame that `buffer` begins with, once its length and API key have arrived.
///
/// # Errors
/// If no request can have this length.
pub(crate) fn length(buffer: &BytesMut) -> Result<Option<usize>, BadFrame> {
    // The length and the first field of the header, which is the API key.
    let Some((head, _)) = buffer.split_first_chunk::<6>() else {
        let Some((length, _)) = buffer.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        return checked(i32::from_be_bytes(*length), MAX_PRODUCE_FRAME).map(|_| None);
    };
    let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let key = i16::from_be_bytes([head[4], head[5]]);
    let limit = if key == ApiKey::Produce as i16 {
        MAX_PRODUCE_FRAME
    } else {
        MAX_OTHER_FRAME
    };
    checked(length, limit).map(Some)
}

fn checked(length: i32, limit: usize) -> Result<usize, BadFrame> {
    // The smallest header: API key, version, correlation id.
    const SMALLEST: usize = 8;
    // How a TLS handshake begins (RFC 8446, section 5.1). As a length it is beyond every limit.
    if length.to_be_bytes().starts_with(&[0x16, 0x03]) {
        return Err(BadFrame::Tls);
    }
    match usize::try_from(length) {
        Ok(bytes) if bytes > limit => Err(BadFrame::TooLong {
            length: bytes,
            limit,
        }),
        Ok(bytes) if bytes >= SMALLEST => Ok(bytes),
        _ => Err(BadFrame::TooShort(length)),
    }
}

/// How many bytes the frame that `buffer` begins with announces to follow its length; 0 until that has arrived.
pub(crate) fn announced(buffer: &BytesMut) -> usize {
    let length = buffer
        .first_chunk()
        .map_or(0, |head| i32::from_be_bytes(*head));
    usize::try_from(length).unwrap_or(0)
}

/// Takes the frame that `buffer` begins with, if all of it has arrived, whatever is in it: a SASL token is no request, and may
/// be empty. A negative length counts as 0.
pub(crate) fn take_token(buffer: &mut BytesMut) -> Option<Bytes> {
    let end = LENGTH_BYTES + announced(buffer);
    if buffer.len() < end {
        return None;
    }
    Some(buffer.split_to(end).freeze().slice(LENGTH_BYTES..))
}

/// Takes the frame that `buffer` begins with, if all of it has arrived.
///
/// # Errors
/// As [`length`].
pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Bytes>, BadFrame> {
    let Some(length) = length(buffer)? else {
        return Ok(None);
    };
    if buffer.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: i32, rest: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::from(&length.to_be_bytes()[..]);
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole_and_leaves_what_follows() {
        let mut bytes = frame(8, &[0, 18, 0, 0, 0, 0, 0]);
        assert_eq!(take(&mut bytes), Ok(None));
        bytes.extend_from_slice(&[1, 9, 9]);
        assert_eq!(
            take(&mut bytes),
            Ok(Some(Bytes::from_static(&[0, 18, 0, 0, 0, 0, 0, 1])))
        );
        assert_eq!(&bytes[..], [9, 9]);
    }

    #[test]
    fn negative_tiny_and_oversize_lengths_are_refused_from_the_length_alone() {
        assert_eq!(length(&frame(-1, &[])), Err(BadFrame::TooShort(-1)));
        assert_eq!(length(&frame(7, &[])), Err(BadFrame::TooShort(7)));
        assert!(matches!(
            length(&frame(i32::MAX, &[])),
            Err(BadFrame::TooLong { .. })
        ));
    }

    #[test]
    fn a_token_may_be_anything_and_waits_until_it_is_whole() {
        let mut bytes = frame(3, b"ab");
        assert_eq!(take_token(&mut bytes), None);
        bytes.extend_from_slice(&[b'c', 0, 0, 0, 0, 0]);
        assert_eq!(take_token(&mut bytes), Some(Bytes::from_static(b"abc")));
        assert_eq!(take_token(&mut bytes), Some(Bytes::new()));
        assert_eq!(take_token(&mut bytes), None);
        assert_eq!(announced(&bytes), 0);
        assert_eq!(announced(&frame(7, &[])), 7);
        assert_eq!(announced(&frame(-7, &[])), 0);
    }

    #[test]
    fn a_tls_handshake_is_no_long_frame() {
        let hello = frame(0x1603_0100, &[0, 1]);
        assert_eq!(length(&hello), Err(BadFrame::Tls));
    }

    #[test]
    fn only_produce_may_be_large() {
        let length_of = |key: u8| length(&frame(MAX_OTHER_FRAME as i32 + 1, &[0, key]));
        assert_eq!(length_of(0), Ok(Some(MAX_OTHER_FRAME + 1)));
        assert!(matches!(length_of(3), Err(BadFrame::TooLong { .. })));
    }
}
