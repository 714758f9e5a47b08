//! Why a request, or one part of it, is refused: an error for the program and a message for a person.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    error: ResponseError,
    /// None where Apache Kafka says no more than the error.
    message: Option<String>,
}

impl Refusal {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self {
            error,
            message: Some(message.into()),
        }
    }

    /// The error as answers carry it.
    pub(crate) fn code(&self) -> i16 {
        self.error.code()
    }

    /// The message as answers carry it.
    pub(crate) fn message(self) -> Option<StrBytes> {
        self.message.map(StrBytes::from_string)
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self {
            error,
            message: None,
        }
    }
}
