//! Stop calling what does not answer, and find out carefully when it does again.
//!
//! While a service is down, each call to it waits for its timeout: requests pile up, and the first one that comes back
//! up is met by all of them at once. A circuit breaker fails such calls at once instead.
//!
//! - **closed**: calls pass. After a number of failures in a row it opens.
//! - **open**: calls are refused without being made. After a while it is half-open.
//! - **half-open**: a few calls pass, as probes. When all of them succeed it closes; when one fails it opens again.
//!
//! Around a producer it is for callers who can do something else with a record: keep it in a file, or answer "later" to
//! whoever sent it. A consumer's loop needs none: it waits, and loses nothing.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use kafka_event_streaming::Error;
//! use kafka_event_streaming::circuit_breaker::{CallError, CircuitBreaker, Settings, State};
//!
//! let breaker = CircuitBreaker::new(Settings { failures: 1, ..Settings::default() });
//! let failing = || async { Err::<(), _>(Error::FlushIncomplete { remaining: 1, waited: Default::default() }) };
//!
//! assert!(matches!(breaker.call(failing).await, Err(CallError::Failed(_))));
//! assert!(matches!(breaker.call(failing).await, Err(CallError::Open { .. })));
//! assert_eq!(breaker.snapshot().state, State::Open);
//! # }
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error_kind::{Classify, ErrorKind};

/// When to open, for how long, and how to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// So many failures in a row open it. 0 counts as 1.
    pub failures: u32,
    /// How long it stays open before it lets probes through.
    pub open_for: Duration,
    /// So many probes may be under way at a time, and so many have to succeed before it closes. 0 counts as 1.
    pub probes: u32,
}

impl Default for Settings {
    /// Open after five failures in a row, look again after ten seconds, with one call at a time.
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(10),
            probes: 1,
        }
    }
}

/// One circuit breaker for one thing that may be down. Clones share its state.
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    settings: Settings,
    /// Never held across an `.await`: the lock is for the counts, not for the call.
    circuit: Arc<Mutex<Circuit>>,
}

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// They do.
    Closed,
    /// They are refused.
    Open,
    /// A few do, to find out.
    HalfOpen,
}

/// The state and the counts since the start, for a metric or a health page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether calls pass now.
    pub state: State,
    /// Calls that were made and answered. An answer that refuses one record is an answer.
    pub succeeded: u64,
    /// Calls that were made and failed.
    pub failed: u64,
    /// Calls that were not made.
    pub refused: u64,
    /// How often it opened.
    pub opened: u64,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E: std::error::Error + 'static> {
    /// The call was not made.
    #[error("not tried, because it failed before; next try in {:.1} s", .retry_after.as_secs_f32())]
    Open {
        /// When a probe is let through at the earliest; zero when one is under way.
        retry_after: Duration,
    },
    /// The call was made.
    #[error(transparent)]
    Failed(E),
}

#[derive(Debug)]
struct Circuit {
    phase: Phase,
    /// Raised with every change of phase, so that a call that started in an earlier one does not decide in this one.
    generation: u64,
    succeeded: u64,
    failed: u64,
    refused: u64,
    opened: u64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// With the number of failures since the last success.
    Closed { failures: u32 },
    /// Since then.
    Open { since: Instant },
    /// With the number of probes that are under way and that have succeeded.
    HalfOpen { running: u32, succeeded: u32 },
}

impl CircuitBreaker {
    /// A closed one.
    pub fn new(settings: Settings) -> Self {
        let circuit = Circuit {
            phase: Phase::Closed { failures: 0 },
            generation: 0,
            succeeded: 0,
            failed: 0,
            refused: 0,
            opened: 0,
        };
        Self {
            settings,
            circuit: Arc::new(Mutex::new(circuit)),
        }
    }

    /// Makes the call, unless the circuit is open.
    ///
    /// Failures that are [transient](ErrorKind::Transient) or [fatal](ErrorKind::Fatal) count against the service. The
    /// others do not: it answered, and what it refused was this one call.
    ///
    /// # Errors
    ///
    /// - [`CallError::Open`] when the call was not made
    /// - [`CallError::Failed`] with what it failed with
    pub async fn call<T, E, Call>(
        &self,
        operation: impl FnOnce() -> Call,
    ) -> Result<T, CallError<E>>
    where
        E: Classify + std::error::Error + 'static,
        Call: Future<Output = Result<T, E>>,
    {
        let permit = self.admit()?;
        let result = operation().await;
        let answered = match &result {
            Ok(_) => true,
            Err(error) => matches!(error.kind(), ErrorKind::Permanent | ErrorKind::Abortable),
        };
        permit.settle(answered);
        result.map_err(CallError::Failed)
    }

