//! Holds four things together: the registration table, the header of each API's file, the README's table, and the order of
//! the keys.

use std::fs;
use std::path::Path;

use super::{APIS, Registration};

/// `**Produce**, key 0, versions 3-11.` of each file in this folder, without the markup.
fn headers() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut headers: Vec<String> = fs::read_dir(folder)
        .expect("the folder of the APIs")
        .filter_map(|file| {
            let text = fs::read_to_string(file.expect("a file").path()).ok()?;
            let line = text.lines().next()?.strip_prefix("//! **")?;
            Some(line.replace("**", "").trim_end_matches('.').to_owned())
        })
        .collect();
    headers.sort();
    headers
}

/// `3-11`, or `0` where there is only one.
fn versions(api: &Registration) -> String {
    match (api.versions.start(), api.versions.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}

#[test]
fn each_file_says_in_its_header_what_is_registered() {
    let mut registered: Vec<String> = APIS
        .iter()
        .map(|api| {
            let plural = if api.versions.start() == api.versions.end() {
                ""
            } else {
                "s"
            };
            format!(
                "{:?}, key {}, version{plural} {}",
                api.key,
                api.key as i16,
                versions(api)
            )
        })
        .collect();
    registered.sort();
    assert_eq!(
        headers(),
        registered,
        "headers of src/api/*.rs (left) and the table APIS (right)"
    );
}

#[test]
fn the_readme_lists_what_is_registered() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .expect("README.md");
    let listed: Vec<String> = readme
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split('|').map(str::trim);
            let (key, name, versions) = (cells.next()?, cells.next()?, cells.next()?);
            key.parse::<i16>()
                .is_ok()
                .then(|| format!("| {key} | {name} | {versions} |"))
        })
        .collect();
    let registered: Vec<String> = APIS
        .iter()
        .map(|api| format!("| {} | {:?} | {} |", api.key as i16, api.key, versions(api)))
        .collect();
    assert_eq!(
        listed,
        registered,
        "the README's table (left) and the table APIS (right); the README should have\n{}",
        registered.join("\n")
    );
}

#[test]
fn keys_are_in_order_and_registered_once() {
    let keys: Vec<i16> = APIS.iter().map(|api| api.key as i16).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
}

#[test]
fn telemetry_is_never_offered() {
    // GetTelemetrySubscriptions and PushTelemetry would have clients push metrics behind their parked fetches.
    assert!(
        APIS.iter()
            .all(|api| api.key as i16 != 71 && api.key as i16 != 72)
    );
}
