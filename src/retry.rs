//! Try again, later each time, and stop in time.
//!
//! `retries=3` is no back-off (row X14): three tries within a millisecond meet the same failure three times, and a
//! thousand clients that try at the same moments bring a broker down that had just come up. So the delay doubles, a
//! random part spreads the clients, and both the number of attempts and the time are bounded.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use kafka_event_streaming::error_kind::{Classify, ErrorKind};
//! use kafka_event_streaming::retry::RetryPolicy;
//! use kafka_event_streaming::shutdown::CancellationToken;
//!
//! #[derive(Debug, thiserror::Error)]
//! #[error("the payment service is restarting")]
//! struct Restarting;
//!
//! impl Classify for Restarting {
//!     fn kind(&self) -> ErrorKind {
//!         ErrorKind::Transient
//!     }
//! }
//!
//! let stop = CancellationToken::new();
//! let paid = RetryPolicy::default()
//!     .run(&stop, |attempt| async move {
//!         if attempt < 3 { Err(Restarting) } else { Ok("paid") }
//!     })
//!     .await;
//! assert_eq!(paid.unwrap(), "paid");
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error_kind::{Classify, ErrorKind};

/// How often, how fast and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// The first attempt and all that follow it. 0 counts as 1.
    pub attempts: u32,
    /// How long to wait after the first failure. Doubled after each one that follows.
    pub first_delay: Duration,
    /// The delay grows no further than this, its random part aside.
    pub longest_delay: Duration,
    /// No attempt starts later than this after the first one did.
    pub total: Duration,
}

impl Default for RetryPolicy {
    /// Five attempts within a minute: enough for a leader election or the restart of a small service.
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(10),
            total: Duration::from_secs(60),
        }
    }
}

/// The last failure, and why it was the last.
#[derive(Debug, thiserror::Error)]
#[error("gave up at attempt {attempts}, after {:.1} s: {reason}", .elapsed.as_secs_f32())]
pub struct GaveUp<E: std::error::Error + 'static> {
    /// Why there was no further attempt.
    pub reason: Reason,
    /// How many there were.
    pub attempts: u32,
    /// How long they took, with the waits in between.
    pub elapsed: Duration,
    /// What the last attempt failed with.
    pub source: E,
}

/// Why there was no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The failure is of a kind that trying again does not mend.
    NotTransient(ErrorKind),
    /// That was the last attempt of [`RetryPolicy::attempts`].
    NoMoreAttempts,
    /// The next attempt would start after [`RetryPolicy::total`].
    NoMoreTime,
    /// The token was cancelled.
    Cancelled,
}