    /// The state now, and the counts.
    pub fn snapshot(&self) -> Snapshot {
        let mut circuit = self.lock();
        circuit.look_at_the_clock(self.settings.open_for);
        Snapshot {
            state: match circuit.phase {
                Phase::Closed { .. } => State::Closed,
                Phase::Open { .. } => State::Open,
                Phase::HalfOpen { .. } => State::HalfOpen,
            },
            succeeded: circuit.succeeded,
            failed: circuit.failed,
            refused: circuit.refused,
            opened: circuit.opened,
        }
    }

    fn admit<E: std::error::Error + 'static>(&self) -> Result<Permit<'_>, CallError<E>> {
        let mut circuit = self.lock();
        circuit.look_at_the_clock(self.settings.open_for);
        let refused_for = match &mut circuit.phase {
            Phase::Closed { .. } => None,
            Phase::Open { since } => Some(self.settings.open_for.saturating_sub(since.elapsed())),
            Phase::HalfOpen { running, succeeded }
                if *running + *succeeded < self.settings.probes.max(1) =>
            {
                *running += 1;
                None
            }
            Phase::HalfOpen { .. } => Some(Duration::ZERO),
        };
        if let Some(retry_after) = refused_for {
            circuit.refused += 1;
            return Err(CallError::Open { retry_after });
        }
        Ok(Permit {
            breaker: self,
            generation: circuit.generation,
            is_settled: false,
        })
    }

    /// The counts are whole at every moment at which a panic can happen.
    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is under way. When its future is dropped half-way, nobody knows how it would have ended, and its place is
/// free for another probe.
struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    generation: u64,
    is_settled: bool,
}

impl Permit<'_> {
    fn settle(mut self, answered: bool) {
        self.is_settled = true;
        let Settings {
            failures: limit,
            probes,
            ..
        } = self.breaker.settings;
        let mut circuit = self.breaker.lock();
        if answered {
            circuit.succeeded += 1;
        } else {
            circuit.failed += 1;
        }
        if circuit.generation != self.generation {
            return;
        }
        match (&mut circuit.phase, answered) {
            (Phase::Closed { failures }, true) => *failures = 0,
            (Phase::Closed { failures }, false) => {
                *failures += 1;
                if *failures >= limit.max(1) {
                    circuit.open();
                }
            }
            (Phase::HalfOpen { running, succeeded }, true) => {
                *running = running.saturating_sub(1);
                *succeeded += 1;
                if *succeeded >= probes.max(1) {
                    circuit.enter(Phase::Closed { failures: 0 });
                }
            }
            (Phase::HalfOpen { .. }, false) => circuit.open(),
            // Nothing is admitted while it is open.
            (Phase::Open { .. }, _) => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let mut circuit = self.breaker.lock();
        if circuit.generation == self.generation
            && let Phase::HalfOpen { running, .. } = &mut circuit.phase
        {
            *running = running.saturating_sub(1);
        }
    }
}

impl Circuit {
    /// An open circuit becomes half-open by the passing of time alone. No task waits for it: whoever looks sees it.
    fn look_at_the_clock(&mut self, open_for: Duration) {
        if let Phase::Open { since } = self.phase
            && since.elapsed() >= open_for
        {
            self.enter(Phase::HalfOpen {
                running: 0,
                succeeded: 0,
            });
        }
    }

    fn open(&mut self) {
        self.opened += 1;
        let since = Instant::now();
        self.enter(Phase::Open { since });
    }

    fn enter(&mut self, phase: Phase) {
        tracing::info!(from = ?self.phase, to = ?phase, "the circuit breaker changes");
        self.phase = phase;
        self.generation += 1;
    }
}

impl State {
    /// As a number, for a gauge: 0 closed, 1 half-open, 2 open. The more, the worse.
    pub fn as_number(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

impl<E: Classify + std::error::Error + 'static> Classify for CallError<E> {
    /// A refusal passes, so [`RetryPolicy`](crate::retry::RetryPolicy) may stand around a circuit breaker.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Open { .. } => ErrorKind::Transient,
            Self::Failed(error) => error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;
    use tokio::time::advance;

    use super::*;

    #[derive(Debug, Clone, Copy, thiserror::Error)]
    #[error("it failed")]
    struct Failed(ErrorKind);

    impl Classify for Failed {
        fn kind(&self) -> ErrorKind {
            self.0
        }
    }

    const DOWN: Result<(), Failed> = Err(Failed(ErrorKind::Transient));

    const SETTINGS: Settings = Settings {
        failures: 3,
        open_for: Duration::from_secs(10),
        probes: 2,
    };

    /// Makes calls that end in so many ways, and says which were made.
    async fn calls(breaker: &CircuitBreaker, results: &[Result<(), Failed>]) -> Vec<bool> {
        let mut made = Vec::new();
        for result in results {
            let outcome = breaker.call(|| async { *result }).await;
            made.push(!matches!(outcome, Err(CallError::Open { .. })));
        }
        made
    }

    /// S1-18: failures in a row open it, a success in between starts the count anew.
    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it() {
        let breaker = CircuitBreaker::new(SETTINGS);
        let results = [DOWN, DOWN, Ok(()), DOWN, DOWN];
        assert_eq!(calls(&breaker, &results).await, [true; 5]);
        assert_eq!(breaker.snapshot().state, State::Closed);
        assert_eq!(calls(&breaker, &[DOWN, Ok(())]).await, [true, false]);
        let expected = Snapshot {
            state: State::Open,
            succeeded: 1,
            failed: 5,
            refused: 1,
            opened: 1,
        };
        assert_eq!(breaker.snapshot(), expected);
        advance(Duration::from_secs(4)).await;
        let refused = breaker.call(|| async { DOWN }).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "not tried, because it failed before; next try in 6.0 s"
        );
        assert_eq!(refused.kind(), ErrorKind::Transient);
    }

