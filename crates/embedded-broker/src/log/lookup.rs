//! Lookups by time. The headers tell which batches may hold the record; which record it is, only the batch itself tells.
//!
//! Opening a batch takes long: it may be compressed, and headers may promise what the records do not hold. So a lookup goes
//! step by step: [`Lookup::advance`] looks at the log and takes batches from it, [`Lookup::open`] looks into them.

use bytes::Bytes;

use super::chunk::{BatchEntry, Chunk};
use super::partition::PartitionLog;
use super::records::Records;

/// A record that was looked up by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOffset {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) leader_epoch: i32,
}

/// A lookup on its way.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// None for the largest time that there is.
    time: Option<i64>,
    /// No record before this offset is it.
    next_offset: i64,
    /// Batches that have to be opened before anybody knows more.
    candidates: Vec<Candidate>,
    /// What is known. Some once the lookup is over, none inside if there is no such record.
    result: Option<Option<TimedOffset>>,
}

/// A batch that may hold the record.
#[derive(Debug)]
struct Candidate {
    batch: Bytes,
    leader_epoch: i32,
    last_offset: i64,
    /// Records before this offset were deleted.
    start_offset: i64,
    /// The time that is looked for; none for the largest in this batch.
    time: Option<i64>,
}

impl Lookup {
    /// A lookup of the first record whose timestamp is at least `time`.
    pub(crate) fn of_time(time: i64) -> Self {
        Self::new(Some(time))
    }

    /// A lookup of the first of the records with the largest timestamp.
    pub(crate) fn of_latest() -> Self {
        Self::new(None)
    }

    fn new(time: Option<i64>) -> Self {
        Self {
            time,
            next_offset: 0,
            candidates: Vec::new(),
            result: None,
        }
    }

    /// What was found, once the lookup is over.
    pub(crate) fn result(&self) -> Option<Option<TimedOffset>> {
        self.result
    }

    /// Whether there are batches to open.
    pub(crate) fn has_work(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Takes the next batches to open from the log, unless there are some left.
    pub(crate) fn advance(&mut self, log: &PartitionLog) {
        if self.result.is_some() || self.has_work() {
            return;
        }
        self.candidates = match self.time {
            Some(time) => log.candidate(time, self.next_offset).into_iter().collect(),
            None => log.latest_candidates(),
        };
        if self.candidates.is_empty() {
            self.result = Some(None);
        }
    }

    /// Opens the batches that were taken.
    pub(crate) fn open(&mut self) {
        let mut found: Option<TimedOffset> = None;
        for candidate in self.candidates.drain(..) {
            self.next_offset = candidate.last_offset + 1;
            let here = candidate.open();
            // The first of two with the same time.
            if here.map(|here| here.timestamp) > found.map(|found| found.timestamp) {
                found = here;
            }
        }
        // A header may have promised what is not there. The next batch may hold it.
        if found.is_some() || self.time.is_none() {
            self.result = Some(found);
        }
    }
}

impl Candidate {
    fn of(log: &PartitionLog, chunk: &Chunk, entry: &BatchEntry, time: Option<i64>) -> Self {
        Self {
            batch: chunk.batch(entry),
            leader_epoch: entry.leader_epoch,
            last_offset: entry.last_offset(),
            start_offset: log.start_offset(),
            time,
        }
    }

