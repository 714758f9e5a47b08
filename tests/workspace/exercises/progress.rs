//! What a learner has done: it is listed, a broken exercise hides nothing of it, and neither `make clean` nor `git pull`
//! takes it away.

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;
use workspace_tests::{Output, command, free_port, make, read, root, run};

use crate::programs::Programs;

/// A workspace with the scripts of this one and exercises that compile in no time.
fn small_workspace(exercises: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for path in ["exercises", "scripts"] {
        std::fs::create_dir(at(path)).unwrap();
    }
    for path in [
        "Makefile",
        "scripts/common.sh",
        "scripts/exercise.sh",
        "scripts/infra.sh",
    ] {
        std::fs::copy(root().join(path), at(path)).unwrap();
    }
    let workspace = "[workspace]\nmembers = [\"exercises\"]\nresolver = \"3\"\n";
    std::fs::write(at("Cargo.toml"), workspace).unwrap();
    std::fs::write(at(".gitignore"), "target/\nCargo.lock\n").unwrap();
    let mut manifest = "[package]\nname = \"exercises\"\nversion = \"0.1.0\"\nedition = \"2024\"\nautobins = false\n".to_owned();
    for (name, text) in exercises {
        manifest += &format!("[[bin]]\nname = \"{name}\"\npath = \"{name}.rs\"\ntest = false\n");
        std::fs::write(at(&format!("exercises/{name}.rs")), text).unwrap();
    }
    std::fs::write(at("exercises/Cargo.toml"), manifest).unwrap();
    folder
}

const DONE: &str = "fn main() {}\n#[test]\nfn passes() {}\n";
const WRONG: &str = "fn main() {}\n#[test]\nfn fails() { panic!(\"no\") }\n";
const BROKEN: &str = "fn main( {\n";
const OPEN: &str = "fn main() { todo!(\"write this\") }\n#[test]\nfn fails() { main() }\n";

/// Cargo and git as in a fresh shell, in another directory.
fn within(mut command: Command, folder: &Path) -> Output {
    command.env("INFRA_PORT", free_port().to_string());
    run(command.current_dir(folder).env_remove("CARGO_TARGET_DIR"))
}

#[test]
fn the_list_says_what_is_done_and_what_is_next() {
    let small = small_workspace(&[
        ("01a_one", DONE),
        ("01b_two", BROKEN),
        ("02a_three", WRONG),
        ("02b_four", OPEN),
        ("10a_five", DONE),
    ]);
    // The second time, what passed is not run again.
    for _ in 0..2 {
        let list = within(make("exercises"), small.path());
        assert!(list.success, "{list:#?}");
        let lines: Vec<String> = list
            .stdout
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "done make exercise-1a exercises/01a_one.rs",
                "next make exercise-1b exercises/01b_two.rs (does not compile)",
                "open make exercise-2a exercises/02a_three.rs (its check fails: make exercise-2a says why)",
                "open make exercise-2b exercises/02b_four.rs (has a todo!(...))",
                "done make exercise-10a exercises/10a_five.rs",
                "2 of 5 done.",
            ]
        );
    }
    let passed = within(make("exercise-1a"), small.path());
    assert!(passed.success, "{passed:#?}");
    let last = passed.stdout.lines().last();
    assert_eq!(last, Some("Exercise 1a passes. Next: make exercise-2b"));
    // What was done is looked at again when it changes.
    std::fs::write(small.path().join("exercises/01a_one.rs"), WRONG).unwrap();
    let list = within(make("exercises"), small.path());
    assert!(list.stdout.ends_with("1 of 5 done.\n"), "{list:#?}");
}

/// S4-16: the proof that the exercises are in order does not end at the first one that is not.
#[test]
fn one_that_does_not_compile_does_not_keep_the_others_from_being_checked() {
    let small = small_workspace(&[
        ("01a_one", BROKEN),
        ("01b_two", DONE),
        ("02a_three", BROKEN),
        ("02b_four", WRONG),
    ]);
    let names = ["01a_one", "01b_two", "02a_three", "02b_four"].map(str::to_owned);
    let programs = Programs::build(small.path(), &["test", "--no-run"], "exercises", &names);
    let built: Vec<bool> = names.iter().map(|name| programs.has(name)).collect();
    assert_eq!(built, [false, true, false, true]);
    let complaints: Vec<&String> = programs.complaints.keys().collect();
    assert_eq!(complaints, ["01a_one", "02a_three"]);
    assert!(programs.run("01b_two", &[]).success);
    assert_eq!(programs.run("02b_four", &[]).code, Some(101));
}

