//! A Produce request: its batches, checked as far as that needs no more than the batch itself.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{TopicName, TransactionalId};

use super::once::last_of_each;
use super::record_checks::Inspection;
use crate::clock::Now;
use crate::log::{BatchHeader, Codec};
use crate::net::reader::Reader;
use crate::net::wire::FromWire;

/// From this version on the request is flexible (KIP-482).
const FIRST_FLEXIBLE_VERSION: i16 = 9;
/// Clients that speak an older version cannot read zstd (KIP-110).
const FIRST_VERSION_WITH_ZSTD: i16 = 7;

/// A produce request whose batches have been checked.
pub(super) struct CheckedProduce {
    pub(super) acks: i16,
    pub(super) transactional_id: Option<TransactionalId>,
    /// By topic and partition.
    pub(super) topics: Vec<(TopicName, Vec<(i32, CheckedBatch)>)>,
    /// When it was first handled.
    pub(super) began: Option<Now>,
    /// How many records at fault its answer lists.
    pub(super) listed: usize,
}

pub(super) struct CheckedBatch {
    /// As far as they are the batch, if it is one.
    pub(super) bytes: Bytes,
    pub(super) checked: Result<BatchHeader, Failure>,
    /// Of its records, where the topic asks for that.
    pub(super) inspection: Option<Inspection>,
    /// Set once it was appended or refused.
    pub(super) answer: Option<PartitionProduceResponse>,
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: ResponseError,
    /// For a person.
    pub(super) reason: String,
    /// The records at fault, by their index in the batch, each with its own reason.
    pub(super) records: Vec<(i32, String)>,
    /// Where the log starts, or -1 if nobody looked.
    pub(super) log_start: i64,
}

impl Failure {
    pub(super) fn new(error: ResponseError, reason: impl Into<String>) -> Self {
        Self::of_records(error, reason, Vec::new())
    }

    /// A failure for which these records are to blame.
    pub(super) fn of_records(
        error: ResponseError,
        reason: impl Into<String>,
        records: Vec<(i32, String)>,
    ) -> Self {
        Self {
            error,
            reason: reason.into(),
            records,
            log_start: -1,
        }
    }

    /// The same, in the log that starts there.
    pub(super) fn in_log(self, log_start: i64) -> Self {
        Self { log_start, ..self }
    }
}

impl From<ResponseError> for Failure {
    fn from(error: ResponseError) -> Self {
        Self::new(error, error.to_string())
    }
}

impl FromWire for CheckedProduce {
    fn from_wire(body: Bytes, version: i16) -> anyhow::Result<Self> {
        let mut reader = Reader::new(body, version >= FIRST_FLEXIBLE_VERSION);
        let transactional_id = reader.read_nullable_string()?.map(TransactionalId);
        let acks = reader.read_i16()?;
        let _timeout_ms = reader.read_i32()?;
        let topics = reader.read_array(|reader| {
            let name = TopicName(reader.read_string()?);
            let partitions = reader.read_array(|reader| {
                let index = reader.read_i32()?;
                let records = reader.read_nullable_bytes()?;
                reader.skip_tagged_fields()?;
                Ok((index, records.unwrap_or_default()))
            })?;
            reader.skip_tagged_fields()?;
            Ok((name, partitions))
        })?;
        reader.skip_tagged_fields()?;
        let batches = topics.into_iter().flat_map(|(name, partitions)| {
            let partitions = partitions.into_iter();
            partitions.map(move |(index, records)| (name.clone(), index, records))
        });
        let topics = last_of_each(batches).into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter();
            let checked = |(index, bytes)| (index, CheckedBatch::new(bytes, version));
            (name, partitions.map(checked).collect())
        });
        Ok(Self {
            acks,
            transactional_id,
            topics: topics.collect(),
            began: None,
            listed: 0,
        })
    }
}

impl CheckedBatch {
    fn new(mut bytes: Bytes, version: i16) -> Self {
        let checked = check(&bytes, version);
        if let Ok(header) = &checked {
            bytes.truncate(header.length());
        }
        Self {
            bytes,
            checked,
            inspection: None,
            answer: None,
        }
    }
}

