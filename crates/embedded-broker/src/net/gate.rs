//! A gate that tasks stop at while it is closed: how a paused node and a held request stand still.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Open when made.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    /// Tells those who stopped that the gate was opened.
    opened: Notify,
}

impl Gate {
    /// A gate that is closed already.
    pub(crate) fn closed() -> Self {
        let gate = Self::default();
        gate.close();
        gate
    }

    /// Whoever comes from now on stops.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Everybody goes on.
    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::Release);
        self.opened.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns at once while the gate is open: the usual case costs one load.
    pub(crate) async fn pass(&self) {
        while self.is_closed() {
            let mut opened = pin!(self.opened.notified());
            // Listen first and look again: the gate may have been opened in between.
            opened.as_mut().enable();
            if !self.is_closed() {
                return;
            }
            opened.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_closed_gate_holds_until_it_is_opened() {
        let gate = Arc::new(Gate::closed());
        let waiting = {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.pass().await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "a closed gate lets nobody through");
        gate.open();
        waiting.await.expect("the task passes");
        gate.pass().await;
    }
}
