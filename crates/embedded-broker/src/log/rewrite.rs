//! Batches that lose records: what a compaction writes in place of a batch.
//!
//! What is left of a batch keeps its offsets, its last offset and its producer's sequence numbers, so that consumers find
//! gaps and nothing else, and producers notice nothing.

use std::io;

use super::batch::BatchHeader;
use super::chunk::NO_TIMESTAMP;
use super::codec;
use super::records::{Record, Records};

/// The batch with only these of its records, compressed as it was. The records' bytes are copied as they are; with a new
/// delete horizon, which takes the place of the base timestamp, their timestamps are written anew.
///
/// # Errors
/// As [`codec::compress`].
pub(super) fn with_records<'a>(
    records: &'a Records<'_>,
    kept: impl Iterator<Item = Record<'a>> + Clone,
    delete_horizon: Option<i64>,
) -> io::Result<Vec<u8>> {
    let mut header = *records.header();
    header.record_count = i32::try_from(kept.clone().count()).unwrap_or(header.record_count);
    if !header.has_append_time() {
        let times = kept.clone().map(|record| records.timestamp(&record));
        let latest = times.max();
        header.max_timestamp = latest.unwrap_or(NO_TIMESTAMP);
    }
    let mut body = Vec::new();
    match delete_horizon {
        Some(horizon) => {
            header.set_delete_horizon(horizon);
            for record in kept {
                let delta = records.timestamp(&record).saturating_sub(horizon);
                record.write_with_timestamp(delta, &mut body);
            }
        }
        None => kept.for_each(|record| body.extend_from_slice(record.bytes)),
    }
    let codec = header.codec().ok_or(io::ErrorKind::InvalidData)?;
    Ok(header.with_records(&codec::compress(codec, body)?))
}

/// The batch without any record: what is left are its offsets and its producer's epoch and sequence numbers.
pub(super) fn emptied(mut header: BatchHeader) -> Vec<u8> {
    header.set_no_records();
    header.with_records(&[])
}

#[cfg(test)]
mod tests {
    use super::super::batch::Codec;
    use super::super::testing::{TestBatch, TestRecord, read_batch};
    use super::*;

    const CODECS: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    fn four_records(codec: Codec) -> Vec<u8> {
        TestBatch::new()
            .record(1_000, Some(b"a"), Some(b"1"))
            .record(1_700, Some(b"b"), None)
            .record(1_500, Some(b"c"), Some(&[b'x'; 5_000]))
            .record(1_600, None, Some(b""))
            .codec(codec)
            .producer(7, 1, 42)
            .bytes()
    }

    fn seen(offset: i64, timestamp: i64, key: &str, has_value: bool) -> TestRecord {
        TestRecord {
            offset,
            timestamp,
            key: Some(key.to_owned()),
            has_value,
        }
    }

    #[test]
    fn what_is_left_keeps_its_offsets_and_its_codec() {
        for codec in CODECS {
            let batch = four_records(codec);
            let records = Records::of(&batch).unwrap();
            let all: Vec<_> = records.all().unwrap().collect();
            let rewritten = with_records(&records, [all[0], all[2]].into_iter(), None).unwrap();
            let header = BatchHeader::parse(&rewritten).unwrap();
            assert_eq!(header.codec(), Some(codec));
            assert_eq!((header.last_offset_delta, header.record_count), (3, 2));
            assert_eq!((header.producer_id, header.base_sequence), (7, 42));
            assert_eq!(header.max_timestamp, 1_500, "the largest that is left");
            assert_eq!(
                read_batch(&rewritten),
                [seen(0, 1_000, "a", true), seen(2, 1_500, "c", true)]
            );
        }
    }

    #[test]
    fn a_delete_horizon_changes_no_timestamp() {
        for codec in CODECS {
            let batch = four_records(codec);
            let records = Records::of(&batch).unwrap();
            let all: Vec<_> = records.all().unwrap().collect();
            let rewritten = with_records(&records, all[..2].iter().copied(), Some(90_000)).unwrap();
            let header = BatchHeader::parse(&rewritten).unwrap();
            assert_eq!(header.delete_horizon(), Some(90_000));
            let left = [seen(0, 1_000, "a", true), seen(1, 1_700, "b", false)];
            assert_eq!(read_batch(&rewritten), left);
            // And the next compaction copies those records as they are.
            let records = Records::of(&rewritten).unwrap();
            let all: Vec<_> = records.all().unwrap().collect();
            let again = with_records(&records, all[1..].iter().copied(), None).unwrap();
            assert_eq!(read_batch(&again), left[1..]);
            let header = BatchHeader::parse(&again).unwrap();
            assert_eq!(header.delete_horizon(), Some(90_000));
        }
    }

    #[test]
    fn an_emptied_batch_remembers_its_producer() {
        let batch = four_records(Codec::Gzip);
        let emptied = emptied(BatchHeader::parse(&batch).unwrap());
        assert_eq!(emptied.len(), BatchHeader::LENGTH);
        let header = BatchHeader::parse(&emptied).unwrap();
        assert_eq!((header.last_offset(), header.record_count), (3, 0));
        assert_eq!((header.producer_id, header.producer_epoch), (7, 1));
        assert_eq!((header.base_sequence, header.last_sequence()), (42, 45));
        assert_eq!(read_batch(&emptied), []);
    }
}
