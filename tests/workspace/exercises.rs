//! S4-15 and S4-16: the pairs of exercise and solution. Stubs compile without a warning and fail their check by saying
//! what is missing; solutions pass the same check; the two differ in bodies only. Wrong answers are refused with the reason,
//! right ones that look different are accepted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

#[path = "exercises/answers.rs"]
mod answers;
#[path = "exercises/programs.rs"]
mod programs;
#[path = "exercises/progress.rs"]
mod progress;

use std::sync::LazyLock;
use std::time::Duration;

use programs::{Programs, look_at_each};
use workspace_tests::{is_begun, make, names, read, root, run};

/// A check waits so long for what never comes. A stub never has it wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ahead of the timed runs, so that their time is the check's and not the compiler's.
static CHECKS_OF_EXERCISES: LazyLock<Programs> =
    LazyLock::new(|| Programs::build(root(), &["test", "--no-run"], "exercises", &exercises()));

static CHECKS_OF_SOLUTIONS: LazyLock<Programs> =
    LazyLock::new(|| Programs::build(root(), &["test", "--no-run"], "solutions", &solutions()));

fn exercises() -> Vec<String> {
    let names = names("exercises", ".rs");
    assert!(!names.is_empty());
    names
}

/// The names of the solutions' programs.
fn solutions() -> Vec<String> {
    let exercises = exercises();
    exercises.iter().map(|name| format!("{name}_sol")).collect()
}

/// The exercises that nobody has begun. A learner's progress is no fault; in continuous integration it would be one.
fn stubs() -> Vec<String> {
    let (begun, stubs): (Vec<_>, Vec<_>) = exercises().into_iter().partition(|name| is_begun(name));
    if !begun.is_empty() {
        eprintln!("skipped, because you have begun with them: {begun:?}");
    }
    stubs
}

#[test]
fn every_exercise_has_a_solution_a_check_a_hint_and_a_target() {
    let exercises = exercises();
    assert_eq!(
        exercises,
        names("solutions", ".rs"),
        "exercises and solutions are not pairs"
    );
    assert_eq!(
        exercises,
        names("tests/checks", ".rs"),
        "exercises and checks are not pairs"
    );

    let info = read("info.toml");
    let listed: Vec<Hinted<'_>> = info.split("[[exercises]]\n").skip(1).map(hinted).collect();
    let names: Vec<&str> = listed.iter().map(|hinted| hinted.name).collect();
    assert_eq!(
        exercises, names,
        "info.toml lists other exercises, or in another order"
    );
    for Hinted { name, hint } in listed {
        let steps: Vec<&str> = hint.split("\n\n").collect();
        assert_eq!(steps.len(), 3, "the hint for {name} has three steps");
        for (index, step) in steps.into_iter().enumerate() {
            let step = step.strip_prefix(&format!("Step {}: ", index + 1));
            assert!(
                step.is_some_and(|step| step.len() > 50 && !step.contains("Step ")),
                "step {} of the hint for {name} says nothing",
                index + 1
            );
        }
    }

    for (folder, suffix) in [("exercises", ""), ("solutions", "_sol")] {
        let manifest = read(&format!("{folder}/Cargo.toml"));
        for name in &exercises {
            let target =
                format!("[[bin]]\nname = \"{name}{suffix}\"\npath = \"{name}.rs\"\ntest = false\n");
            assert!(
                manifest.contains(&target),
                "{folder}/Cargo.toml does not say\n{target}"
            );
            let mount =
                format!("#[cfg(test)]\n#[path = \"../tests/checks/{name}.rs\"]\nmod checks;\n");
            let program = read(&format!("{folder}/{name}.rs"));
            assert!(
                program.ends_with(&mount),
                "{folder}/{name}.rs does not end with its check"
            );
        }
    }
}

/// What info.toml says of an exercise.
struct Hinted<'a> {
    name: &'a str,
    hint: &'a str,
}

fn hinted(section: &str) -> Hinted<'_> {
    let parts = section.trim_end().strip_prefix("name = \"");
    // Without `test` the runner only builds it, and a stub builds.
    let parts = parts.and_then(|rest| rest.split_once("\"\ntest = true\nhint = \"\"\"\n"));
    let parts = parts.and_then(|(name, rest)| Some((name, rest.strip_suffix("\"\"\"")?)));
    let (name, hint) = parts.unwrap_or_else(|| panic!("this is no exercise:\n{section}"));
    Hinted { name, hint }
}

/// The lines between two `todo!` of a stub are in the solution, in one piece and in order.
#[test]
fn a_solution_is_its_stub_with_the_bodies_written() {
    look_at_each(&stubs(), |name| {
        let stub = read(&format!("exercises/{name}.rs"));
        let solution = read(&format!("solutions/{name}.rs"));
        assert!(
            !solution.contains("todo!("),
            "solutions/{name}.rs is not finished"
        );

        let (pieces, indentations) = pieces(&stub);
        assert!(pieces.len() > 1, "exercises/{name}.rs leaves nothing to do");
        let mut rest = solution.as_str();
        for (index, piece) in pieces.iter().enumerate() {
            let found = if index == 0 {
                rest.starts_with(piece).then_some(0)
            } else {
                rest.find(piece)
            };
            let place = found.unwrap_or_else(|| {
                panic!("solutions/{name}.rs does not hold this part of its stub:\n{piece}")
            });
            let body = &rest[..place];
            // A body begins where its gap was. What stands further left is outside of it.
            let indentation = index.checked_sub(1).map_or(0, |gap| indentations[gap]);
            let outside = body
                .lines()
                .find(|line| !line.is_empty() && indentation_of(line) < indentation);
            assert_eq!(
                outside, None,
                "solutions/{name}.rs has more than its stub, outside the bodies"
            );
            rest = &rest[place + piece.len()..];
        }
        assert_eq!(
            rest, "",
            "solutions/{name}.rs goes on behind the end of its stub"
        );
    });
}

