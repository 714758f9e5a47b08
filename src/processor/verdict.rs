//! What is done about a record that failed.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::ProcessorError;
use super::attempt::{Stage, Trouble, Work};
use super::handler::{Failure, Verdict};
use super::settings::{ProcessorSettings, WhenExhausted};
use crate::retry::RetryPolicy;

/// What is done about a record that failed. Passing over it is not among them.
pub(super) enum Remedy {
    /// Try again, so much later.
    Again(Duration),
    /// Put it aside, for this reason.
    PutAside(String),
    /// Stop the processor.
    Stop(ProcessorError),
}

/// Decides, and writes down in `work` that it failed.
pub(super) fn remedy<T>(
    settings: &ProcessorSettings,
    work: &mut Work<'_, T>,
    failure: Failure,
) -> Remedy {
    let trouble = work.trouble.get_or_insert_with(|| {
        Box::new(Trouble {
            first_failure: SystemTime::now(),
            since: Instant::now(),
            delays: Box::new(settings.retry.delays()),
            pauses: false,
        })
    });
    let handling = matches!(work.stage, Stage::Handle(_));
    match failure.verdict {
        Verdict::Fatal => {}
        Verdict::Poison if handling => return Remedy::PutAside(failure.to_string()),
        // What cannot be put aside, and never will.
        Verdict::Poison => {}
        Verdict::Transient => {
            if let Some(delay) = next_delay(&settings.retry, trouble) {
                return Remedy::Again(delay);
            }
            match settings.when_exhausted {
                WhenExhausted::KeepTrying => return Remedy::Again(longest_delay(settings.retry)),
                WhenExhausted::DeadLetter if handling => {
                    // Putting it aside has the policy's patience anew.
                    trouble.delays = Box::new(settings.retry.delays());
                    trouble.since = Instant::now();
                    return Remedy::PutAside(failure.to_string());
                }
                WhenExhausted::DeadLetter | WhenExhausted::Stop => {}
            }
        }
    }
    Remedy::Stop(stop(work, handling, failure))
}

fn next_delay(policy: &RetryPolicy, trouble: &mut Trouble) -> Option<Duration> {
    let delay = trouble.delays.next()?;
    (trouble.since.elapsed().saturating_add(delay) <= policy.total).then_some(delay)
}

/// The wait before each further attempt when the policy has no more of them, with its random part.
fn longest_delay(policy: RetryPolicy) -> Duration {
    let endless = RetryPolicy {
        first_delay: policy.longest_delay,
        attempts: 2,
        ..policy
    };
    endless.delays().next().unwrap_or(policy.longest_delay)
}

fn stop<T>(work: &Work<'_, T>, handling: bool, failure: Failure) -> ProcessorError {
    let (partition, offset) = (work.record.topic_partition(), work.record.offset());
    let (attempts, source) = (work.attempts, failure.source);
    match failure.verdict {
        _ if !handling => ProcessorError::NotPutAside {
            partition,
            offset,
            source,
        },
        Verdict::Fatal => ProcessorError::Fatal {
            partition,
            offset,
            source,
        },
        Verdict::Transient | Verdict::Poison => ProcessorError::GaveUp {
            partition,
            offset,
            attempts,
            source,
        },
    }
}
