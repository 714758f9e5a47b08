//! One environment variable, read so that every mistake is answered alike: its name, what it holds, what to write.

use std::env::{self, VarError};

use crate::Error;

/// The variable's value, or nothing when it is not set.
///
/// # Errors
///
/// [`Error::Setting`] when it is empty or not UTF-8. An empty value is nearly always a variable that was meant to be
/// filled, so it does not count as unset.
pub(super) fn read(variable: &str, remedy: &'static str) -> Result<Option<String>, Error> {
    match env::var(variable) {
        Ok(value) if value.trim().is_empty() => {
            Err(invalid(variable, &value, "it is empty", remedy))
        }
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(value)) => Err(invalid(
            variable,
            &value.to_string_lossy(),
            "it is not valid UTF-8",
            remedy,
        )),
    }
}

/// The error for a variable that cannot be used.
pub(super) fn invalid(
    variable: &str,
    value: &str,
    reason: impl Into<String>,
    remedy: &'static str,
) -> Error {
    Error::Setting {
        variable: variable.to_owned(),
        value: value.to_owned(),
        reason: reason.into(),
        remedy,
    }
}
