//! Keeping the logs tidy: retention, compaction, and the limit on the memory that all of them take together.
//!
//! Logs are looked through at most once a second (`log.retention.check.interval.ms`), and only when one of them said that
//! something may have fallen due or the time that was foreseen at the last look has come: an idle broker sleeps. The memory
//! is looked at after each request.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use tracing::{debug, warn};
use uuid::Uuid;

use crate::clock::Now;
use crate::log::{Cleaned, Cleaning, Dirt, PartitionLog, Replaced};
use crate::state::State;
use crate::timers::Timer;

/// How far memory is brought below its limit at a time: a 64th, so that one request in a while pays for it.
const FREED_PART: usize = 64;

/// What there is to be done about the logs.
#[derive(Debug, Default)]
pub(crate) struct Housekeeping {
    /// When the logs are looked through next.
    next_sweep: Option<Instant>,
    /// The compaction to be done next.
    pending: Option<CleaningTask>,
    /// Whether a compaction was taken and not finished yet. One at a time: the processor is for the clients.
    is_cleaning: bool,
    /// Whether it was said that records are deleted for want of memory.
    warned: bool,
}

/// A compaction to be done without the state's lock.
#[derive(Debug)]
pub(crate) struct CleaningTask {
    topic_id: Uuid,
    partition: usize,
    work: Cleaning,
}

/// A compaction that was done, or failed.
#[derive(Debug)]
pub(crate) struct CleaningResult {
    topic_id: Uuid,
    partition: usize,
    cleaned: std::io::Result<Cleaned>,
}

impl CleaningTask {
    /// Does the work, which takes its time.
    pub(crate) fn run(self) -> CleaningResult {
        CleaningResult {
            topic_id: self.topic_id,
            partition: self.partition,
            cleaned: self.work.run(),
        }
    }
}

impl State {
    /// To be called whenever something was done: keeps the memory within its limit, and has the logs looked through if
    /// one of them asks for it.
    pub(crate) fn keep_house(&mut self, now: Now) {
        if self.topics.upkeep.memory() > self.settings.max_memory {
            self.free_memory();
        }
        if self.topics.upkeep.take_sweep_wanted() {
            self.schedule_sweep(now.instant + self.settings.log_check_interval);
        }
        self.foresee_forgetting(now);
    }

    fn schedule_sweep(&mut self, at: Instant) {
        if self.housekeeping.next_sweep.is_none_or(|next| at < next) {
            self.housekeeping.next_sweep = Some(at);
            self.timers.reschedule(at, Timer::Logs);
        }
    }