/// The checks that need no more than the batch itself.
fn check(bytes: &Bytes, version: i16) -> Result<BatchHeader, Failure> {
    let header =
        BatchHeader::check(bytes).map_err(|(error, reason)| Failure::new(error, reason))?;
    if header.codec() == Some(Codec::Zstd) && version < FIRST_VERSION_WITH_ZSTD {
        let reason = "zstd needs Produce version 7 or later";
        return Err(Failure::new(
            ResponseError::UnsupportedCompressionType,
            reason,
        ));
    }
    Ok(header)
}

impl CheckedProduce {
    /// Whether anything of the request can be taken.
    pub(super) fn check(&self) -> Result<(), ResponseError> {
        if !(-1..=1).contains(&self.acks) {
            return Err(ResponseError::InvalidRequiredAcks);
        }
        let mut batches = self.topics.iter().flat_map(|(_, batches)| batches);
        let transactional = |(_, batch): &(i32, CheckedBatch)| {
            batch
                .checked
                .as_ref()
                .is_ok_and(BatchHeader::is_transactional)
        };
        // Nobody may write transactionally without saying in whose name.
        match self.transactional_id.is_none() && batches.any(transactional) {
            true => Err(ResponseError::TransactionalIdAuthorizationFailed),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::ProduceRequest;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::protocol::{Decodable, Encodable};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::typical;
    use super::*;

    /// Topic, partition and length of each batch.
    fn seen(request: &CheckedProduce) -> Vec<(String, i32, usize)> {
        let topics = request.topics.iter();
        topics
            .flat_map(|(name, batches)| {
                let batches = batches.iter();
                batches.map(|(index, batch)| (name.to_string(), *index, batch.bytes.len()))
            })
            .collect()
    }

    /// A topic's name, and records by partition.
    type Data = (&'static str, &'static [(i32, &'static [u8])]);

    fn produce(topics: &[Data]) -> Bytes {
        let topics = topics.iter().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|(index, records)| {
                PartitionProduceData::default()
                    .with_index(*index)
                    .with_records(Some(Bytes::from_static(records)))
            });
            TopicProduceData::default()
                .with_name(TopicName((*name).into()))
                .with_partition_data(partitions.collect())
        });
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(topics.collect());
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, 9).expect("a request");
        bytes.freeze()
    }

    #[test]
    fn of_two_batches_for_a_partition_the_last_counts() {
        let request = produce(&[
            ("a", &[(0, b"1"), (1, b"22"), (0, b"333")]),
            ("b", &[(0, b"4444")]),
            ("a", &[(1, b"55555")]),
        ]);
        let request = CheckedProduce::from_wire(request, 9).expect("a request");
        let expected = [("a", 0, 3), ("a", 1, 5), ("b", 0, 4)];
        let expected = expected.map(|(name, index, length)| (name.to_owned(), index, length));
        assert_eq!(seen(&request), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// It takes what the generated decoder takes, wherever a request was tampered with.
        #[test]
        fn it_reads_what_the_generated_decoder_reads(
            version in 3..=11_i16,
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let api = kafka_protocol::messages::ApiKey::Produce;
            let typical = typical::request(api, version, uuid::Uuid::nil()).expect("a request");
            let mut body = typical.body.to_vec();
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if let Some(cut) = cut {
                body.truncate(cut.index(body.len()));
            }
            let body = Bytes::from(body);
            let mine = CheckedProduce::from_wire(body.clone(), version);
            // The dry run keeps lying counts away from the generated decoder.
            let theirs = ProduceRequest::from_wire(body.clone(), version)
                .and_then(|_| ProduceRequest::decode(&mut body.clone(), version));
            prop_assert_eq!(mine.is_ok(), theirs.is_ok());
            if let (Ok(mine), Ok(theirs)) = (mine, theirs) {
                prop_assert_eq!(mine.acks, theirs.acks);
                prop_assert_eq!(&mine.transactional_id, &theirs.transactional_id);
                let count = theirs.topic_data.iter().map(|topic| topic.partition_data.len());
                prop_assert!(seen(&mine).len() <= count.sum());
            }
        }
    }
}