    /// S1-18: after its time it closes when all probes succeed, and opens again when one fails.
    #[tokio::test(start_paused = true)]
    async fn probes_decide() {
        let breaker = CircuitBreaker::new(SETTINGS);
        calls(&breaker, &[DOWN; 3]).await;
        advance(SETTINGS.open_for).await;
        assert_eq!(breaker.snapshot().state, State::HalfOpen);
        calls(&breaker, &[Ok(()), DOWN]).await;
        assert_eq!(breaker.snapshot().state, State::Open);

        advance(SETTINGS.open_for - Duration::from_millis(1)).await;
        assert_eq!(breaker.snapshot().state, State::Open);
        advance(Duration::from_millis(1)).await;
        calls(&breaker, &[Ok(())]).await;
        assert_eq!(breaker.snapshot().state, State::HalfOpen);
        calls(&breaker, &[Ok(())]).await;
        assert_eq!(breaker.snapshot().state, State::Closed);
        // The failures of before are forgotten.
        calls(&breaker, &[DOWN; 2]).await;
        assert_eq!(breaker.snapshot().state, State::Closed);
        assert_eq!(breaker.snapshot().opened, 2);
    }

    /// S1-18: half-open, no more than the probes are under way, and one that is given up makes room.
    #[tokio::test(start_paused = true)]
    async fn half_open_admits_a_bounded_number_of_calls() {
        let breaker = CircuitBreaker::new(SETTINGS);
        calls(&breaker, &[DOWN; 3]).await;
        advance(SETTINGS.open_for).await;
        let (answer, waiting) = oneshot::channel::<Result<(), Failed>>();
        let first = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.call(|| async { waiting.await.unwrap() }).await }
        });
        let second = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.call(pending::<Result<(), Failed>>).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(calls(&breaker, &[Ok(())]).await, [false]);

        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        assert_eq!(calls(&breaker, &[Ok(())]).await, [true]);
        answer.send(Ok(())).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(breaker.snapshot().state, State::Closed);
    }

    /// S1-18: a call that started before the circuit opened says nothing about now.
    #[tokio::test(start_paused = true)]
    async fn late_answers_do_not_count() {
        let breaker = CircuitBreaker::new(SETTINGS);
        let (answer, waiting) = oneshot::channel::<Result<(), Failed>>();
        let slow = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.call(|| async { waiting.await.unwrap() }).await }
        });
        tokio::task::yield_now().await;
        calls(&breaker, &[DOWN; 3]).await;
        advance(SETTINGS.open_for).await;
        assert_eq!(breaker.snapshot().state, State::HalfOpen);
        answer.send(DOWN).unwrap();
        slow.await.unwrap().unwrap_err();
        assert_eq!(breaker.snapshot().state, State::HalfOpen);
        assert_eq!(breaker.snapshot().failed, 4);
    }

    /// S1-15, S1-18: a record that is refused is no sign that the broker is down.
    #[tokio::test(start_paused = true)]
    async fn an_answer_is_a_success_even_if_it_is_no() {
        let breaker = CircuitBreaker::new(SETTINGS);
        let refused = [Err(Failed(ErrorKind::Permanent)); 5];
        assert_eq!(calls(&breaker, &refused).await, [true; 5]);
        assert_eq!(breaker.snapshot().succeeded, 5);
        calls(&breaker, &[Err(Failed(ErrorKind::Fatal)); 3]).await;
        assert_eq!(breaker.snapshot().state, State::Open);
    }

    /// S1-18: the state is a number that a metric can show.
    #[test]
    fn worse_states_are_higher_numbers() {
        let numbers = [State::Closed, State::HalfOpen, State::Open].map(State::as_number);
        assert_eq!(numbers, [0, 1, 2]);
    }
}
