//! Where each leader epoch of a partition begins, so that a consumer can tell whether its position survived a change of
//! leader (KIP-320).

/// The leader epochs of one log.
#[derive(Debug, Default)]
pub(crate) struct LeaderEpochs {
    /// In the order of both fields. An epoch in which nothing was written begins where the next one does.
    begun: Vec<LeaderEpoch>,
}

#[derive(Clone, Copy, Debug)]
struct LeaderEpoch {
    epoch: i32,
    start_offset: i64,
}

/// The end of a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochEnd {
    /// The epoch that was asked for, or the latest one before it that this log knows.
    pub(crate) epoch: i32,
    /// The offset behind its last record.
    pub(crate) offset: i64,
}

impl LeaderEpochs {
    /// Notes that records from `start_offset` on are written under `epoch`. Nothing new if it has begun already.
    pub(crate) fn begin(&mut self, epoch: i32, start_offset: i64) {
        if self.begun.last().is_none_or(|last| last.epoch < epoch) {
            self.begun.push(LeaderEpoch {
                epoch,
                start_offset,
            });
        }
    }

    /// The end of `epoch` in a log that reaches from `log_start` to `log_end`. None for an epoch that has not begun, and
    /// for -1, which stands for no epoch (`LeaderEpochFileCache.endOffsetFor`).
    pub(crate) fn end(&self, epoch: i32, log_start: i64, log_end: i64) -> Option<EpochEnd> {
        let later = self.begun.partition_point(|begun| begun.epoch <= epoch);
        let known = later.checked_sub(1).and_then(|index| self.begun.get(index));
        let end = match self.begun.get(later) {
            _ if epoch == -1 => return None,
            Some(next) => EpochEnd {
                epoch: known.map_or(epoch, |known| known.epoch),
                // Records that are deleted count for nothing.
                offset: next.start_offset.max(log_start),
            },
            None if known?.epoch == epoch => EpochEnd {
                epoch,
                offset: log_end,
            },
            None => return None,
        };
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(begun: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start_offset) in begun {
            epochs.begin(*epoch, *start_offset);
        }
        epochs
    }

    fn end(epoch: i32, offset: i64) -> Option<EpochEnd> {
        Some(EpochEnd { epoch, offset })
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins_and_the_last_at_the_end() {
        let epochs = epochs(&[(0, 0), (1, 5), (4, 8)]);
        assert_eq!(epochs.end(0, 0, 10), end(0, 5));
        assert_eq!(epochs.end(1, 0, 10), end(1, 8));
        assert_eq!(epochs.end(4, 0, 10), end(4, 10));
    }

    #[test]
    fn an_epoch_without_records_ends_where_it_began() {
        assert_eq!(epochs(&[(0, 0), (1, 5), (2, 5)]).end(1, 0, 10), end(1, 5));
    }

    #[test]
    fn an_epoch_that_was_skipped_is_answered_with_the_one_before() {
        assert_eq!(epochs(&[(0, 0), (4, 8)]).end(3, 0, 10), end(0, 8));
    }

    #[test]
    fn epochs_to_come_and_none_at_all_are_not_known() {
        let epochs = epochs(&[(0, 0)]);
        assert_eq!(epochs.end(1, 0, 10), None);
        assert_eq!(epochs.end(-1, 0, 10), None);
        assert_eq!(LeaderEpochs::default().end(0, 0, 0), None);
    }

    #[test]
    fn what_was_deleted_does_not_count() {
        let epochs = epochs(&[(2, 0), (3, 5), (4, 8)]);
        assert_eq!(epochs.end(0, 0, 10), end(0, 0));
        assert_eq!(epochs.end(0, 6, 10), end(0, 6));
        assert_eq!(epochs.end(2, 9, 10), end(2, 9));
    }

    #[test]
    fn an_epoch_begins_once() {
        assert_eq!(epochs(&[(1, 0), (1, 5), (0, 7)]).end(1, 0, 10), end(1, 10));
    }
}
