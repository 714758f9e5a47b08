//! How far a partition is processed: everything before the lowest record that is not finished.

use std::collections::VecDeque;

/// The records of one partition that were started, in the order in which they were read.
///
/// Several may be worked on at the same time and finish in any order. What may be committed is where the unbroken run of
/// finished ones ends: one offset further, and a crash would lose a record (row X1).
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// From the first unfinished record on. The first one is never finished: it would have been taken away.
    window: VecDeque<Started>,
    /// The ticket of `window[0]`.
    first: u64,
    /// What may be committed. None until the first record is finished.
    position: Option<i64>,
}

#[derive(Debug)]
struct Started {
    offset: i64,
    finished: bool,
}

impl Progress {
    /// Takes note of a record that was read. The ticket stands for it: after a log was truncated, or its reader moved
    /// back, an offset may come a second time.
    pub(super) fn start(&mut self, offset: i64) -> u64 {
        self.window.push_back(Started {
            offset,
            finished: false,
        });
        self.first + self.window.len() as u64 - 1
    }

    /// Takes note that a record needs no further work. A second time changes nothing.
    pub(super) fn finish(&mut self, ticket: u64) {
        let Some(index) = ticket
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok())
        else {
            return;
        };
        if let Some(started) = self.window.get_mut(index) {
            started.finished = true;
        }
        while let Some(Started {
            offset,
            finished: true,
        }) = self.window.front()
        {
            // An offset is the address of the next record to read, not of the last one that was processed.
            self.position = Some(offset + 1);
            self.window.pop_front();
            self.first += 1;
        }
    }

    /// What may be committed. None while nothing is finished.
    pub(super) fn position(&self) -> Option<i64> {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finishes records in the `order` and checks after each that what may be committed is the lowest unfinished one.
    fn check(offsets: &[i64], order: &[usize]) {
        let mut progress = Progress::default();
        let tickets: Vec<u64> = offsets
            .iter()
            .map(|&offset| progress.start(offset))
            .collect();
        let mut finished = vec![false; offsets.len()];
        for &index in order {
            progress.finish(tickets[index]);
            finished[index] = true;
            let run = finished.iter().take_while(|finished| **finished).count();
            let expected = run.checked_sub(1).map(|last| offsets[last] + 1);
            assert_eq!(progress.position(), expected, "{offsets:?} {order:?}");
        }
    }

    fn permutations(items: &mut Vec<usize>, fixed: usize, check: &mut impl FnMut(&[usize])) {
        if fixed == items.len() {
            check(items);
        }
        for other in fixed..items.len() {
            items.swap(fixed, other);
            permutations(items, fixed + 1, check);
            items.swap(fixed, other);
        }
    }

    /// S3-05, S3-08, X1: in whatever order up to seven records finish, nothing unfinished is ever passed.
    #[test]
    fn no_order_of_finishing_passes_an_unfinished_record() {
        for length in 1..=7 {
            let offsets: Vec<i64> = (0..length).collect();
            let mut order: Vec<usize> = (0..offsets.len()).collect();
            permutations(&mut order, 0, &mut |order| check(&offsets, order));
        }
    }

    /// S3-05, X1: the same with hundreds of records, gaps between their offsets (compaction and transactions leave them),
    /// and records that start while others finish.
    #[test]
    fn gaps_and_late_starts_change_nothing() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut progress = Progress::default();
            let mut started: Vec<(u64, i64, bool)> = Vec::new();
            let mut offset = 0;
            for _ in 0..400 {
                if random.bool() || started.is_empty() {
                    offset += random.i64(1..4);
                    started.push((progress.start(offset), offset, false));
                } else {
                    // A second time now and then, too.
                    let chosen = random.usize(..started.len());
                    progress.finish(started[chosen].0);
                    started[chosen].2 = true;
                }
                let run = started.iter().take_while(|(.., finished)| *finished);
                let expected = run.last().map(|(_, offset, _)| offset + 1);
                assert_eq!(progress.position(), expected, "seed {seed}");
            }
        }
    }

    /// X1: a log that was truncated has new records at old offsets. They are work like any other.
    #[test]
    fn an_offset_that_comes_again_is_new_work() {
        check(&[7, 8, 3, 4], &[0, 1, 2, 3]);
        check(&[7, 8, 3, 4], &[3, 2, 1, 0]);
    }
}
