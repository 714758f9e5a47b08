//! Windows as a transform: what happens to each record, and what is written before each commit.

use std::collections::BTreeMap;
use std::mem;
use std::ops::AddAssign;

use rdkafka::message::Message;

use super::changelog::{self, Entry};
use super::restore::Restorer;
use super::state::{Change, Placement, WindowState};
use super::{Aggregation, Emit, Restored, Window, WindowResult, WindowSettings};
use crate::Error;
use crate::assignment::TopicPartition;
use crate::consumed_record::ConsumedRecord;
use crate::event_consumer;
use crate::transaction::{OutputRecord, Outputs, Transform, TransformError};

/// The header of a record that was set aside: why it was.
pub const REJECTED_HEADER: &str = "rejected";

pub(super) struct Aggregating<A: Aggregation> {
    aggregation: A,
    settings: WindowSettings,
    restorer: Restorer,
    /// The windows of each partition that this member owns.
    partitions: BTreeMap<i32, WindowState<A::Total>>,
    /// As of the last commit.
    counted: Rejected,
    /// Of the open transaction.
    staged: Rejected,
}

/// Records that are part of no total.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rejected {
    pub(super) late: u64,
    pub(super) undecodable: u64,
}

impl<A: Aggregation> Aggregating<A> {
    pub(super) fn new(aggregation: A, settings: WindowSettings, restorer: Restorer) -> Self {
        Self {
            aggregation,
            settings,
            restorer,
            partitions: BTreeMap::new(),
            counted: Rejected::default(),
            staged: Rejected::default(),
        }
    }

    pub(super) fn rejected(&self) -> Rejected {
        self.counted
    }

    fn reject(&self, record: &ConsumedRecord<'_>, reason: &str, outputs: &mut Outputs) {
        if let Some(topic) = &self.settings.rejects {
            outputs.forward(topic.as_str(), record, &[(REJECTED_HEADER, reason)]);
        }
    }

    fn result(
        &self,
        window: Window,
        key: &str,
        total: &A::Total,
        outputs: &mut Outputs,
    ) -> Result<(), Error> {
        let result = WindowResult {
            key: key.to_owned(),
            start: window.start(),
            end: window.end(),
            total: total.clone(),
        };
        outputs.event(self.settings.output.as_str(), &result)
    }

    /// What one change adds to the transaction.
    fn write(
        &self,
        partition: i32,
        change: &Change<'_, A::Total>,
        outputs: &mut Outputs,
    ) -> Result<(), TransformError> {
        let mut store = |key: Vec<u8>, payload: Option<Vec<u8>>| {
            outputs.push(OutputRecord {
                // The partition of equal number, so that whoever owns the one owns the other.
                partition: Some(partition),
                key: Some(key),
                payload,
                ..OutputRecord::to(self.settings.changelog.as_str())
            });
        };
        match *change {
            Change::Updated { window, key, total } => {
                store(
                    changelog::total_key(window, key),
                    Some(changelog::total_payload(total)?),
                );
                if self.settings.emit == Emit::OnUpdate {
                    self.result(window, key, total, outputs)?;
                }
            }
            Change::Closed {
                window,
                key,
                total,
                is_updated,
                is_stored,
            } => {
                if is_stored {
                    store(changelog::total_key(window, key), None);
                }
                if self.settings.emit == Emit::WhenClosed || is_updated {
                    self.result(window, key, total, outputs)?;
                }
            }
            Change::Advanced { latest_ms } => {
                let (key, payload) = changelog::progress(self.settings.windows, latest_ms)?;
                store(key, Some(payload));
            }
        }
        Ok(())
    }
}

impl<A: Aggregation> Transform for Aggregating<A> {
    fn transform(
        &mut self,
        record: &ConsumedRecord<'_>,
        outputs: &mut Outputs,
    ) -> Result<(), TransformError> {
        let event = match event_consumer::decode::<A::Event>(record) {
            Ok(event) => event,
            // There is nowhere to set it aside.
            Err(undecodable) if self.settings.rejects.is_none() => return Err(undecodable.into()),
            Err(undecodable) => {
                self.staged.undecodable += 1;
                self.reject(
                    record,
                    &format!("{undecodable}: {}", undecodable.reason),
                    outputs,
                );
                return Ok(());
            }
        };
        // Never happens: without its state, a partition's totals would begin at nothing again.
        let state = self
            .partitions
            .get_mut(&record.partition())
            .ok_or("its partition was never assigned")?;
        let time_ms = self.aggregation.time(&event).as_millisecond();
        let key = self.aggregation.key(&event);
        let placement = state.add(time_ms, &key, |total| self.aggregation.fold(total, &event));
        if placement == Placement::Late {
            self.staged.late += 1;
            self.reject(record, "its window was closed", outputs);
        }
        Ok(())
    }

    fn complete(&mut self, outputs: &mut Outputs) -> Result<(), TransformError> {
        for (partition, state) in &self.partitions {
            for change in state.changes() {
                self.write(*partition, &change, outputs)?;
            }
        }
        Ok(())
    }

    fn committed(&mut self) {
        self.partitions.values_mut().for_each(WindowState::commit);
        let staged = mem::take(&mut self.staged);
        if staged.late > 0 {
            tracing::warn!(
                records = staged.late,
                "records came after their windows had closed"
            );
        }
        self.counted += staged;
    }

    fn aborted(&mut self) {
        self.partitions.values_mut().for_each(WindowState::abort);
        self.staged = Rejected::default();
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let windows = self.settings.windows;
        let numbers: Vec<i32> = partitions.iter().map(|found| found.partition).collect();
        let mut states: BTreeMap<i32, WindowState<A::Total>> = numbers
            .iter()
            .map(|number| (*number, WindowState::new(windows)))
            .collect();
        let mut read: BTreeMap<i32, u64> = BTreeMap::new();
        self.restorer.restore(&numbers, |record| {
            *read.entry(record.partition()).or_default() += 1;
            let key = record.key().unwrap_or_default();
            let entry = changelog::read(windows, record.offset(), key, record.payload())?;
            let state = states.get_mut(&record.partition());
            match (state, entry) {
                (
                    Some(state),
                    Some(Entry::Total {
                        start_ms,
                        key,
                        total,
                    }),
                ) => {
                    state.restore(start_ms, key, total);
                }
                (Some(state), Some(Entry::Latest { latest_ms })) => state.restore_latest(latest_ms),
                _ => {}
            }
            Ok(())
        })?;
        for (partition, state) in &states {
            let found = Restored {
                partition: *partition,
                records: read.get(partition).copied().unwrap_or_default(),
                totals: state.len(),
            };
            tracing::debug!(?found, "restored the open windows");
            self.aggregation.restored(found);
        }
        self.partitions.append(&mut states);
        Ok(())
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        for TopicPartition { partition, .. } in partitions {
            self.partitions.remove(partition);
        }
    }
}

impl AddAssign for Rejected {
    fn add_assign(&mut self, other: Self) {
        self.late += other.late;
        self.undecodable += other.undecodable;
    }
}
