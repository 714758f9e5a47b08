//! What things are called. Three types, so that a customer cannot be passed where an order is meant.

use std::fmt;
use std::str::FromStr;

/// The longest identifier. An identifier is a record's key: it is hashed and stored with every record.
const LONGEST: usize = 64;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an identifier: 1 to {LONGEST} letters, digits, '-', '_' or '.'")]
pub struct IdentifierError {
    /// The start of the text. It may come from a message, so it may be of any length.
    text: String,
}

macro_rules! identifier {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentifierError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = IdentifierError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }
    };
}

identifier! {
    /// Which order. It is the key of the order's records, so that all of them stay in one partition, in order.
    OrderId
}

identifier! {
    /// Who ordered.
    CustomerId
}

identifier! {
    /// What was ordered.
    ProductId
}

/// Identifiers end up in keys, logs, file names and addresses. What is harmless in all of them is allowed.
fn check(text: &str) -> Result<(), IdentifierError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.is_empty() && text.len() <= LONGEST && text.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(IdentifierError {
        text: text.chars().take(LONGEST).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S3-07: an identifier that was accepted can be a key, a log field and part of a file's name.
    #[test]
    fn only_harmless_text_is_an_identifier() {
        let longest = "x".repeat(LONGEST);
        for text in ["order-1001", "A.b_c", "7", &longest] {
            assert_eq!(text.parse::<OrderId>().unwrap().as_str(), text);
        }
        let too_long = "x".repeat(LONGEST + 1);
        for text in ["", " ", "order 1", "../orders", "o\n1", "ordér", &too_long] {
            let error = text.parse::<OrderId>().unwrap_err();
            assert!(error.text.len() <= LONGEST, "{error}");
            assert!(error.to_string().contains("is not an identifier"));
        }
    }
}