/// A stub without its gaps, and how far each gap is indented. rustfmt ends a `todo!` on the line that it begins on, or below
/// it.
fn pieces(stub: &str) -> (Vec<String>, Vec<usize>) {
    let (mut pieces, mut indentations) = (vec![String::new()], Vec::new());
    let mut end_of_todo = None;
    for line in stub.lines() {
        if line.trim_start().starts_with("todo!(") {
            let indentation = indentation_of(line);
            indentations.push(indentation);
            end_of_todo = match line.ends_with("todo!(") {
                true => Some(format!("{:indentation$})", "")),
                false => Some(line.to_owned()),
            };
        }
        if end_of_todo.is_none() {
            let piece = pieces.last_mut().unwrap();
            piece.push_str(line);
            piece.push('\n');
        } else if end_of_todo.as_deref() == Some(line) {
            end_of_todo = None;
            pieces.push(String::new());
        }
    }
    (pieces, indentations)
}

fn indentation_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Alone, as `rustlings` builds them, and with their checks.
#[test]
fn stubs_compile_without_a_warning() {
    let alone = Programs::build(root(), &["build"], "exercises", &exercises());
    for programs in [&alone, &*CHECKS_OF_EXERCISES] {
        look_at_each(&stubs(), |name| {
            assert!(programs.seen.contains(name), "cargo did not look at {name}");
            let complaints = programs.complaints.get(name);
            assert_eq!(complaints, None, "{}", complaints.unwrap().join("\n"));
        });
    }
}

#[test]
fn every_check_fails_on_its_stub() {
    look_at_each(&stubs(), |name| {
        let stub = CHECKS_OF_EXERCISES.run(name, &[]);
        assert_eq!(
            stub.code,
            Some(101),
            "{name} has to fail, by itself and in time: {stub:#?}"
        );
        // Whatever the check asks for, an empty stub has none of it.
        let result = result(&stub.stdout);
        assert!(
            result.all > 0 && result.failed == result.all,
            "{name} passes without work: {stub:#?}"
        );
        let reasons: Vec<&str> = stub.stdout.split("\n---- ").skip(1).collect();
        assert_eq!(reasons.len(), result.failed, "{stub:#?}");
        for reason in reasons {
            assert!(
                reason.contains("not yet implemented: "),
                "a check of {name} does not say what to write: {reason}"
            );
        }
        assert!(
            result.took < PATIENCE,
            "a check of {name} waits for what a stub will never do: {stub:#?}"
        );
    });
}

#[test]
fn every_check_passes_on_its_solution() {
    look_at_each(&solutions(), |name| {
        let solution = CHECKS_OF_SOLUTIONS.run(name, &[]);
        assert!(solution.success, "{name}: {}", solution.stdout);
        let result = result(&solution.stdout);
        assert!(
            result.passed > 0 && result.passed == result.all,
            "{name} does not face every check: {solution:#?}"
        );
    });
}

/// What the test harness counted.
struct Counted {
    passed: usize,
    failed: usize,
    /// Those that were left out as well.
    all: usize,
    took: Duration,
}

fn result(stdout: &str) -> Counted {
    let line = stdout
        .lines()
        .find(|line| line.starts_with("test result: "))
        .unwrap_or_else(|| panic!("the check did not get to its end: {stdout}"));
    let count = |what: &str| {
        let words: Vec<&str> = line.split([' ', ';', '.']).collect();
        let place = words.iter().position(|word| *word == what).unwrap();
        words[place - 1].parse::<usize>().unwrap()
    };
    let (passed, failed) = (count("passed"), count("failed"));
    let took = line.split_once("finished in ").unwrap().1;
    let took = took.trim_end_matches('s').parse().unwrap();
    Counted {
        passed,
        failed,
        all: passed + failed + count("ignored"),
        took: Duration::from_secs_f32(took),
    }
}

/// What a learner sees first: red, what to write, and where the hints are.
#[test]
fn make_exercise_says_what_is_missing_and_where_help_is() {
    let list = run(&mut make("exercises"));
    assert!(list.success, "{list:#?}");
    look_at_each(&stubs(), |name| {
        let number = name.split_once('_').unwrap().0.trim_start_matches('0');
        let target = format!("exercise-{number}");
        let line = list
            .stdout
            .lines()
            .find(|line| line.contains(&format!("make {target} ")))
            .expect(&target);
        assert!(
            line.ends_with("(has a todo!(...))") && line.contains(&format!("exercises/{name}.rs")),
            "{line}"
        );

        let output = run(&mut make(&target));
        assert!(!output.success, "{output:#?}");
        assert!(
            output.stdout.contains("not yet implemented: "),
            "{output:#?}"
        );
        let (file, solution) = (
            format!("exercises/{name}.rs"),
            format!("solutions/{name}.rs"),
        );
        for part in [file.as_str(), &solution, "info.toml"] {
            assert!(
                output.stderr.contains(part),
                "it does not say {part:?}: {output:#?}"
            );
        }
    });
}

/// The solution's program runs on its own, as `rustlings` runs it behind a check that passed.
#[test]
fn every_solution_runs() {
    let programs = Programs::build(root(), &["build"], "solutions", &solutions());
    look_at_each(&solutions(), |name| {
        let output = programs.run(name, &[]);
        assert!(output.success && !output.stdout.is_empty(), "{output:#?}");
    });
}
