//! How much of the answers is still to be written, on all connections together: clients that do not read what they ask for
//! should not take all memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Beyond this a fetch gets no more than one batch. One answer takes 55 MiB at most, so this is room for some of the largest.
const MAX_UNSENT: usize = 256 << 20;

/// What all connections together have not written yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unsent(Arc<AtomicUsize>);

impl Unsent {
    /// How much more there may be.
    pub(crate) fn room(&self) -> usize {
        MAX_UNSENT.saturating_sub(self.0.load(Ordering::Relaxed))
    }

    /// A connection's part, nothing yet.
    pub(crate) fn part(&self) -> UnsentPart {
        UnsentPart {
            all: self.clone(),
            bytes: 0,
        }
    }
}

/// What one connection has not written yet. Dropping it, with its connection, gives the room back.
#[derive(Debug)]
pub(crate) struct UnsentPart {
    all: Unsent,
    bytes: usize,
}

impl UnsentPart {
    /// Says how much it is now.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.all.0.fetch_add(bytes, Ordering::Relaxed);
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for UnsentPart {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_the_room_and_give_it_back() {
        let unsent = Unsent::default();
        let (mut one, mut other) = (unsent.part(), unsent.part());
        one.set(10);
        other.set(MAX_UNSENT);
        assert_eq!(unsent.room(), 0);
        other.set(20);
        assert_eq!(unsent.room(), MAX_UNSENT - 30);
        drop(one);
        assert_eq!(unsent.room(), MAX_UNSENT - 20);
    }
}