    /// Looks through all logs: deletes what retention does not keep, and chooses the dirtiest for compaction.
    pub(crate) fn sweep_logs(&mut self, now: Now) {
        self.housekeeping.next_sweep = None;
        let mut due: Option<i64> = None;
        let mut dirtiest: Option<(f64, Uuid, usize)> = None;
        for topic in self.topics.iter_mut() {
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                let config = topic.config.on(partition.leader);
                let retained_until = partition.log.enforce_retention(config, now);
                let tolerable_until = match partition.log.dirt(config, now) {
                    Dirt::Tolerable { until } => until,
                    Dirt::TooMuch { ratio } => {
                        if dirtiest.is_none_or(|(most, ..)| ratio > most) {
                            dirtiest = Some((ratio, topic.id, index));
                        }
                        None
                    }
                };
                due = [due, retained_until, tolerable_until]
                    .into_iter()
                    .flatten()
                    .min();
            }
        }
        if let Some((_, topic_id, partition)) = dirtiest {
            self.prepare_cleaning(topic_id, partition, now);
        }
        let at = due.and_then(|due| {
            let wait = u64::try_from(due.saturating_sub(now.unix_ms)).unwrap_or(0);
            let wait = Duration::from_millis(wait).max(self.settings.log_check_interval);
            now.instant.checked_add(wait)
        });
        if let Some(at) = at {
            self.schedule_sweep(at);
        }
    }

    fn prepare_cleaning(&mut self, topic_id: Uuid, partition: usize, now: Now) {
        if self.housekeeping.is_cleaning {
            // Its end has the logs looked through again.
            return;
        }
        let Some((log, config)) = self.topics.log_by_id(topic_id, partition) else {
            return;
        };
        self.housekeeping.pending = log.begin_cleaning(config, now).map(|work| CleaningTask {
            topic_id,
            partition,
            work,
        });
    }

    /// Takes the compaction that is to be done. What it results in is handed to [`State::finish_cleaning`].
    pub(crate) fn take_cleaning(&mut self) -> Option<CleaningTask> {
        let task = self.housekeeping.pending.take()?;
        self.housekeeping.is_cleaning = true;
        Some(task)
    }

    /// Puts a log's compacted segments in their place, and returns what was there: giving back a large log's memory takes a
    /// while, and should not be waited for by those who wait for the state.
    pub(crate) fn finish_cleaning(&mut self, result: CleaningResult, now: Now) -> Replaced {
        self.housekeeping.is_cleaning = false;
        let log = self.topics.log_by_id(result.topic_id, result.partition);
        let replaced = match (result.cleaned, log) {
            (Ok(cleaned), Some((log, _))) => {
                let bytes_before = log.bytes();
                let replaced = log.finish_cleaning(cleaned);
                let (topic_id, partition) = (result.topic_id, result.partition);
                debug!(%topic_id, partition, bytes_before, bytes = log.bytes(), "compacted a log");
                replaced
            }
            (Ok(_), None) => Some(Replaced::default()),
            (Err(error), _) => {
                warn!(%error, "cannot compact a log");
                None
            }
        };
        // Other logs may wait for their turn. One whose compaction was in vain has to wait, or it would be tried without end.
        if replaced.is_some() {
            self.schedule_sweep(now.instant);
        } else {
            self.topics.upkeep.want_sweep();
        }
        self.keep_house(now);
        replaced.unwrap_or_default()
    }

    /// Deletes the oldest records of all until there is some room again.
    fn free_memory(&mut self) {
        let limit = self.settings.max_memory;
        if !self.housekeeping.warned {
            self.housekeeping.warned = true;
            warn!(
                max_memory = limit,
                "the logs take all the memory that they may: from now on the oldest records are deleted. Give the broker \
                 more with --max-memory, or topics a shorter retention"
            );
        }
        let upkeep = self.topics.upkeep.clone();
        let mut logs: Vec<&mut PartitionLog> = self
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
            .map(|partition| &mut partition.log)
            .collect();
        let mut oldest: BinaryHeap<_> = logs
            .iter()
            .enumerate()
            .filter_map(|(index, log)| Some(Reverse((log.oldest_chunk()?, index))))
            .collect();
        while upkeep.memory() > limit - limit / FREED_PART
            && let Some(Reverse((_, index))) = oldest.pop()
        {
            logs[index].drop_oldest_chunk();
            if let Some(next) = logs[index].oldest_chunk() {
                oldest.push(Reverse((next, index)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::log::BatchHeader;
    use crate::log::testing::TestBatch;
    use crate::settings::Settings;

    const SECOND: Duration = Duration::from_secs(1);

    struct Fixture {
        state: State,
        now: Now,
    }

    impl Fixture {
        fn new(max_memory: usize) -> Self {
            let settings = Settings {
                max_memory,
                ..Settings::default()
            };
            Self {
                state: State::new(settings, Cluster::new(Vec::new())),
                now: Now::read(),
            }
        }

        /// Creates a topic of one partition that node 0 leads.
        fn create(&mut self, name: &str, configs: &[(&str, &str)]) {
            let overrides = configs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let config = self.state.configs.topic(overrides.collect()).unwrap();
            self.state.topics.create(name, vec![vec![0]], config);
        }

        fn append(&mut self, name: &str, batch: &TestBatch) {
            let bytes = batch.bytes();
            let header = BatchHeader::check(&bytes).unwrap();
            let led = self.state.topics.led_by_with_config(0, name, 0);
            let (partition, config) = led.unwrap();
            partition
                .log
                .append(&bytes, &header, 0, config, self.now)
                .unwrap();
            self.state.keep_house(self.now);
        }

        /// Lets time pass, with a tick at its end.
        fn wait(&mut self, time: Duration) {
            self.now = self.now.after(time);
            self.state.tick(self.now);
        }

        fn start_offset(&mut self, name: &str) -> i64 {
            let partition = self.state.topics.led_by(0, name, 0).unwrap();
            partition.log.start_offset()
        }

        /// How long the broker sleeps if nothing happens.
        fn sleep(&self) -> Option<Duration> {
            self.state.timers.next().map(|at| at - self.now.instant)
        }
    }

    #[test]
    fn an_idle_broker_sleeps_until_the_next_deletion() {
        let mut broker = Fixture::new(usize::MAX);
        broker.create("days", &[]);
        broker.create("seconds", &[("retention.ms", "30000")]);
        broker.state.tick(broker.now);
        assert_eq!(broker.sleep(), None, "without records");
        let now_ms = broker.now.unix_ms;
        broker.append("days", &TestBatch::of_size(now_ms, 10));
        assert_eq!(broker.sleep(), Some(SECOND));
        broker.wait(SECOND);
        let days = Duration::from_millis(7 * 24 * 3_600_000 + 1);
        assert_eq!(broker.sleep(), Some(days - SECOND));
        broker.append("seconds", &TestBatch::of_size(now_ms, 10));
        broker.append("seconds", &TestBatch::of_size(now_ms + 1_000, 10));
        broker.wait(SECOND);
        let half_a_minute = Duration::from_millis(30_001);
        assert_eq!(broker.sleep(), Some(half_a_minute - SECOND));
        broker.wait(half_a_minute - SECOND);
        assert_eq!(broker.start_offset("seconds"), 2);
        assert_eq!(broker.start_offset("days"), 0);
        broker.wait(days);
        assert_eq!(broker.start_offset("days"), 1);
        assert_eq!(broker.sleep(), None, "everything is gone");
    }

    #[test]
    fn a_log_that_is_too_large_is_looked_at() {
        let mut broker = Fixture::new(usize::MAX);
        let configs = [
            ("retention.bytes", "1000"),
            ("internal.segment.bytes", "400"),
        ];
        broker.create("small", &configs);
        let now_ms = broker.now.unix_ms;
        for _ in 0..6 {
            broker.append("small", &TestBatch::of_size(now_ms, 300));
        }
        assert_eq!(broker.start_offset("small"), 0);
        broker.wait(SECOND);
        assert_eq!(broker.start_offset("small"), 3);
    }

    #[test]
    fn beyond_the_limit_the_oldest_records_go() {
        let mut broker = Fixture::new(8 << 20);
        broker.create("quiet", &[]);
        broker.create("first", &[]);
        broker.create("second", &[]);
        let now_ms = broker.now.unix_ms;
        broker.append("quiet", &TestBatch::of_size(now_ms, 100));
        let large = TestBatch::of_size(now_ms, 1 << 20);
        for topic in ["first", "second", "first", "second", "first"] {
            broker.wait(Duration::from_millis(1));
            broker.append(topic, &large);
        }
        assert!(!broker.state.housekeeping.warned);
        for _ in 0..4 {
            broker.wait(Duration::from_millis(1));
            broker.append("first", &large);
        }
        assert!(broker.state.housekeeping.warned);
        assert!(broker.state.topics.upkeep.memory() <= 8 << 20);
        let starts = ["quiet", "first", "second"].map(|topic| broker.start_offset(topic));
        assert_eq!(starts, [0, 1, 1]);
    }

    #[test]
    fn the_dirtiest_log_is_compacted_first_and_one_at_a_time() {
        let mut broker = Fixture::new(usize::MAX);
        let configs = [("cleanup.policy", "compact"), ("segment.ms", "1")];
        let now_ms = broker.now.unix_ms;
        for topic in ["one", "other"] {
            broker.create(topic, &configs);
            for time in [0, 2, 4] {
                broker.append(topic, &TestBatch::keyed(now_ms + time, &["key"]));
            }
        }
        assert!(broker.state.take_cleaning().is_none());
        broker.wait(SECOND);
        let task = broker.state.take_cleaning().unwrap();
        broker.append("one", &TestBatch::keyed(now_ms + 6, &["key"]));
        broker.wait(SECOND);
        assert!(broker.state.take_cleaning().is_none(), "one at a time");
        broker.state.finish_cleaning(task.run(), broker.now);
        broker.wait(Duration::ZERO);
        let task = broker.state.take_cleaning().unwrap();
        broker.state.topics.delete("other");
        broker.state.finish_cleaning(task.run(), broker.now);
        let log = &broker.state.topics.led_by(0, "one", 0).unwrap().log;
        let first = BatchHeader::parse(&log.read(0, 4, 1).unwrap()).unwrap();
        assert_eq!(first.base_offset, 1, "the first of three records is gone");
    }
}
