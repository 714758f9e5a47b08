//! What a configuration is: its name, its type, its default and the values that it takes.

use std::collections::HashSet;

/// One configuration, as <https://kafka.apache.org/documentation/#configuration> lists it.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// None is null: there is no value until somebody sets one.
    pub(crate) default: Option<&'static str>,
    check: Check,
}

/// The type of a configuration's value, with its number in DescribeConfigs (KIP-569).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
}

/// The values that are taken, beyond those of the type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// A range, or one value outside of it that stands for the codec's own default.
    BetweenOr(i64, i64, i64),
    /// From 0 to 1.
    Fraction,
    OneOf(&'static [&'static str]),
    ListOf(&'static [&'static str]),
    /// `*` or a list of `partition:broker`.
    Throttled,
}

/// Why a name or a value is refused, in Apache Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Invalid(pub(crate) String);

/// The largest `LONG`: in effect no limit.
pub(crate) const MAX: &str = "9223372036854775807";

const fn define(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    check: Check,
) -> Definition {
    Definition {
        name,
        kind,
        default,
        check,
    }
}

pub(crate) const fn boolean(name: &'static str, default: &'static str, check: Check) -> Definition {
    define(name, Kind::Boolean, Some(default), check)
}

pub(crate) const fn string(name: &'static str, default: &'static str, check: Check) -> Definition {
    define(name, Kind::String, Some(default), check)
}

pub(crate) const fn int(name: &'static str, default: &'static str, check: Check) -> Definition {
    define(name, Kind::Int, Some(default), check)
}

pub(crate) const fn short(name: &'static str, default: &'static str, check: Check) -> Definition {
    define(name, Kind::Short, Some(default), check)
}

pub(crate) const fn long(name: &'static str, default: &'static str, check: Check) -> Definition {
    define(name, Kind::Long, Some(default), check)
}

pub(crate) const fn double(name: &'static str, default: &'static str, check: Check) -> Definition {
    define(name, Kind::Double, Some(default), check)
}

pub(crate) const fn list(name: &'static str, default: &'static str, check: Check) -> Definition {
    define(name, Kind::List, Some(default), check)
}

/// A definition whose default is null.
pub(crate) const fn unset(name: &'static str, kind: Kind) -> Definition {
    define(name, kind, None, Check::Any)
}

impl Definition {
    /// The value that `text` stands for, written as Apache Kafka describes it: without blanks around, lists without
    /// repetition.
    ///
    /// # Errors
    /// With the message of Apache Kafka's `ConfigException`, if the value may not be set.
    pub(crate) fn parse(&self, text: &str) -> Result<String, Invalid> {
        let text = text.trim();
        match self.kind {
            Kind::Boolean => match text.to_ascii_lowercase().as_str() {
                value @ ("true" | "false") => Ok(value.to_owned()),
                _ => Err(self.refuse(text, "Expected value to be either true or false")),
            },
            Kind::Int => self.parse_integer(text, "INT", i32::MIN.into(), i32::MAX.into()),
            Kind::Short => self.parse_integer(text, "SHORT", i16::MIN.into(), i16::MAX.into()),
            Kind::Long => self.parse_integer(text, "LONG", i64::MIN, i64::MAX),
            Kind::Double => self.parse_double(text),
            Kind::List => self.parse_list(text),
            Kind::String => self.check_word(text).map(|()| text.to_owned()),
        }
    }