impl RetryPolicy {
    /// Calls `operation` until it succeeds, with the number of the attempt, from 1.
    ///
    /// Only [transient](ErrorKind::Transient) failures are tried again. Cancelling `stop` ends a wait at once, and never
    /// an attempt: cut off in the middle, nobody would know whether it took effect. An attempt that may hang needs a
    /// timeout of its own.
    ///
    /// # Errors
    ///
    /// [`GaveUp`] with the last failure.
    pub async fn run<T, E, Operation, Attempt>(
        &self,
        stop: &CancellationToken,
        mut operation: Operation,
    ) -> Result<T, GaveUp<E>>
    where
        E: Classify + std::error::Error + 'static,
        Operation: FnMut(u32) -> Attempt,
        Attempt: Future<Output = Result<T, E>>,
    {
        let started = Instant::now();
        let mut delays = self.delays();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let source = match operation(attempts).await {
                Ok(value) => return Ok(value),
                Err(source) => source,
            };
            let reason = match (source.kind(), delays.next()) {
                (ErrorKind::Transient, None) => Reason::NoMoreAttempts,
                (ErrorKind::Transient, Some(delay))
                    if started.elapsed().saturating_add(delay) > self.total =>
                {
                    Reason::NoMoreTime
                }
                (ErrorKind::Transient, Some(delay)) => {
                    tracing::warn!(attempts, ?delay, error = %source, "failed, and is tried again");
                    let wait = tokio::time::sleep(delay);
                    match stop.run_until_cancelled(wait).await {
                        Some(()) => continue,
                        None => Reason::Cancelled,
                    }
                }
                (kind, _) => Reason::NotTransient(kind),
            };
            return Err(GaveUp {
                reason,
                attempts,
                elapsed: started.elapsed(),
                source,
            });
        }
    }

    /// The waits between the attempts, for loops that have something else to do meanwhile. Each one is its share of the
    /// exponential plus a random part of up to as much again; so there is one less than there are attempts.
    pub fn delays(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let retries = usize::try_from(self.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        ExponentialBuilder::new()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .with_max_times(retries)
            .with_jitter()
            .build()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotTransient(ErrorKind::Fatal) => "the client is of no more use",
            Self::NotTransient(ErrorKind::Abortable) => "the transaction has to be aborted",
            Self::NotTransient(_) => "trying again does not help",
            Self::NoMoreAttempts => "no attempts are left",
            Self::NoMoreTime => "no time is left",
            Self::Cancelled => "the program is stopping",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Failed(ErrorKind);

    impl Classify for Failed {
        fn kind(&self) -> ErrorKind {
            self.0
        }
    }

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 6,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(5),
        total: Duration::from_secs(1_000),
    };

    /// When each attempt of an operation that always fails started, in seconds, and how it ended.
    async fn starts(policy: RetryPolicy, kind: ErrorKind) -> (Vec<f64>, GaveUp<Failed>) {
        let started = Instant::now();
        let starts = RefCell::new(Vec::new());
        let stop = CancellationToken::new();
        let failure = policy
            .run(&stop, |_| {
                starts.borrow_mut().push(started.elapsed().as_secs_f64());
                async move { Err::<(), _>(Failed(kind)) }
            })
            .await
            .unwrap_err();
        (starts.into_inner(), failure)
    }

    /// S1-16, X14: each wait is twice the one before it, up to the longest, and at most doubled by chance.
    #[tokio::test(start_paused = true)]
    async fn waits_grow_to_the_longest_and_are_spread() {
        let mut first_waits = Vec::new();
        for _ in 0..20 {
            let (starts, failure) = starts(POLICY, ErrorKind::Transient).await;
            assert_eq!(
                (failure.reason, failure.attempts),
                (Reason::NoMoreAttempts, 6)
            );
            let waits: Vec<f64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            for (wait, least) in waits.iter().zip([1.0, 2.0, 4.0, 5.0, 5.0]) {
                // The clock ticks in milliseconds.
                assert!(
                    (least - 0.01..=2.0 * least + 0.01).contains(wait),
                    "{waits:?}"
                );
            }
            first_waits.push((waits[0] * 1_000.0).round().to_string());
        }
        first_waits.sort();
        first_waits.dedup();
        assert!(first_waits.len() > 5, "no jitter: {first_waits:?}");
    }

    /// S1-16: no attempt starts after the total time, and nothing is waited for in vain.
    #[tokio::test(start_paused = true)]
    async fn the_total_time_is_a_bound() {
        let policy = RetryPolicy {
            attempts: 100,
            total: Duration::from_secs(30),
            ..POLICY
        };
        let (starts, failure) = starts(policy, ErrorKind::Transient).await;
        assert_eq!(failure.reason, Reason::NoMoreTime);
        assert!(starts.last() <= Some(&30.0), "{starts:?}");
        assert!(starts.len() >= 4, "{starts:?}");
        assert!(failure.elapsed <= Duration::from_secs(30), "{failure}");
    }

    /// S1-15, S1-16: what trying again does not mend is not tried again.
    #[tokio::test(start_paused = true)]
    async fn only_transient_failures_are_tried_again() {
        for kind in [ErrorKind::Permanent, ErrorKind::Abortable, ErrorKind::Fatal] {
            let (starts, failure) = starts(POLICY, kind).await;
            assert_eq!(starts.len(), 1);
            assert_eq!(failure.reason, Reason::NotTransient(kind));
            assert_eq!(failure.elapsed, Duration::ZERO);
        }
    }

    /// S1-16: a success ends it, and one attempt is always made.
    #[tokio::test(start_paused = true)]
    async fn a_success_ends_it() {
        let stop = CancellationToken::new();
        let result = POLICY
            .run(&stop, |attempt| async move {
                if attempt < 3 {
                    return Err(Failed(ErrorKind::Transient));
                }
                Ok(attempt)
            })
            .await;
        assert_eq!(result.unwrap(), 3);

        let never = RetryPolicy {
            attempts: 0,
            ..POLICY
        };
        let (starts, failure) = starts(never, ErrorKind::Transient).await;
        assert_eq!((starts.len(), failure.attempts), (1, 1));
    }

    /// S1-16: stopping ends a wait at once and an attempt never.
    #[tokio::test(start_paused = true)]
    async fn stopping_ends_a_wait_and_no_attempt() {
        let stop = CancellationToken::new();
        let started = Instant::now();
        let retry = POLICY.run(&stop, |_| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Err::<(), _>(Failed(ErrorKind::Transient))
        });
        let (result, ()) = tokio::join!(retry, async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            stop.cancel();
        });
        let failure = result.unwrap_err();
        assert_eq!((failure.reason, failure.attempts), (Reason::Cancelled, 1));
        assert_eq!(started.elapsed().as_secs(), 10);
        assert_eq!(
            failure.to_string(),
            "gave up at attempt 1, after 10.0 s: the program is stopping"
        );
    }
}