    /// The record, as far as the batch makes sense.
    fn open(&self) -> Option<TimedOffset> {
        let records = Records::of(&self.batch)?;
        let mut readable = records
            .iter()
            .map(|record| TimedOffset {
                offset: records.offset(&record),
                timestamp: records.timestamp(&record),
                leader_epoch: self.leader_epoch,
            })
            .filter(|record| record.offset >= self.start_offset);
        match self.time {
            Some(time) => readable.find(|record| record.timestamp >= time),
            // `max_by_key` returns the last of equals, and the first is wanted.
            None => readable.reduce(|first, next| match next.timestamp > first.timestamp {
                true => next,
                false => first,
            }),
        }
    }
}

impl PartitionLog {
    /// The first batch from `offset` on that may hold a record of `time` or later.
    fn candidate(&self, time: i64, offset: i64) -> Option<Candidate> {
        let from = offset.max(self.start_offset());
        self.chunks()
            .filter(|chunk| chunk.max_timestamp() >= time && chunk.next_offset() > from)
            .find_map(|chunk| {
                let mut later = chunk.batches().iter().skip(chunk.find(from));
                let entry = later.find(|entry| entry.max_timestamp >= time)?;
                Some(Candidate::of(self, chunk, entry, Some(time)))
            })
    }

    /// The batches one of which holds the record with the largest timestamp, in their order. Only the first batch that is
    /// left can have lost records to a deletion: of all others the header tells the largest timestamp.
    fn latest_candidates(&self) -> Vec<Candidate> {
        let start = self.start_offset();
        let mut partial: Option<Candidate> = None;
        let mut latest: Option<(&Chunk, &BatchEntry)> = None;
        for chunk in self.chunks() {
            let best = latest.map(|(_, best)| best.max_timestamp);
            if Some(chunk.max_timestamp()) <= best || chunk.next_offset() <= start {
                continue;
            }
            for entry in chunk.batches().iter().skip(chunk.find(start)) {
                if entry.base_offset < start {
                    partial = Some(Candidate::of(self, chunk, entry, None));
                } else if latest.is_none_or(|(_, best)| entry.max_timestamp > best.max_timestamp) {
                    latest = Some((chunk, entry));
                }
            }
        }
        let latest = latest
            .map(|(chunk, entry)| Candidate::of(self, chunk, entry, Some(entry.max_timestamp)));
        partial.into_iter().chain(latest).collect()
    }
}

#[cfg(test)]
impl PartitionLog {
    /// The first record whose timestamp is at least `time`, if it lies before `end`.
    pub(crate) fn find_by_time(&self, time: i64, end: i64) -> Option<TimedOffset> {
        let found = self.find(Lookup::of_time(time));
        found.filter(|found| found.offset < end)
    }

    /// The first of the records with the largest timestamp.
    pub(crate) fn find_latest_time(&self) -> Option<TimedOffset> {
        self.find(Lookup::of_latest())
    }

    fn find(&self, mut lookup: Lookup) -> Option<TimedOffset> {
        loop {
            lookup.advance(self);
            match lookup.result() {
                Some(result) => return result,
                None => lookup.open(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestBatch, TestLog};
    use super::*;

    const START: i64 = TestLog::START_MS;

    #[test]
    fn a_header_that_promises_a_time_that_no_record_has_is_passed_over() {
        let mut log = TestLog::new(&[]);
        let lying = TestBatch::keyed(START, &["a", "b"]).max_timestamp(START + 100);
        log.append(&lying);
        log.append(&lying);
        log.append(&TestBatch::keyed(START + 50, &["c"]));
        let found = log.log.find_by_time(START + 10, 9).unwrap();
        assert_eq!((found.offset, found.timestamp), (4, START + 50));
        assert_eq!(log.log.find_by_time(START + 60, 9), None);
    }

    #[test]
    fn a_lookup_goes_on_behind_what_was_deleted_meanwhile() {
        let mut log = TestLog::new(&[]);
        for key in ["a", "b", "c"] {
            log.append(&TestBatch::keyed(START, &[key]).max_timestamp(START + 100));
        }
        let mut lookup = Lookup::of_time(START + 1);
        lookup.advance(&log.log);
        assert!(lookup.has_work());
        log.log.delete_before(2).unwrap();
        lookup.open();
        lookup.advance(&log.log);
        assert_eq!(lookup.candidates[0].last_offset, 2);
        lookup.open();
        lookup.advance(&log.log);
        assert_eq!(lookup.result(), Some(None));
    }
}
