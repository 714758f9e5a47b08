//! What one transaction has read: of each partition, the first offset and the one behind the last.

use crate::assignment::TopicPartition;

/// The records of one transaction, as ranges of offsets.
#[derive(Debug, Default)]
pub(super) struct Batch {
    spans: Vec<Span>,
    /// The span of the record before. Records come partition by partition, in long runs.
    latest: usize,
    /// How many records.
    records: usize,
}

/// What was read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) partition: TopicPartition,
    /// The first record's offset: where reading begins again if nothing was ever committed.
    pub(super) first: i64,
    /// The offset behind the last record: what is committed.
    pub(super) next: i64,
}

impl Batch {
    pub(super) fn add(&mut self, topic: &str, partition: i32, offset: i64) {
        self.records += 1;
        let same =
            |span: &Span| span.partition.partition == partition && *span.partition.topic == *topic;
        if !self.spans.get(self.latest).is_some_and(same) {
            self.latest = self.spans.iter().position(same).unwrap_or(self.spans.len());
        }
        match self.spans.get_mut(self.latest) {
            Some(span) => span.next = offset + 1,
            None => self.spans.push(Span {
                partition: TopicPartition::new(topic, partition),
                first: offset,
                next: offset + 1,
            }),
        }
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S3-05: what is committed is the offset behind the last record, in each partition by itself.
    #[test]
    fn each_partition_has_its_own_range() {
        let mut batch = Batch::default();
        for (topic, partition, offset) in [
            ("orders", 0, 7),
            ("orders", 0, 8),
            ("orders", 1, 3),
            ("returns", 0, 1),
            // Compaction and the marks of transactions leave gaps.
            ("orders", 0, 12),
        ] {
            batch.add(topic, partition, offset);
        }
        let span = |topic: &str, partition, first, next| Span {
            partition: TopicPartition::new(topic, partition),
            first,
            next,
        };
        assert_eq!(
            batch.spans(),
            [
                span("orders", 0, 7, 13),
                span("orders", 1, 3, 4),
                span("returns", 0, 1, 2)
            ]
        );
        assert_eq!(batch.records(), 5);
    }
}
