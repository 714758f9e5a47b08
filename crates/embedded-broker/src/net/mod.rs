//! Bytes: listeners, connections, frames. Nothing here knows what a request means.

pub(crate) mod connection;
pub(crate) mod frame;
mod guard;
pub(crate) mod wire;
