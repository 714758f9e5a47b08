//! What a partition keeps: record batches as the bytes they arrived in.

pub(crate) mod batch;
mod partition;
mod producer;
mod records;
mod segment;

pub(crate) use batch::BatchHeader;
pub(crate) use partition::PartitionLog;
