//! The loop itself: what it waits for, in which order it looks, and what it does then.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::attempt::{Stage, Stepped, Work, step};
use super::desk::Desk;
use super::handler::Handler;
use super::verdict::{Remedy, remedy};
use super::{Processor, ProcessorError};
use crate::Error;
use crate::assignment::{Change, TopicPartition};
use crate::dead_letter::DeadLetters;
use crate::error_kind::{Classify, ErrorKind};
use crate::event::Event;
use crate::member::{Arrival, not_committed};

/// How many records are taken in one go, without a look at anything else.
const BURST: usize = 128;

/// How often the client is asked while there is no room for records. Rebalances are noticed by it, and
/// `max.poll.interval.ms` is kept.
const KEEP_ALIVE: Duration = Duration::from_millis(500);

/// As long as there is nothing.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// What the last commit has at least, when finishing the work took all the time.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);

/// Between two tries of a commit that is waited for.
const COMMIT_PAUSE: Duration = Duration::from_millis(100);

/// A commit that is under way, with what it is about. Never two at a time: the older one might arrive later.
type Committing<'a> = Pin<Box<dyn Future<Output = Committed> + Send + 'a>>;
type Committed = (BTreeMap<TopicPartition, i64>, Result<(), Error>);

/// What the loop has waited for.
enum Next<'a, T> {
    /// It is to stop.
    Stop,
    /// A step is done, or was dropped with its partition.
    Stepped(Option<Stepped<'a, T>>),
    /// A commit is answered.
    Committed(Committed),
    /// It is time for a commit.
    Commit,
    /// A record, the end of a partition, or an error.
    Arrived(Result<Arrival<'a>, Error>),
    /// Something that is looked at in every round.
    Look,
}

impl<T: Event, H: Handler<T>, D: DeadLetters> Processor<T, H, D> {
    /// Works until there is a reason to stop, and commits. The caller leaves the group.
    pub(super) async fn work(&self, stop: &CancellationToken) -> Result<(), ProcessorError> {
        let member = self.consumer.member();
        let mut desk = Desk::new(&self.settings);
        let mut steps = FuturesUnordered::new();
        let mut committing: Option<Committing<'_>> = None;
        // Until when the work in flight may take, once there is a reason to stop.
        let mut end: Option<Instant> = None;
        let mut commits = ticks(self.settings.commit_interval);
        let mut keep_alive = ticks(KEEP_ALIVE.min(self.max_poll_interval / 4));
        loop {
            if end.is_none() && desk.stopped.is_some() {
                end = Some(self.last_call(&mut desk));
            }
            if end.is_some_and(|end| !desk.is_working() || Instant::now() >= end) {
                break;
            }
            if member.assignments().has_changes() {
                for change in member.take_changes() {
                    self.change(&mut desk, change);
                }
            }
            if let Some(leaving) = desk.ready_to_leave(Instant::now()) {
                self.leave(&mut desk, committing.take(), &leaving).await;
            }
            while let Some((work, rest)) = desk.next() {
                let gone = desk.gone(work.lane);
                steps.push(gone.run_until_cancelled_owned(self.begin(work, rest)));
            }
            self.pause_and_resume(&mut desk);

            let due = desk.leaving_until().into_iter().chain(end).min();
            // While partitions are taken away, and at the end, what arrives is not records.
            let listens = desk.has_room() || due.is_some();
            let next = tokio::select! {
                biased;
                () = stop.cancelled(), if end.is_none() => Next::Stop,
                Some(stepped) = steps.next(), if !steps.is_empty() => Next::Stepped(stepped),
                committed = answer(&mut committing) => Next::Committed(committed),
                () = member.assignments().changed() => Next::Look,
                () = until(due) => Next::Look,
                _ = commits.tick(), if committing.is_none() && end.is_none() => Next::Commit,
                _ = keep_alive.tick(), if !listens => {
                    member.receive_now().map_or(Next::Look, Next::Arrived)
                }
                arrived = member.receive(FOR_EVER), if listens => Next::Arrived(arrived),
            };
            match next {
                Next::Stop => end = Some(self.last_call(&mut desk)),
                Next::Stepped(stepped) => {
                    if let Some(stepped) = stepped {
                        self.stepped(&mut desk, stepped);
                    }
                }
                Next::Committed(committed) => self.committed(&mut desk, committed),
                Next::Commit => committing = self.commit(&desk),
                Next::Look => {}
                Next::Arrived(first) => {
                    let mut arrived = Some(first);
                    let mut left = BURST;
                    while let Some(arrival) = arrived {
                        if let Some(work) = self.arrived(&mut desk, arrival) {
                            if desk.is_idle() {
                                let lane = work.lane;
                                let mut step = self.begin(work, None);
                                // Most handlers that wait for nothing are done by this, and nothing else of the loop was
                                // needed.
                                match poll_fn(|context| Poll::Ready(step.as_mut().poll(context)))
                                    .await
                                {
                                    Poll::Ready(Stepped::Finished(work)) => {
                                        self.finished(&mut desk, &work)
                                    }
                                    Poll::Ready(stepped) => {
                                        desk.started(lane);
                                        self.stepped(&mut desk, stepped);
                                    }
                                    Poll::Pending => {
                                        desk.started(lane);
                                        let gone = desk.gone(lane);
                                        steps.push(gone.run_until_cancelled_owned(step));
                                    }
                                }
                            } else {
                                desk.push(work);
                            }
                        }
                        left -= 1;
                        let goes_on =
                            left > 0 && desk.has_room() && !member.assignments().has_changes();
                        arrived = if goes_on { member.receive_now() } else { None };
                    }
                    if left == 0 {
                        // Handlers that never wait would keep the thread from every other task.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        drop(steps);
        let deadline = end
            .unwrap_or_else(Instant::now)
            .max(Instant::now() + COMMIT_PATIENCE);
        self.commit_all(&mut desk, committing, false, deadline)
            .await?;
        match desk.stopped.take() {
            Some(because) => Err(because),
            None => Ok(()),
        }
    }

    fn begin<'a>(
        &'a self,
        work: Box<Work<'a, T>>,
        rest: Option<Duration>,
    ) -> Pin<Box<impl Future<Output = Stepped<'a, T>> + use<'a, T, H, D>>> {
        let limit = self.settings.attempt_timeout;
        Box::pin(step(&self.handler, &self.dead_letters, limit, work, rest))
    }

    /// From here on nothing new is begun.
    fn last_call(&self, desk: &mut Desk<'_, T>) -> Instant {
        desk.close();
        Instant::now() + self.settings.drain_timeout
    }

    /// What the group did.
    fn change(&self, desk: &mut Desk<'_, T>, change: Change) {
        match change {
            Change::Assigned(partitions) => {
                // A pause of an earlier time would still hold.
                if let Err(error) = self.consumer.member().resume(&partitions) {
                    debug!(%error, "taken away again");
                }
                desk.assign(partitions);
            }
            Change::Revoked(partitions) => {
                desk.prepare_to_leave(&partitions, Instant::now() + self.settings.drain_timeout);
            }
            Change::Lost(partitions) => desk.lose(&partitions),
        }
    }

    /// Commits what is processed of these partitions, and gives them back. The rest of the group waits; what is not
    /// committed in time, the next owner does again.
    async fn leave<'a>(
        &'a self,
        desk: &mut Desk<'a, T>,
        committing: Option<Committing<'a>>,
        leaving: &[TopicPartition],
    ) {
        let deadline = Instant::now() + self.settings.drain_timeout;
        if let Err(error) = self.commit_all(desk, committing, true, deadline).await {
            warn!(%error, cause = cause(&error), "partitions are given back without a commit");
        }
        self.consumer.member().release(leaving);
        desk.lose(leaving);
    }

    fn pause_and_resume(&self, desk: &mut Desk<'_, T>) {
        let member = self.consumer.member();
        let (pause, resume) = desk.pauses();
        let paused = if pause.is_empty() {
            Ok(())
        } else {
            member.pause(&pause)
        };
        let resumed = if resume.is_empty() {
            Ok(())
        } else {
            member.resume(&resume)
        };
        if let Err(error) = paused.and(resumed) {
            debug!(%error, "taken away meanwhile");
        }
    }

    /// Gives work for a record. Errors that pass are left to librdkafka.
    fn arrived<'a>(
        &self,
        desk: &mut Desk<'a, T>,
        arrived: Result<Arrival<'a>, Error>,
    ) -> Option<Box<Work<'a, T>>> {
        match arrived {
            Ok(Arrival::Record(message)) => return desk.admit(message),
            Ok(Arrival::End(_) | Arrival::Nothing) => {}
            Err(error) if error.kind() == ErrorKind::Transient => {
                warn!(%error, cause = cause(&error), "reading goes on");
            }
            Err(error) => desk.stop(error.into()),
        }
        None
    }

    fn stepped<'a>(&self, desk: &mut Desk<'a, T>, stepped: Stepped<'a, T>) {
        match stepped {
            Stepped::Finished(work) => self.finished(desk, &work),
            Stepped::Rested(work) => desk.wake(work),
            Stepped::Failed(mut work, failure) => {
                let words = failure.to_string();
                match remedy(&self.settings, &mut work, failure) {
                    Remedy::Again(delay) => {
                        self.tell(|observer| observer.retried(&work.record, &words, delay));
                        desk.rest(work, delay);
                    }
                    Remedy::PutAside(reason) => {
                        work.stage = Stage::PutAside { reason };
                        desk.go_on(work);
                    }
                    Remedy::Stop(because) => {
                        desk.leave_unfinished(work.lane);
                        desk.stop(because);
                    }
                }
            }
        }
    }

    fn finished<'a>(&self, desk: &mut Desk<'a, T>, work: &Work<'a, T>) {
        desk.finish(work);
        match &work.stage {
            Stage::Handle(_) => self.tell(|observer| observer.done(&work.record, work.attempts)),
            Stage::PutAside { reason } => {
                self.tell(|observer| observer.dead_lettered(&work.record, reason));
            }
        }
    }

    /// Begins a commit of everything that is processed, if there is something.
    fn commit(&self, desk: &Desk<'_, T>) -> Option<Committing<'_>> {
        let member = self.consumer.member();
        for (partition, lag) in member.assignments().lags() {
            self.tell(|observer| observer.lag(&partition, lag));
        }
        let next_offsets = desk.uncommitted(false);
        if next_offsets.is_empty() {
            return None;
        }
        let commit = member.commit(next_offsets.clone());
        Some(Box::pin(async move { (next_offsets, commit.await) }))
    }

    fn committed(&self, desk: &mut Desk<'_, T>, (next_offsets, result): Committed) {
        match result {
            Ok(()) => {
                desk.committed(&next_offsets);
                self.tell(|observer| observer.committed(&next_offsets));
            }
            Err(error) => {
                warn!(%error, cause = cause(&error), "tried again with the next commit");
                self.tell(|observer| observer.commit_failed(&error));
            }
        }
    }

    /// Commits what is processed, of all partitions or of those that leave, and tries again while there is time: the
    /// coordinator may be moving, or a rebalance be under way, so that this member's generation is of yesterday.
    async fn commit_all<'a>(
        &'a self,
        desk: &mut Desk<'a, T>,
        committing: Option<Committing<'a>>,
        only_leaving: bool,
        deadline: Instant,
    ) -> Result<(), Error> {
        let member = self.consumer.member();
        if let Some(committing) = committing {
            self.committed(desk, committing.await);
        }
        loop {
            // The group may take partitions away meanwhile. Those that are lost need no commit any more.
            for change in member.take_changes() {
                self.change(desk, change);
            }
            let next_offsets = desk.uncommitted(only_leaving);
            if next_offsets.is_empty() {
                return Ok(());
            }
            let commit = member.commit(next_offsets.clone());
            let result = timeout_at(deadline, commit).await.unwrap_or_else(|_| {
                let timed_out = KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut);
                Err(not_committed(&next_offsets, timed_out))
            });
            match result {
                Ok(()) => {
                    self.committed(desk, (next_offsets, Ok(())));
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Fatal || Instant::now() >= deadline => {
                    return Err(error);
                }
                Err(error) => self.committed(desk, (next_offsets, Err(error))),
            }
            // Joins again, or learns what is lost, if that is what is missing.
            let arrived = member.receive(COMMIT_PAUSE).await;
            if let Some(work) = self.arrived(desk, arrived) {
                desk.push(work);
            }
        }
    }
}

fn cause(error: &Error) -> Option<impl tracing::Value + '_> {
    error.source().map(tracing::field::display)
}

fn ticks(period: Duration) -> Interval {
    // An interval of nothing panics.
    let period = period.max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn answer(committing: &mut Option<Committing<'_>>) -> Committed {
    match committing {
        Some(commit) => {
            let committed = commit.await;
            *committing = None;
            committed
        }
        None => pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
