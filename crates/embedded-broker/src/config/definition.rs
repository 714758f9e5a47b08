//! What a configuration is: its name, its type, its default and the values that it takes.

/// One configuration, as <https://kafka.apache.org/documentation/#configuration> lists it.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// None is null: there is no value until somebody sets one.
    pub(crate) default: Option<&'static str>,
    pub(crate) check: Check,
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
    Class = 8,
    /// Never shown: described as null and sensitive.
    Password = 9,
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
    /// A list without repetition of these.
    ListOf(&'static [&'static str]),
    /// `*`, `none`, or `partition:broker` pairs.
    Throttled,
}

/// Why a configuration is refused, in Apache Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Invalid(pub(crate) String);

/// A definition with a type, a default and a check; so are the functions that follow, one for each type.
const fn definition(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    check: Check,
) -> Definition {
    Definition {
        name,
        kind,
        default: Some(default),
        check,
    }
}

pub(crate) const fn boolean(name: &'static str, default: &'static str, check: Check) -> Definition {
    definition(name, Kind::Boolean, default, check)
}

pub(crate) const fn string(name: &'static str, default: &'static str, check: Check) -> Definition {
    definition(name, Kind::String, default, check)
}

pub(crate) const fn int(name: &'static str, default: &'static str, check: Check) -> Definition {
    definition(name, Kind::Int, default, check)
}

pub(crate) const fn long(name: &'static str, default: &'static str, check: Check) -> Definition {
    definition(name, Kind::Long, default, check)
}

pub(crate) const fn double(name: &'static str, default: &'static str, check: Check) -> Definition {
    definition(name, Kind::Double, default, check)
}

pub(crate) const fn list(name: &'static str, default: &'static str, check: Check) -> Definition {
    definition(name, Kind::List, default, check)
}

/// A definition whose default is null.
pub(crate) const fn unset(name: &'static str, kind: Kind) -> Definition {
    Definition {
        name,
        kind,
        default: None,
        check: Check::Any,
    }
}

impl Definition {
    /// Whether `value` may be set.
    ///
    /// # Errors
    /// With the message of Apache Kafka's `ConfigException`.
    pub(crate) fn validate(&self, value: &str) -> Result<(), Invalid> {
        let value = value.trim();
        match self.kind {
            Kind::Boolean => match value.to_ascii_lowercase().as_str() {
                "true" | "false" => Ok(()),
                _ => Err(self.refuse(value, "Expected value to be either true or false")),
            },
            Kind::Int => self.validate_integer(value, "INT", i32::MIN.into(), i32::MAX.into()),
            Kind::Short => self.validate_integer(value, "SHORT", i16::MIN.into(), i16::MAX.into()),
            Kind::Long => self.validate_integer(value, "LONG", i64::MIN, i64::MAX),
            Kind::Double => self.validate_double(value),
            Kind::List => self.validate_list(&elements(value)),
            Kind::String | Kind::Class | Kind::Password => self.validate_string(value),
        }
    }

    fn validate_integer(&self, text: &str, kind: &str, min: i64, max: i64) -> Result<(), Invalid> {
        let value = match text.parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => value,
            _ => return Err(self.refuse(text, &format!("Not a number of type {kind}"))),
        };
        let at_least = |least: i64| match value >= least {
            true => Ok(()),
            false => Err(self.refuse(text, &format!("Value must be at least {least}"))),
        };
        let at_most = |most: i64| match value <= most {
            true => Ok(()),
            false => Err(self.refuse(text, &format!("Value must be no more than {most}"))),
        };
        match self.check {
            Check::AtLeast(least) => at_least(least),
            Check::BetweenOr(_, _, exception) if value == exception => Ok(()),
            Check::Between(least, most) | Check::BetweenOr(least, most, _) => {
                at_least(least).and_then(|()| at_most(most))
            }
            _ => Ok(()),
        }
    }

    fn validate_double(&self, text: &str) -> Result<(), Invalid> {
        let Ok(value) = text.parse::<f64>() else {
            return Err(self.refuse(text, "Not a number of type DOUBLE"));
        };
        match self.check {
            Check::Fraction if value < 0.0 => Err(self.refuse(text, "Value must be at least 0")),
            Check::Fraction if value > 1.0 => {
                Err(self.refuse(text, "Value must be no more than 1"))
            }
            _ => Ok(()),
        }
    }

    fn validate_list(&self, values: &[&str]) -> Result<(), Invalid> {
        let Check::ListOf(allowed) = self.check else {
            return Ok(());
        };
        match values.iter().find(|value| !allowed.contains(value)) {
            Some(value) => Err(self.refuse(
                value,
                &format!("String must be one of: {}", allowed.join(", ")),
            )),
            None => Ok(()),
        }
    }

    fn validate_string(&self, value: &str) -> Result<(), Invalid> {
        match self.check {
            Check::OneOf(allowed) if !allowed.contains(&value) => Err(self.refuse(
                value,
                &format!("String must be one of: {}", allowed.join(", ")),
            )),
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
