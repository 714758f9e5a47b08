//! What is done with each record, between reading it and writing results.

use super::Outputs;
use crate::Error;
use crate::assignment::TopicPartition;
use crate::consumed_record::ConsumedRecord;

/// Why a record could not be processed, in the transform's own words. `?` turns any error into it.
pub type TransformError = Box<dyn std::error::Error + Send + Sync>;

/// A transform with a memory of its own. One without is a closure; see [`run`](super::TransactionalProcessor::run).
///
/// Its effects have to stay in `outputs` and in its memory: those are taken back when a transaction is aborted. A letter
/// that was sent is not.
pub trait Transform: Send + 'static {
    /// Makes results of one record. Called in the order of offsets within each partition.
    ///
    /// # Errors
    ///
    /// Anything: the open transaction is aborted, and the processor stops with [`Error::Transform`]. It does not pass a
    /// record that it could not process. To go on all the same, set the record aside with [`Outputs::forward`].
    fn transform(
        &mut self,
        record: &ConsumedRecord<'_>,
        outputs: &mut Outputs,
    ) -> Result<(), TransformError>;

    /// The transaction is about to be committed: the last chance to add to it.
    ///
    /// # Errors
    ///
    /// As [`transform`](Self::transform).
    fn complete(&mut self, _outputs: &mut Outputs) -> Result<(), TransformError> {
        Ok(())
    }

    /// The transaction was committed: what was done since the last call stays.
    fn committed(&mut self) {}

    /// The transaction was aborted. Forget what was done since the last [`committed`](Self::committed): its records come
    /// again.
    fn aborted(&mut self) {}

    /// These partitions are this member's from now on; none of their records has been seen yet. Called between
    /// transactions.
    ///
    /// Blocks the processor. What takes longer than `max.poll.interval.ms` loses the partitions again.
    ///
    /// # Errors
    ///
    /// Any of the library's: the processor stops with it.
    fn assigned(&mut self, _partitions: &[TopicPartition]) -> Result<(), Error> {
        Ok(())
    }

    /// These partitions were given to other members, or lost. Called after the open transaction was aborted.
    fn revoked(&mut self, _partitions: &[TopicPartition]) {}
}

/// A closure as a transform.
pub(super) struct EachRecord<F>(pub(super) F);

impl<F> Transform for EachRecord<F>
where
    F: FnMut(&ConsumedRecord<'_>, &mut Outputs) -> Result<(), TransformError> + Send + 'static,
{
    fn transform(
        &mut self,
        record: &ConsumedRecord<'_>,
        outputs: &mut Outputs,
    ) -> Result<(), TransformError> {
        self.0(record, outputs)
    }
}
