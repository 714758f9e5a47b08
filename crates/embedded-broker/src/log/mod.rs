//! What a partition keeps: record batches as the bytes they arrived in.

mod aborted;
pub(crate) mod batch;
mod chunk;
mod cleaner;
mod codec;
mod epochs;
mod lookup;
#[cfg(test)]
mod model;
mod partition;
mod producer;
mod records;
mod retention;
mod rewrite;
mod segment;
#[cfg(test)]
pub(crate) mod testing;
mod transactions;
mod upkeep;

pub(crate) use aborted::AbortedTransaction;
pub(crate) use batch::{BatchHeader, Codec};
pub(crate) use cleaner::{Cleaned, Cleaning, Dirt, Replaced};
pub(crate) use epochs::EpochEnd;
pub(crate) use lookup::Lookup;
pub(crate) use partition::PartitionLog;
pub(crate) use producer::ActiveProducer;
pub(crate) use records::Records;
pub(crate) use transactions::{Marker, TransactionResult};
pub(crate) use upkeep::Upkeep;
