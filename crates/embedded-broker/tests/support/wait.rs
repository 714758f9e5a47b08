//! Waiting for an effect: poll with a deadline, never sleep and hope.

use std::time::{Duration, Instant};

/// Long enough for a busy two-core machine; a passing test never waits for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// Asks until there is an answer, and returns it.
///
/// # Panics
/// After `deadline`, saying what was missing.
pub(crate) async fn eventually<T>(
    deadline: Duration,
    missing: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            start.elapsed() < deadline,
            "after {deadline:?} still missing: {missing}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Awaits `future` for at most `deadline`.
///
/// # Panics
/// After `deadline`, saying what was missing.
pub(crate) async fn within<T>(
    deadline: Duration,
    missing: &str,
    future: impl Future<Output = T>,
) -> T {
    match tokio::time::timeout(deadline, future).await {
        Ok(value) => value,
        Err(_) => panic!("after {deadline:?} still missing: {missing}"),
    }
}
