//! One step of one record: an attempt of the handler, putting it aside, or the wait before the next attempt.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::handler::{Failure, Handler};
use super::lanes::LaneId;
use crate::consumed_record::ConsumedRecord;
use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::trace_context::{self, TraceContext};

/// A record on its way through the processor. It travels in a box: it is moved from hand to hand many times.
pub(super) struct Work<'a, T> {
    pub(super) record: ConsumedRecord<'a>,
    pub(super) stage: Stage<T>,
    /// The trace that it belongs to.
    pub(super) trace: Option<TraceContext>,
    /// Which lane it belongs to, and so which assignment of which partition.
    pub(super) lane: LaneId,
    /// What stands for it in the partition's progress.
    pub(super) ticket: u64,
    /// How often the handler was called.
    pub(super) attempts: u32,
    /// Since when, and how, it has not worked out. None for nearly all records.
    pub(super) trouble: Option<Box<Trouble>>,
}

/// What is to be done with a record.
pub(super) enum Stage<T> {
    /// Give the event to the handler.
    Handle(T),
    /// Write it to the dead letters.
    PutAside {
        /// Why.
        reason: String,
    },
}

/// What is known of a record that failed.
pub(super) struct Trouble {
    /// For people.
    pub(super) first_failure: SystemTime,
    /// For the policy.
    pub(super) since: Instant,
    /// The waits that are left.
    pub(super) delays: Box<dyn Iterator<Item = Duration> + Send>,
    /// Whether its partition was paused for it.
    pub(super) pauses: bool,
}

/// What became of a step.
pub(super) enum Stepped<'a, T> {
    /// The record needs no further work.
    Finished(Box<Work<'a, T>>),
    /// It does.
    Failed(Box<Work<'a, T>>, Failure),
    /// It is time for the next attempt.
    Rested(Box<Work<'a, T>>),
}

/// Rests if there is something to wait for, or else does what the stage says.
pub(super) async fn step<'a, T, H, D>(
    handler: &H,
    dead_letters: &D,
    limit: Duration,
    mut work: Box<Work<'a, T>>,
    rest: Option<Duration>,
) -> Stepped<'a, T>
where
    H: Handler<T>,
    D: DeadLetters,
{
    if let Some(rest) = rest {
        tokio::time::sleep(rest).await;
        return Stepped::Rested(work);
    }
    let result = match &work.stage {
        Stage::Handle(event) => {
            work.attempts += 1;
            let attempt = pin!(trace_context::follow_context(
                work.trace.clone(),
                work.record.message(),
                handler.handle(event, &work.record)
            ));
            within(limit, attempt).await
        }
        Stage::PutAside { reason } => {
            let trouble = work.trouble.as_ref();
            let letter = DeadLetter {
                record: &work.record,
                error: reason,
                attempts: work.attempts,
                first_failure: trouble
                    .map_or_else(SystemTime::now, |trouble| trouble.first_failure),
            };
            // In a box of its own: each record's step would else be as large as this rare one.
            let put_aside = Box::pin(async { Ok(dead_letters.put_aside(&letter).await?) });
            within(limit, put_aside).await
        }
    };
    match result {
        Ok(()) => Stepped::Finished(work),
        Err(failure) => Stepped::Failed(work, failure),
    }
}

/// As `tokio::time::timeout`, but without a timer for work that is done at once. The work is pinned elsewhere, so that it
/// is held once.
async fn within(
    limit: Duration,
    mut work: impl Future<Output = Result<(), Failure>> + Unpin,
) -> Result<(), Failure> {
    if let Poll::Ready(result) =
        poll_fn(|context| Poll::Ready(Pin::new(&mut work).poll(context))).await
    {
        return result;
    }
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Failure::transient(format!("not done within {limit:?}"))))
}
