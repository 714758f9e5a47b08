//! Work that takes long and needs no state, such as decompressing a batch: done beside the threads that serve.
//!
//! One piece at a time, however many clients ask: so it takes the memory of one, and one processor at most. Turns are short,
//! and those who wait get theirs in the order in which they came.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How long a turn takes, or as long as the last piece of work in it.
const TURN: Duration = Duration::from_millis(20);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Workshop {
    place: Arc<Semaphore>,
}

impl Default for Workshop {
    fn default() -> Self {
        Self {
            place: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Workshop {
    /// Has `work` done as soon as it is its turn; it is told when its turn ends, and should begin nothing after that. None if
    /// it panicked, or the broker is stopping.
    pub(crate) async fn take_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(Instant) -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.place).acquire_owned().await.ok()?;
        let working = tokio::task::spawn_blocking(move || {
            let result = work(Instant::now() + TURN);
            // Here, not where it is waited for: whoever stops waiting does not stop the work.
            drop(turn);
            result
        });
        working.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_works_at_a_time_even_if_nobody_waits_for_the_result() {
        let workshop = Arc::new(Workshop::default());
        let working = Arc::new(AtomicUsize::new(0));
        let work = |working: &Arc<AtomicUsize>| {
            let working = Arc::clone(working);
            move |_end| {
                let others = working.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                working.fetch_sub(1, Ordering::SeqCst);
                others
            }
        };
        for _ in 0..50 {
            let (abandoned, kept) = (work(&working), work(&working));
            let shop = Arc::clone(&workshop);
            let task = tokio::spawn(async move { shop.take_turn(abandoned).await });
            tokio::task::yield_now().await;
            task.abort();
            assert_eq!(workshop.take_turn(kept).await, Some(0));
        }
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_place_back() {
        let workshop = Workshop::default();
        let failed: Option<()> = workshop.take_turn(|_end| panic!("a defect")).await;
        assert_eq!(failed, None);
        assert_eq!(workshop.take_turn(|_end| 1).await, Some(1));
    }
}
