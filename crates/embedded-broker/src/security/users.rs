//! The users of SASL and their passwords, from a file or from pairs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Who may come in by SASL; given to [`Builder::sasl_users`](crate::Builder::sasl_users).
///
/// Passwords show neither in its `Debug` output nor in its errors.
///
/// ```
/// use embedded_broker::SaslUsers;
///
/// # fn main() -> Result<(), embedded_broker::SaslUsersError> {
/// let users = SaslUsers::from_pairs([("alice", "wonderland")])?;
/// assert!(!format!("{users:?}").contains("wonderland"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SaslUsers {
    passwords: BTreeMap<String, Password>,
}

/// A password. It cannot be printed.
#[derive(Clone)]
pub(crate) struct Password(Box<str>);

impl Password {
    #[cfg_attr(
        not(feature = "sasl"),
        allow(dead_code, reason = "only mechanisms look")
    )]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[hidden]")
    }
}

/// Why users were refused. The messages name the place, and never what stands there: it may be a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaslUsersError {
    /// The file cannot be read.
    #[error("cannot read the SASL users from `{}`: {source}", path.display())]
    Unreadable {
        /// The file's path as it was given.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A line is not `name:password`.
    #[error("{}:{line}: {problem}", path.display())]
    BadLine {
        /// The file's path as it was given.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A pair is no user.
    #[error("SASL user number {number}: {problem}")]
    BadPair {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nobody could come in.
    #[error("there are no SASL users: give at least one line `name:password`")]
    Nobody,
}

impl SaslUsers {
    /// Reads a file of lines `name:password`. A name ends at the first colon; a password is all that follows, with its blanks.
    /// Lines that begin with `#` and blank lines are skipped.
    ///
    /// # Errors
    /// If the file cannot be read, a line is not `name:password`, a name is given twice, or there are none.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SaslUsersError> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| SaslUsersError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let mut users = BTreeMap::new();
        for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let added = add_line(&mut users, text);
            added.map_err(|problem| SaslUsersError::BadLine {
                path: path.to_owned(),
                line,
                problem,
            })?;
        }
        Self::of(users)
    }

    /// Takes names with their passwords.
    ///
    /// # Errors
    /// If a name or a password is empty, a name is given twice, or there are none.
    pub fn from_pairs<N, P>(pairs: impl IntoIterator<Item = (N, P)>) -> Result<Self, SaslUsersError>
    where
        N: AsRef<str>,
        P: AsRef<str>,
    {
        let mut users = BTreeMap::new();
        for (number, (name, password)) in (1..).zip(pairs) {
            let added = add(&mut users, name.as_ref(), password.as_ref());
            added.map_err(|problem| SaslUsersError::BadPair { number, problem })?;
        }
        Self::of(users)
    }

    fn of(passwords: BTreeMap<String, Password>) -> Result<Self, SaslUsersError> {
        match passwords.is_empty() {
            true => Err(SaslUsersError::Nobody),
            false => Ok(Self { passwords }),
        }
    }

    #[cfg_attr(
        not(feature = "sasl"),
        allow(dead_code, reason = "only mechanisms look")
    )]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Password)> {
        self.passwords.iter()
    }
}

fn add_line(users: &mut BTreeMap<String, Password>, line: &[u8]) -> Result<(), &'static str> {
    let line = str::from_utf8(line).map_err(|_| "this is not UTF-8")?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.trim().is_empty() || line.trim_start().starts_with('#') {
        return Ok(());
    }
    let (name, password) = line
        .split_once(':')
        .ok_or("there is no colon; a line is `name:password`")?;
    add(users, name, password)
}

fn add(
    users: &mut BTreeMap<String, Password>,
    name: &str,
    password: &str,
) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name.trim() != name {
        return Err("the name begins or ends with a blank");
    }
    if password.is_empty() {
        return Err("the password is empty");
    }
    // PLAIN separates its fields with it, so nobody could ever send it.
    if name.contains('\0') || password.contains('\0') {
        return Err("there is a NUL character");
    }
    match users.insert(name.to_owned(), Password(password.into())) {
        None => Ok(()),
        Some(_) => Err("this name was given before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Result<(), &'static str> {
        let mut users = BTreeMap::new();
        add(&mut users, "alice", "first").expect("a user");
        add_line(&mut users, text)
    }

    #[test]
    fn a_password_keeps_its_colons_and_blanks() {
        let mut users = BTreeMap::new();
        for text in ["# people", "", "  ", "alice:a:b c ", "bob:b\r"] {
            add_line(&mut users, text.as_bytes()).expect(text);
        }
        let found: Vec<(&str, &[u8])> = users
            .iter()
            .map(|(name, password)| (name.as_str(), password.bytes()))
            .collect();
        assert_eq!(found, [("alice", &b"a:b c "[..]), ("bob", b"b")]);
    }

    #[test]
    fn every_bad_line_has_its_problem() {
        assert_eq!(
            line(b"bob"),
            Err("there is no colon; a line is `name:password`")
        );
        assert_eq!(line(b":secret"), Err("the name is empty"));
        assert_eq!(line(b"bob:"), Err("the password is empty"));
        assert_eq!(
            line(b" bob:secret"),
            Err("the name begins or ends with a blank")
        );
        assert_eq!(line(b"alice:second"), Err("this name was given before"));
        assert_eq!(line(b"bob:\0"), Err("there is a NUL character"));
        assert_eq!(line(b"bob:\xff"), Err("this is not UTF-8"));
    }

    #[test]
    fn nothing_that_is_printed_holds_a_password() {
        let users = SaslUsers::from_pairs([("alice", "wonderland")]).expect("a user");
        assert!(!format!("{users:?}").contains("wonderland"));
        let error = SaslUsers::from_pairs([("a", "b"), ("a", "wonderland")]).expect_err("twice");
        assert_eq!(
            error.to_string(),
            "SASL user number 2: this name was given before"
        );
        assert!(!format!("{error:?}").contains("wonderland"));
    }

    #[test]
    fn without_anybody_there_are_no_users() {
        let nobody = SaslUsers::from_pairs::<&str, &str>([]);
        assert!(matches!(nobody, Err(SaslUsersError::Nobody)));
    }
}
