//! Groups of the new consumer group protocol (KIP-848).

mod admin;
mod assignors;
mod clients;
mod fencing;
mod kinds;
mod members;
mod offsets;
mod patterns;
mod requests;
mod timeouts;
