//! What logs tell the one who keeps them tidy: how much memory they take together, and that there may be something to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Shared by all logs of a broker. Only read and written with the state locked: the atomics share, they do not order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upkeep(Arc<Signals>);

#[derive(Debug, Default)]
struct Signals {
    /// Memory that the batches of all logs take.
    memory: AtomicUsize,
    /// Whether a log changed in a way that may make a segment due for deletion or compaction.
    sweep_wanted: AtomicBool,
    /// Whether a log may remember a producer.
    producers: AtomicBool,
}

impl Upkeep {
    /// Memory that the batches of all logs take.
    pub(crate) fn memory(&self) -> usize {
        self.0.memory.load(Ordering::Relaxed)
    }

    /// Has the logs looked through soon.
    pub(crate) fn want_sweep(&self) {
        self.0.sweep_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether that was asked for since the last question.
    pub(crate) fn take_sweep_wanted(&self) -> bool {
        // Asked after every request: a plain load is cheaper than a swap.
        self.0.sweep_wanted.load(Ordering::Relaxed)
            && self.0.sweep_wanted.swap(false, Ordering::Relaxed)
    }

    /// Whether a log may remember a producer.
    pub(crate) fn has_producers(&self) -> bool {
        self.0.producers.load(Ordering::Relaxed)
    }

    pub(crate) fn set_has_producers(&self, producers: bool) {
        self.0.producers.store(producers, Ordering::Relaxed);
    }
}

/// One log's part of the memory. Dropping it, with its log, gives it back.
#[derive(Debug)]
pub(crate) struct Charge {
    upkeep: Upkeep,
    bytes: usize,
}

impl Charge {
    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep, bytes: 0 }
    }

    pub(crate) fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Says how much the log takes now.
    pub(crate) fn set(&mut self, bytes: usize) {
        let memory = &self.upkeep.0.memory;
        memory.fetch_add(bytes, Ordering::Relaxed);
        memory.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// Says how much it takes in addition.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}