    fn parse_integer(&self, text: &str, kind: &str, min: i64, max: i64) -> Result<String, Invalid> {
        let value = match text.parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => value,
            _ => return Err(self.refuse(text, &format!("Not a number of type {kind}"))),
        };
        let reason = match self.check {
            Check::AtLeast(least) | Check::Between(least, _) if value < least => {
                format!("Value must be at least {least}")
            }
            Check::Between(_, most) if value > most => format!("Value must be no more than {most}"),
            Check::BetweenOr(least, most, exception)
                if !(least..=most).contains(&value) && value != exception =>
            {
                format!("Value must be between {least} and {most} or equal to {exception}")
            }
            _ => return Ok(value.to_string()),
        };
        Err(self.refuse(&value.to_string(), &reason))
    }

    fn parse_double(&self, text: &str) -> Result<String, Invalid> {
        let Ok(value) = text.parse::<f64>() else {
            return Err(self.refuse(text, "Not a number of type DOUBLE"));
        };
        // With the fraction that Java writes too: 1 is 1.0.
        let text = format!("{value:?}");
        match self.check {
            Check::Fraction if value < 0.0 => Err(self.refuse(&text, "Value must be at least 0")),
            Check::Fraction if value > 1.0 => {
                Err(self.refuse(&text, "Value must be no more than 1"))
            }
            _ => Ok(text),
        }
    }

    fn parse_list(&self, text: &str) -> Result<String, Invalid> {
        let mut seen = HashSet::new();
        let values: Vec<&str> = elements(text)
            .into_iter()
            .filter(|value| seen.insert(*value))
            .collect();
        match self.check {
            Check::Throttled if values != ["*"] && !values.iter().all(|pair| is_replica(pair)) => {
                let reason = format!(
                    "{} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    self.name
                );
                return Err(self.refuse(&format!("[{}]", values.join(", ")), &reason));
            }
            _ => values.iter().try_for_each(|value| self.check_word(value))?,
        }
        Ok(values.join(","))
    }

    fn check_word(&self, value: &str) -> Result<(), Invalid> {
        match self.check {
            Check::OneOf(allowed) | Check::ListOf(allowed) if !allowed.contains(&value) => {
                let reason = format!("String must be one of: {}", allowed.join(", "));
                Err(self.refuse(value, &reason))
            }
            _ => Ok(()),
        }
    }

    /// The refusal of `value`, for a reason.
    pub(crate) fn refuse(&self, value: &str, reason: &str) -> Invalid {
        Invalid(format!(
            "Invalid value {value} for configuration {}: {reason}",
            self.name
        ))
    }
}

/// The elements of a list as Kafka writes it: separated by commas, with blanks around that do not count.
pub(crate) fn elements(value: &str) -> Vec<&str> {
    match value.trim() {
        "" => Vec::new(),
        value => value.split(',').map(str::trim).collect(),
    }
}

/// `partition:broker`
fn is_replica(pair: &str) -> bool {
    let is_number =
        |text: &str| !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
    pair.split_once(':')
        .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_apache_kafka_describes_them() {
        let cases = [
            (boolean("x", "true", Check::Any), " TRUE ", "true"),
            (long("x", "1", Check::Any), " +5", "5"),
            (double("x", "1", Check::Fraction), "1", "1.0"),
            (list("x", "", Check::Any), "a, b,a", "a,b"),
            (list("x", "", Check::Any), " ", ""),
            (list("x", "", Check::Throttled), "0:1,1:2", "0:1,1:2"),
            (list("x", "", Check::Throttled), "*", "*"),
        ];
        for (definition, given, described) in cases {
            assert_eq!(definition.parse(given).as_deref(), Ok(described), "{given}");
        }
    }

    /// The messages were read from Apache Kafka 4.3.1.
    #[test]
    fn refusals_have_apache_kafkas_words() {
        let cases = [
            (
                boolean("x", "true", Check::Any),
                "perhaps",
                "perhaps",
                "Expected value to be either true or false",
            ),
            (
                int("x", "1", Check::Any),
                "5000000000",
                "5000000000",
                "Not a number of type INT",
            ),
            (
                short("x", "1", Check::Any),
                "40000",
                "40000",
                "Not a number of type SHORT",
            ),
            (
                long("x", "1", Check::Any),
                "soon",
                "soon",
                "Not a number of type LONG",
            ),
            (
                long("x", "1", Check::AtLeast(-1)),
                "-2",
                "-2",
                "Value must be at least -1",
            ),
            (
                int("x", "3", Check::Between(-9, 22)),
                "23",
                "23",
                "Value must be no more than 22",
            ),
            (
                int("x", "3", Check::Between(-9, 22)),
                "-10",
                "-10",
                "Value must be at least -9",
            ),
            (
                int("x", "-1", Check::BetweenOr(1, 9, -1)),
                "0",
                "0",
                "Value must be between 1 and 9 or equal to -1",
            ),
            (
                double("x", "0", Check::Fraction),
                "2",
                "2.0",
                "Value must be no more than 1",
            ),
            (
                double("x", "0", Check::Fraction),
                "-0.5",
                "-0.5",
                "Value must be at least 0",
            ),
            (
                string("x", "a", Check::OneOf(&["a", "b"])),
                "c",
                "c",
                "String must be one of: a, b",
            ),
            (
                list("x", "a", Check::ListOf(&["a", "b"])),
                "a,c",
                "c",
                "String must be one of: a, b",
            ),
        ];
        for (definition, given, shown, reason) in cases {
            let refusal = format!("Invalid value {shown} for configuration x: {reason}");
            assert_eq!(definition.parse(given), Err(Invalid(refusal)));
        }
    }

    #[test]
    fn throttled_replicas_are_pairs_of_numbers() {
        for bad in ["x", "none", "0:", "0:1,2", "*,0:1"] {
            assert!(list("x", "", Check::Throttled).parse(bad).is_err(), "{bad}");
        }
    }
}
