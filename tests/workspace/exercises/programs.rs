//! Programs that cargo has built, and what the compiler said of each.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use workspace_tests::{Output, cargo, command, run};

/// A check takes seconds. One that runs into this waits for something that never comes.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// So many checks run at once. They mostly wait.
const AT_ONCE: usize = 2;

/// Looks at each, several at once. One that is not as it should be does not keep the others from being looked at; all that is
/// wrong is said at the end.
pub(crate) fn look_at_each<T: Sync>(items: &[T], look: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let complaints = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| look(item))) {
                        complaints.lock().unwrap().insert(index, said(&*panic));
                    }
                }
            });
        }
    });
    let complaints: Vec<String> = complaints.into_inner().unwrap().into_values().collect();
    assert!(
        complaints.is_empty(),
        "{} of {} are not as they should be:\n\n{}",
        complaints.len(),
        items.len(),
        complaints.join("\n\n")
    );
}

fn said(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = literal.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic that is no text".to_owned())
}

/// What cargo made of some targets, by their names.
#[derive(Default)]
pub(crate) struct Programs {
    /// Where those are that compiled.
    executables: BTreeMap<String, PathBuf>,
    /// Errors and warnings of the compiler, also of targets that it did not compile anew.
    pub(crate) complaints: BTreeMap<String, Vec<String>>,
    /// Every target that cargo looked at.
    pub(crate) seen: BTreeSet<String>,
}

impl Programs {
    /// Builds these binaries of a package in the workspace at `root`, all in one go. When one does not compile, cargo leaves
    /// others alone; then each is built on its own, so that it is missing and nothing else.
    pub(crate) fn build(root: &Path, arguments: &[&str], package: &str, names: &[String]) -> Self {
        let package = format!("--package={package}");
        let mut programs = Self::default();
        let binaries: Vec<String> = names.iter().map(|name| format!("--bin={name}")).collect();
        let all: Vec<&str> = [&*package]
            .into_iter()
            .chain(binaries.iter().map(String::as_str))
            .collect();
        if !programs.cargo(root, arguments, &all) {
            for binary in &binaries {
                programs.cargo(root, arguments, &[&package, binary]);
            }
        }
        programs
    }

    /// Builds one test program.
    pub(crate) fn build_test(root: &Path, package: &str, test: &str) -> Self {
        let mut programs = Self::default();
        let target = format!("--test={test}");
        programs.cargo(
            root,
            &["test", "--no-run"],
            &[&format!("--package={package}"), &target],
        );
        programs
    }

    /// Adds what one call of cargo says. False when something did not compile.
    fn cargo(&mut self, root: &Path, arguments: &[&str], targets: &[&str]) -> bool {
        let output = run(cargo()
            .current_dir(root)
            .args(arguments)
            .args(targets)
            .arg("--message-format=json"));
        let mut complaints: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in output.stdout.lines() {
            let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
                continue;
            };
            let Some(name) = message["target"]["name"].as_str() else {
                continue;
            };
            self.seen.insert(name.to_owned());
            if let Some(executable) = message["executable"].as_str() {
                self.executables.insert(name.to_owned(), executable.into());
            }
            if let Some(complaint) = message["message"]["rendered"].as_str() {
                let complaints = complaints.entry(name.to_owned()).or_default();
                complaints.push(complaint.to_owned());
            }
        }
        // The same as before, if this target was built a second time.
        self.complaints.extend(complaints);
        assert!(
            output.success || !self.complaints.is_empty(),
            "cargo does not say what is wrong with which target: {output:#?}"
        );
        output.success
    }

    /// Runs one of them to its end, and says how long it took.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Output {
        let Some(executable) = self.executables.get(name) else {
            panic!("{name} does not compile: {:#?}", self.complaints.get(name));
        };
        let started = Instant::now();
        let output = run(command(executable).args(arguments).timeout(CHECK_TIMEOUT));
        let arguments = arguments.join(" ");
        eprintln!(
            "{:5.1} s  {name} {arguments}",
            started.elapsed().as_secs_f32()
        );
        output
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.executables.contains_key(name)
    }
}

#[test]
fn one_that_is_wrong_does_not_keep_the_others_from_being_looked_at() {
    let looked_at = AtomicUsize::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        look_at_each(&[1, 2, 3, 4, 5], |number| {
            looked_at.fetch_add(1, Ordering::Relaxed);
            assert!(number % 2 == 0, "{number} is odd");
        });
    }));
    assert_eq!(looked_at.into_inner(), 5);
    let said = said(&*outcome.unwrap_err());
    assert_eq!(
        said,
        "3 of 5 are not as they should be:\n\n1 is odd\n\n3 is odd\n\n5 is odd"
    );
}
