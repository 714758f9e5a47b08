//! Requests from bytes and answers to bytes, through the `kafka-protocol` crate.

use anyhow::ensure;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseHeader};
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

/// The longest answer: several times what the longest fetch gets. Clients refuse lengths that do not fit 31 bits.
const MAX_ANSWER: usize = 256 << 20;

/// Encodes an answer as a whole frame: its length, the header and the body.
///
/// # Errors
/// If the answer cannot be expressed in this version, or is too long.
pub(crate) fn encode_answer(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &impl Encodable,
) -> anyhow::Result<Bytes> {
    // ApiVersions always has header version 0, so that a client can read it before it knows what the broker speaks.
    let header_version = key.response_header_version(version);
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let length = header.compute_size(header_version)? + response.compute_size(version)?;
    ensure!(
        length <= MAX_ANSWER,
        "it would take {length} bytes, more than the {MAX_ANSWER} that are sent"
    );
    // Reserved once: an answer to a fetch is a megabyte, and growing would copy it again and again.
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + length);
    frame.put_i32(i32::try_from(length)?);
    header.encode(&mut frame, header_version)?;
    response.encode(&mut frame, version)?;
    ensure!(
        frame.len() == LENGTH_BYTES + length,
        "the answer's computed and encoded lengths differ"
    );
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::FetchResponse;
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};

    use super::*;

    #[test]
    fn an_answer_without_end_is_refused_before_it_takes_memory() {
        let records = Bytes::from(vec![0; 1 << 20]);
        let partition = PartitionData::default().with_records(Some(records));
        let answer = |count| {
            let topic =
                FetchableTopicResponse::default().with_partitions(vec![partition.clone(); count]);
            let response = FetchResponse::default().with_responses(vec![topic]);
            encode_answer(ApiKey::Fetch, 12, 1, &response)
        };
        assert!(answer(2).is_ok());
        let refused = answer(1_000).expect_err("a gigabyte").to_string();
        assert!(refused.contains("more than"), "{refused}");
    }
}
