//! Bytes: listeners, connections, frames. Nothing here knows what a request means.

pub(crate) mod connection;
pub(crate) mod frame;
pub(crate) mod gate;
mod guard;
mod incoming;
pub(crate) mod listener;
pub(crate) mod reader;
pub(crate) mod unsent;
pub(crate) mod wire;
