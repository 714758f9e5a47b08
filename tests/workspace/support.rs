//! What the tests of this package share: the commands a person types, run with the environment of a fresh shell.
#![allow(
    clippy::expect_used,
    reason = "this is part of tests, which end by a panic"
)]

pub mod rows;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use assert_cmd::Command;

/// A command may have to build something first, on a slow machine. It is killed after this long.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(600);

/// The repository's directory.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The text of a file of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the files in a folder of the repository that end in `suffix`, without it, in order.
pub fn names(folder: &str, suffix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder exists");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a folder's entry can be read").file_name())
        .filter_map(|name| Some(name.to_str()?.strip_suffix(suffix)?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The numbered examples, in order, without `.rs`.
pub fn examples() -> Vec<String> {
    let mut names = names("examples", ".rs");
    names.retain(|name| name.starts_with(|first: char| first.is_ascii_digit()));
    names
}

/// The files below a folder whose names end in `suffix`; build products and hidden folders are left out.
pub fn files(folder: &Path, suffix: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder exists") {
        let path = entry.expect("a folder's entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, suffix, found);
        } else if name.ends_with(suffix) {
            found.push(path);
        }
    }
}

/// Whether a learner has begun with this exercise. In continuous integration nobody has: a stub without its `todo!` is a
/// mistake there.
pub fn is_begun(exercise: &str) -> bool {
    if std::env::var_os("CI").is_some() {
        return false;
    }
    let file = format!("exercises/{exercise}.rs");
    let changed =
        run(command("git").args(["diff", "--quiet", "HEAD", "--", &file])).code == Some(1);
    changed || !read(&file).contains("todo!(")
}

/// A program in the repository's directory, without the variables that a person has not set and a test run has.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(root()).timeout(COMMAND_TIMEOUT);
    for variable in [
        "KAFKA_BOOTSTRAP_SERVERS",
        "INFRA",
        "INFRA_PORT",
        "INFRA_UI_PORT",
        "RUST_LOG",
        "RUST_BACKTRACE",
        // Those of a `make` around this test run would reach the `make` inside it.
        "MAKEFLAGS",
        "MAKELEVEL",
        "MFLAGS",
    ] {
        command.env_remove(variable);
    }
    // What cargo tells this test of its package. Crates that look at it (ring) would be built anew by each cargo in here.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&variable);
        }
    }
    command
}

/// `make TARGET`.
pub fn make(target: &str) -> Command {
    let mut command = command("make");
    command.arg("--no-print-directory").arg(target);
    command
}

/// The cargo that runs this test.
pub fn cargo() -> Command {
    command(env!("CARGO"))
}

/// What a command printed, and whether it succeeded.
#[derive(Debug)]
pub struct Output {
    /// Whether the exit code was 0.
    pub success: bool,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the command can be started");
    Output {
        success: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What cargo can build here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The package that it belongs to.
    pub package: String,
    /// `bin`, `example`, `test`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The features without which cargo does not build it (`required-features` in Cargo.toml).
    pub features: Vec<String>,
}

impl Target {
    /// The features as `--features` takes them, with the package's name: another one may have a feature of the same name.
    pub fn feature_list(&self) -> String {
        let features = self.features.iter();
        let features: Vec<String> = features
            .map(|feature| format!("{}/{feature}", self.package))
            .collect();
        features.join(",")
    }
}

/// Everything that cargo can build here, by cargo's own account.
pub fn targets() -> Vec<Target> {
    let output = run(cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]));
    assert!(output.success, "{}", output.stderr);
    let metadata: serde_json::Value =
        serde_json::from_str(&output.stdout).expect("cargo writes JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let mut targets = Vec::new();
    for package in list(&metadata["packages"]) {
        for target in list(&package["targets"]) {
            targets.push(Target {
                package: text(&package["name"]),
                kind: text(&target["kind"][0]),
                name: text(&target["name"]),
                features: list(&target["required-features"])
                    .iter()
                    .map(text)
                    .collect(),
            });
        }
    }
    targets
}

/// Whether OpenSSL's headers are there, with which the feature `tls` is built. Says "skipped" if not.
pub fn can_build_tls() -> bool {
    let there = run(command("bash").args(["-c", "source scripts/common.sh; has_openssl"])).success;
    if !there {
        eprintln!("skipped: OpenSSL's headers are missing (Debian: apt install libssl-dev)");
    }
    there
}

/// An example of the root package.
pub fn example(name: &str) -> Target {
    let found = targets()
        .into_iter()
        .find(|target| target.kind == "example" && target.name == name);
    found.unwrap_or_else(|| panic!("there is no example {name}"))
}

/// Builds the broker and an example as scripts/common.sh does, and returns where the example is.
pub fn build_example(name: &str) -> PathBuf {
    let mut build = cargo();
    build.args([
        "build",
        "--message-format=json-render-diagnostics",
        "--package=kafka-event-streaming",
        "--package=embedded-broker",
        "--bin=embedded-broker",
        "--example",
        name,
    ]);
    let features = example(name).feature_list();
    if !features.is_empty() {
        build.args(["--features", &features]);
    }
    let output = run(&mut build);
    assert!(output.success, "{}", output.stderr);
    let messages = output
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter_map(|message: serde_json::Value| {
            Some(PathBuf::from(message.get("executable")?.as_str()?))
        })
        .find(|path| path.file_stem().is_some_and(|stem| stem == name))
        .expect("cargo names the example that it built")
}

/// A port that nobody has, for a program that is about to take it. Below the range from which the system gives ports to
/// outgoing connections, and counted up, so that two tests do not get the same one.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    loop {
        let port = FIRST + (start + TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
