//! Amounts of money, exact.
//!
//! A binary floating-point number cannot hold 0.10: it holds the nearest multiple of a power of two. One amount prints
//! as it should, and a sum of them does not:
//!
//! ```
//! use kafka_event_streaming::order::Money;
//!
//! assert_ne!(0.1 + 0.2, 0.3); // 0.30000000000000004
//!
//! let sum = "0.10 EUR".parse::<Money>()?.checked_add("0.20 EUR".parse()?)?;
//! assert_eq!(sum, "0.30 EUR".parse()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! So an amount is a whole number of its currency's minor units, cents for the euro, and never a float (row X11). There
//! is no `+`: adding euros to yen, and running out of range, are errors that the caller has to see.

use std::fmt;
use std::str::FromStr;

/// A currency of ISO 4217, with its number of decimals: 2 for the euro, 0 for the yen, 3 for the Kuwaiti dinar.
pub use iso_currency::Currency;

/// A whole number of minor units of one currency. It may be negative: a refund is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Cents, for a currency with two decimals. 64 bits hold 92 quadrillion euros.
    minor_units: i64,
    /// What the minor units are of. Two amounts with different ones are never added.
    currency: Currency,
}

/// Why there is no such amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// There is no exchange rate here, so amounts of two currencies have no sum.
    #[error("{} and {} cannot be added", .left.code(), .right.code())]
    MixedCurrencies {
        /// The currency of the amount that was added to.
        left: Currency,
        /// The currency of the amount that was added.
        right: Currency,
    },

    /// The result does not fit into 64 bits of minor units.
    #[error("the amount is out of range")]
    OutOfRange,

    /// The text is not an amount such as `3.50 EUR`.
    #[error("{text:?} is not an amount such as \"3.50 EUR\": {reason}")]
    Syntax {
        /// What was to be read.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Money {
    /// So many minor units: 350 are 3.50 of a currency with two decimals.
    pub fn from_minor_units(minor_units: i64, currency: Currency) -> Self {
        Self {
            minor_units,
            currency,
        }
    }

    /// Nothing, of a currency. The start of a sum.
    pub fn zero(currency: Currency) -> Self {
        Self::from_minor_units(0, currency)
    }

    /// The amount in minor units.
    pub fn minor_units(self) -> i64 {
        self.minor_units
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// True for less than nothing.
    pub fn is_negative(self) -> bool {
        self.minor_units < 0
    }

    /// The sum.
    ///
    /// # Errors
    ///
    /// [`MoneyError::MixedCurrencies`] and [`MoneyError::OutOfRange`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies {
                left: self.currency,
                right: other.currency,
            });
        }
        self.with(self.minor_units.checked_add(other.minor_units))
    }

    /// So many times the amount.
    ///
    /// # Errors
    ///
    /// [`MoneyError::OutOfRange`].
    pub fn checked_times(self, count: u32) -> Result<Self, MoneyError> {
        self.with(self.minor_units.checked_mul(i64::from(count)))
    }

    fn with(self, minor_units: Option<i64>) -> Result<Self, MoneyError> {
        let minor_units = minor_units.ok_or(MoneyError::OutOfRange)?;
        Ok(Self {
            minor_units,
            currency: self.currency,
        })
    }
}