/// The shell blocks below this heading of exercises/README.md.
fn commands_below(heading: &str) -> Vec<String> {
    let readme = read("exercises/README.md");
    let (_, section) = readme
        .split_once(&format!("## {heading}\n"))
        .expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

fn bash(folder: &Path, script: &str) -> Output {
    let mut bash = command("bash");
    bash.args(["-euo", "pipefail", "-c", script]);
    // A person's own settings of git, such as signed commits, are not what is tested here.
    bash.env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null");
    for (variable, value) in [
        ("GIT_AUTHOR_NAME", "Ada"),
        ("GIT_AUTHOR_EMAIL", "ada@example.com"),
        ("GIT_COMMITTER_NAME", "Ada"),
        ("GIT_COMMITTER_EMAIL", "ada@example.com"),
    ] {
        bash.env(variable, value);
    }
    within(bash, folder)
}

fn succeeds(output: &Output) {
    assert!(output.success, "{output:#?}");
}

/// A stub as they are: the task stands well above what is to be written.
fn stub(task: &str, body: &str) -> String {
    format!("//! {task}\n//!\n//! Check it with make.\n\n{body}")
}

/// An upstream with two exercises, and a clone of it.
fn upstream_and_clone() -> (TempDir, TempDir) {
    let upstream = small_workspace(&[("01a_one", &stub("The task.", OPEN)), ("01b_two", OPEN)]);
    succeeds(&bash(
        upstream.path(),
        "git init --quiet --initial-branch main && git add . && git commit --quiet -m first",
    ));
    let clone = tempfile::tempdir().unwrap();
    let from = upstream.path().display();
    succeeds(&bash(
        clone.path(),
        &format!("git clone --quiet '{from}' ."),
    ));
    (upstream, clone)
}

fn text(folder: &TempDir, path: &str) -> String {
    std::fs::read_to_string(folder.path().join(path)).unwrap()
}

#[test]
fn answers_survive_make_clean() {
    let small = small_workspace(&[("01a_one", OPEN)]);
    let answer = small.path().join("exercises/01a_one.rs");
    std::fs::write(&answer, DONE).unwrap();
    succeeds(&within(make("exercises"), small.path()));
    assert!(small.path().join("target").exists());
    succeeds(&within(make("clean"), small.path()));
    assert!(!small.path().join("target").exists(), "nothing was cleaned");
    assert_eq!(std::fs::read_to_string(&answer).unwrap(), DONE);
}

#[test]
fn answers_survive_git_pull() {
    let (upstream, clone) = upstream_and_clone();
    let answered = stub("The task.", DONE);
    std::fs::write(clone.path().join("exercises/01a_one.rs"), &answered).unwrap();

    // Whatever else has changed comes in beside it.
    std::fs::write(upstream.path().join("exercises/01b_two.rs"), DONE).unwrap();
    succeeds(&bash(upstream.path(), "git commit --quiet -am second"));
    succeeds(&bash(clone.path(), "git pull --quiet"));
    assert_eq!(text(&clone, "exercises/01a_one.rs"), answered);
    assert_eq!(text(&clone, "exercises/01b_two.rs"), DONE);

    // A change of the very file is refused, and the answer is still there.
    let reworded = stub("The task in other words.", OPEN);
    std::fs::write(upstream.path().join("exercises/01a_one.rs"), &reworded).unwrap();
    succeeds(&bash(upstream.path(), "git commit --quiet -am third"));
    let refused = bash(clone.path(), "git pull --quiet");
    assert!(!refused.success, "{refused:#?}");
    assert_eq!(text(&clone, "exercises/01a_one.rs"), answered);

    // What the README says to do then brings both together.
    let [then, on_a_branch] = &commands_below("Keeping up to date")[..] else {
        panic!("exercises/README.md shows two blocks of commands there");
    };
    succeeds(&bash(clone.path(), then));
    let merged = stub("The task in other words.", DONE);
    assert_eq!(text(&clone, "exercises/01a_one.rs"), merged);

    // And so does the way to keep them for good, when both sides go on.
    let answered = stub(
        "The task in other words.",
        &DONE.replace("passes", "still_passes"),
    );
    std::fs::write(clone.path().join("exercises/01a_one.rs"), &answered).unwrap();
    let reworded = stub("The task in the best words.", OPEN);
    std::fs::write(upstream.path().join("exercises/01a_one.rs"), &reworded).unwrap();
    succeeds(&bash(upstream.path(), "git commit --quiet -am fourth"));
    // As where there is no terminal: git asks nobody for the merge's message.
    succeeds(&bash(
        clone.path(),
        &format!("export GIT_EDITOR=true\n{on_a_branch}"),
    ));
    let merged = answered.replace("in other words", "in the best words");
    assert_eq!(text(&clone, "exercises/01a_one.rs"), merged);
}
