//! What every test against a broker needs: its address, names nobody else uses, a raw client, records, and patience.

pub(crate) mod broker;
pub(crate) mod clients;
pub(crate) mod configs;
pub(crate) mod consumer_group;
pub(crate) mod group;
pub(crate) mod raw;
pub(crate) mod records;
pub(crate) mod topic;
pub(crate) mod wait;