/// Decimals of the currency. Gold and the like have no minor unit in ISO 4217; whole units are all there is of them.
fn decimals(currency: Currency) -> usize {
    currency.exponent().map_or(0, usize::from)
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = decimals(self.currency);
        let sign = if self.is_negative() { "-" } else { "" };
        // At least one digit more than there are decimals: 5 cents are "005", and so "0.05".
        let digits = format!("{:0>1$}", self.minor_units.unsigned_abs(), decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let point = if decimals > 0 { "." } else { "" };
        let code = self.currency.code();
        // As one piece, so that a width asked for applies to all of it.
        formatter.pad(&format!("{sign}{whole}{point}{fraction} {code}"))
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads what [`Display`](fmt::Display) writes. More decimals than the currency has are refused and not rounded:
    /// who rounds, and which way, is a decision of the business.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |reason| MoneyError::Syntax {
            text: text.to_owned(),
            reason,
        };
        let (amount, code) = text
            .split_once(' ')
            .ok_or_else(|| refused("there is no currency behind a blank"))?;
        let currency =
            Currency::from_code(code).ok_or_else(|| refused("ISO 4217 has no such currency"))?;
        let (sign, unsigned) = match amount.strip_prefix('-') {
            Some(unsigned) => ("-", unsigned),
            None => ("", amount),
        };
        let (whole, fraction) = match unsigned.split_once('.') {
            // A point without digits behind it is a slip, and not 0.
            Some((_, "")) => return Err(refused("there are no digits behind the point")),
            Some(parts) => parts,
            None => (unsigned, ""),
        };
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
            return Err(refused("the amount is not a decimal number"));
        }
        let decimals = decimals(currency);
        if fraction.len() > decimals {
            return Err(refused("the currency has fewer decimals"));
        }
        // Digits only, so nothing but its size can be wrong with the number.
        let minor_units = format!("{sign}{whole}{fraction:0<decimals$}");
        let minor_units = minor_units.parse().map_err(|_| MoneyError::OutOfRange)?;
        Ok(Self::from_minor_units(minor_units, currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    /// S1-02, X11: the sum that floats get wrong.
    #[test]
    fn a_tenth_and_two_tenths_are_three_tenths() {
        assert_ne!(0.1 + 0.2, 0.3, "floats have become exact");
        assert_eq!(
            money("0.10 EUR").checked_add(money("0.20 EUR")),
            Ok(money("0.30 EUR"))
        );
        // A million sales of ten cents.
        let mut float = 0.0;
        let mut exact = Money::zero(Currency::EUR);
        for _ in 0..1_000_000 {
            float += 0.1;
            exact = exact.checked_add(money("0.10 EUR")).unwrap();
        }
        assert_ne!(float, 100_000.0);
        assert_eq!(exact.to_string(), "100000.00 EUR");
    }

    /// S1-02: each currency has its own number of decimals, and what is written is read back as it was.
    #[test]
    fn amounts_are_written_with_the_decimals_of_their_currency() {
        for (minor_units, currency, text) in [
            (350, Currency::EUR, "3.50 EUR"),
            (5, Currency::EUR, "0.05 EUR"),
            (-5, Currency::EUR, "-0.05 EUR"),
            (0, Currency::USD, "0.00 USD"),
            (350, Currency::JPY, "350 JPY"),
            (1, Currency::KWD, "0.001 KWD"),
            (7, Currency::XAU, "7 XAU"),
            (i64::MAX, Currency::EUR, "92233720368547758.07 EUR"),
            (i64::MIN, Currency::EUR, "-92233720368547758.08 EUR"),
        ] {
            let amount = Money::from_minor_units(minor_units, currency);
            assert_eq!(amount.to_string(), text);
            assert_eq!(money(text), amount);
        }
        assert_eq!(money("3.5 EUR"), money("3.50 EUR"));
        assert_eq!(format!("{:>12}|", money("3.50 EUR")), "    3.50 EUR|");
    }

    /// S1-02: nothing is rounded and nothing is guessed.
    #[test]
    fn what_is_not_an_exact_amount_is_refused_with_the_reason() {
        for (text, reason) in [
            ("3.50", "no currency"),
            ("3.50 XYZ", "no such currency"),
            ("3.50 eur", "no such currency"),
            ("3.505 EUR", "fewer decimals"),
            ("350.0 JPY", "fewer decimals"),
            ("3. EUR", "behind the point"),
            (".5 EUR", "not a decimal number"),
            ("+3.50 EUR", "not a decimal number"),
            ("--3 EUR", "not a decimal number"),
            ("1e3 EUR", "not a decimal number"),
            ("3,50 EUR", "not a decimal number"),
            ("NaN EUR", "not a decimal number"),
            (" EUR", "not a decimal number"),
            ("92233720368547758.08 EUR", "out of range"),
        ] {
            let message = text.parse::<Money>().unwrap_err().to_string();
            assert!(message.contains(reason), "{text:?} gave {message:?}");
        }
    }

    /// S1-02: what has no exact answer is an error, and not a wrong amount.
    #[test]
    fn arithmetic_refuses_mixed_currencies_and_overflow() {
        assert_eq!(
            money("1.00 EUR").checked_add(money("1 JPY")),
            Err(MoneyError::MixedCurrencies {
                left: Currency::EUR,
                right: Currency::JPY
            })
        );
        let most = Money::from_minor_units(i64::MAX, Currency::EUR);
        assert_eq!(
            most.checked_add(money("0.01 EUR")),
            Err(MoneyError::OutOfRange)
        );
        assert_eq!(most.checked_times(2), Err(MoneyError::OutOfRange));
        assert_eq!(money("3.50 EUR").checked_times(3), Ok(money("10.50 EUR")));
    }
}
