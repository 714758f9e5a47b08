//! Stands in for the mechanisms where the cargo feature `sasl` is off: nobody can make credentials, so nothing demands them.

use std::convert::Infallible;

use super::{Failure, SaslUsers};
use crate::error::StartError;

pub(super) const MECHANISMS: [&str; 0] = [];

#[derive(Debug)]
pub(crate) struct Credentials(Infallible);

#[derive(Debug)]
pub(super) struct Exchange(Infallible);

impl Credentials {
    pub(crate) fn derive(_: &SaslUsers) -> Result<Self, StartError> {
        Err(StartError::FeatureMissing {
            setting: "sasl-users",
            feature: "sasl",
        })
    }
}

impl Exchange {
    pub(super) fn begin(_: &str) -> Option<Self> {
        None
    }

    pub(super) fn mechanism(&self) -> &'static str {
        match self.0 {}
    }

    pub(super) fn step(&mut self, credentials: &Credentials, _: &[u8]) -> Result<Step, Failure> {
        match credentials.0 {}
    }
}

/// What the mechanism makes of a token.
#[allow(dead_code, reason = "without mechanisms nothing is made of it")]
#[derive(Debug)]
pub(super) enum Step {
    Continue(Vec<u8>),
    Done { user: String, token: Vec<u8> },
}
