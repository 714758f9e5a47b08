//! What the changelog's records look like. No Kafka: keys and payloads as bytes.
//!
//! The topic is compacted: the last record of each key is what counts, and one without a payload deletes it. Both are
//! texts, so that any tool shows them.
//!
//! | key | payload |
//! |---|---|
//! | `1773480360000/coffee` | the total of `coffee` in the window that starts then, as JSON |
//! | `progress` | `{"latest_ms":1773480413589,"size_ms":60000}` |

use std::str;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{TumblingWindows, Window};

/// The key of the record that says how far the partition has come.
const PROGRESS_KEY: &str = "progress";

/// Why a state could not be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangelogError {
    /// Each input partition has its state in the changelog partition of equal number.
    #[error("it has {found} partitions, and the input has {needed}: create it anew with as many")]
    TooFewPartitions {
        /// How many the changelog has.
        found: usize,
        /// How many the input has.
        needed: usize,
    },
    /// A record's key is none that is written here: the topic belongs to something else.
    #[error("the record at offset {offset} has the key {key:?}, which this program does not write")]
    ForeignKey {
        /// The record's offset.
        offset: i64,
        /// Its key, what is not UTF-8 replaced.
        key: String,
    },
    /// A total cannot be decoded. Its type has changed since it was stored.
    #[error("the total at offset {offset} cannot be decoded")]
    Unreadable {
        /// The record's offset.
        offset: i64,
        /// What serde_json objected to.
        source: serde_json::Error,
    },
    /// The windows had another size when they were stored. Their totals fit none of today's.
    #[error(
        "its windows are of {stored_ms} ms, those configured of {configured_ms} ms: choose another changelog topic"
    )]
    OtherSize {
        /// The size in the changelog.
        stored_ms: i64,
        /// The size in the settings.
        configured_ms: i64,
    },
    /// Somebody's transaction was still open, so nobody knows what the state is.
    #[error("a transaction in it was still open after {} s", .waited.as_secs_f32())]
    Undecided {
        /// How long its end was waited for.
        waited: Duration,
    },
}

/// What a record of the changelog says.
#[derive(Debug, PartialEq)]
pub(super) enum Entry<T> {
    /// A total, or none when its window was closed.
    Total {
        start_ms: i64,
        key: String,
        total: Option<T>,
    },
    /// The latest event time.
    Latest { latest_ms: i64 },
}

/// How far a partition has come.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    latest_ms: i64,
    /// To notice that the configuration was changed.
    size_ms: i64,
}

/// The key under which a total is stored.
pub(super) fn total_key(window: Window, key: &str) -> Vec<u8> {
    format!("{}/{key}", window.start_ms()).into_bytes()
}

pub(super) fn total_payload<T: Serialize>(total: &T) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(total)
}

/// Key and payload of the record that says how far the partition has come.
pub(super) fn progress(
    windows: TumblingWindows,
    latest_ms: i64,
) -> serde_json::Result<(Vec<u8>, Vec<u8>)> {
    let size_ms = windows.size_ms();
    let payload = serde_json::to_vec(&Progress { latest_ms, size_ms })?;
    Ok((PROGRESS_KEY.as_bytes().to_vec(), payload))
}

/// Reads a record. None if it says nothing: the progress was deleted by hand.
pub(super) fn read<T: DeserializeOwned>(
    windows: TumblingWindows,
    offset: i64,
    key: &[u8],
    payload: Option<&[u8]>,
) -> Result<Option<Entry<T>>, ChangelogError> {
    let foreign = || ChangelogError::ForeignKey {
        offset,
        key: String::from_utf8_lossy(key).into_owned(),
    };
    let unreadable = |source| ChangelogError::Unreadable { offset, source };
    let text = str::from_utf8(key).map_err(|_| foreign())?;
    if text == PROGRESS_KEY {
        let Some(payload) = payload else {
            return Ok(None);
        };
        let progress: Progress = serde_json::from_slice(payload).map_err(unreadable)?;
        if progress.size_ms != windows.size_ms() {
            return Err(ChangelogError::OtherSize {
                stored_ms: progress.size_ms,
                configured_ms: windows.size_ms(),
            });
        }
        let latest_ms = progress.latest_ms;
        return Ok(Some(Entry::Latest { latest_ms }));
    }
    let (start, key) = text.split_once('/').ok_or_else(foreign)?;
    Ok(Some(Entry::Total {
        start_ms: start.parse().map_err(|_| foreign())?,
        key: key.to_owned(),
        total: payload
            .map(serde_json::from_slice)
            .transpose()
            .map_err(unreadable)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes() -> TumblingWindows {
        TumblingWindows::of(Duration::from_secs(60))
    }

    fn read_u32(key: &[u8], payload: Option<&[u8]>) -> Result<Option<Entry<u32>>, ChangelogError> {
        read(minutes(), 7, key, payload)
    }

    /// X13: what is written is what is read, also for keys with slashes and times before 1970.
    #[test]
    fn records_are_read_as_they_were_written() {
        for (time, name) in [
            (0, "coffee"),
            (-1, "a/b/c"),
            (i64::MAX, ""),
            (1, "progress"),
        ] {
            let window = minutes().window_of(time);
            let key = total_key(window, name);
            let total = |total| {
                let (start_ms, key) = (window.start_ms(), name.to_owned());
                Some(Entry::Total {
                    start_ms,
                    key,
                    total,
                })
            };
            let payload = total_payload(&5_u32).unwrap();
            assert_eq!(read_u32(&key, Some(&payload)).unwrap(), total(Some(5)));
            assert_eq!(read_u32(&key, None).unwrap(), total(None));
        }
        let (key, payload) = progress(minutes(), 42).unwrap();
        let latest = Some(Entry::Latest { latest_ms: 42 });
        assert_eq!(read_u32(&key, Some(&payload)).unwrap(), latest);
        assert_eq!(read_u32(&key, None).unwrap(), None);
    }

    /// X13: a state that is not understood is never guessed at.
    #[test]
    fn what_is_not_understood_is_an_error() {
        let (key, payload) = progress(TumblingWindows::of(Duration::from_secs(1)), 42).unwrap();
        let error = read_u32(&key, Some(&payload)).unwrap_err();
        assert!(
            matches!(
                error,
                ChangelogError::OtherSize {
                    stored_ms: 1_000,
                    configured_ms: 60_000
                }
            ),
            "{error}"
        );
        for key in [
            &b"coffee"[..],
            b"",
            b"x/coffee",
            b"1.5/coffee",
            b"\xff/coffee",
        ] {
            let error = read_u32(key, Some(b"1")).unwrap_err();
            assert!(
                matches!(error, ChangelogError::ForeignKey { offset: 7, .. }),
                "{error}"
            );
        }
        let error = read_u32(b"0/coffee", Some(b"\"five\"")).unwrap_err();
        assert!(
            matches!(error, ChangelogError::Unreadable { .. }),
            "{error}"
        );
    }
}
