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

use programs::Programs;
use workspace_tests::{is_begun, make, names, read, root, run};

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
    let listed: Vec<String> = info
        .lines()
        .filter_map(|line| {
            Some(
                line.strip_prefix("name = \"")?
                    .strip_suffix('"')?
                    .to_owned(),
            )
        })
        .collect();
    assert_eq!(
        exercises, listed,
        "info.toml lists other exercises, or in another order"
    );
    for step in ["Step 1:", "Step 2:", "Step 3:"] {
        assert_eq!(
            info.matches(step).count(),
            listed.len(),
            "every hint has three steps"
        );
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

/// The lines between two `todo!` of a stub are in the solution, in one piece and in order.
#[test]
fn a_solution_is_its_stub_with_the_bodies_written() {
    for name in stubs() {
        let stub = read(&format!("exercises/{name}.rs"));
        let solution = read(&format!("solutions/{name}.rs"));
        assert!(
            !solution.contains("todo!("),
            "solutions/{name}.rs is not finished"
        );

        let pieces = pieces(&stub);
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
            let outside = body
                .lines()
                .find(|line| !line.is_empty() && !line.starts_with("    "));
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
    }
}

/// A stub without its gaps. rustfmt ends a `todo!` on the line that it begins on, or below it.
fn pieces(stub: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut end_of_todo = None;
    for line in stub.lines() {
        let indentation = line.len() - line.trim_start().len();
        if line.trim_start().starts_with("todo!(") {
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
    pieces
}

/// Alone, as `rustlings` builds them, and with their checks.
#[test]
fn stubs_compile_without_a_warning() {
    let alone = Programs::build(root(), &["build"], "exercises", &exercises());
    for programs in [&alone, &*CHECKS_OF_EXERCISES] {
        for name in stubs() {
            assert!(
                programs.seen.contains(&name),
                "cargo did not look at {name}"
            );
            let complaints = programs.complaints.get(&name);
            assert_eq!(complaints, None, "{}", complaints.unwrap().join("\n"));
        }
    }
}

#[test]
fn every_check_fails_on_its_stub() {
    for name in stubs() {
        let stub = CHECKS_OF_EXERCISES.run(&name, &[]);
        assert_eq!(
            stub.code,
            Some(101),
            "{name} has to fail, by itself and in time: {stub:#?}"
        );
        assert!(
            stub.stdout.contains("not yet implemented: "),
            "{name} does not say what to write: {stub:#?}"
        );
        // Whatever the check asks for, an empty stub has none of it.
        assert!(
            stub.stdout.contains("test result: FAILED. 0 passed"),
            "{name} passes without work: {stub:#?}"
        );
    }
}

#[test]
fn every_check_passes_on_its_solution() {
    for name in solutions() {
        let solution = CHECKS_OF_SOLUTIONS.run(&name, &[]);
        assert!(solution.success, "{}", solution.stdout);
        assert!(
            solution.stdout.contains("test result: ok. "),
            "{solution:#?}"
        );
        assert!(
            !solution.stdout.contains("test result: ok. 0 passed"),
            "{name} checks nothing: {solution:#?}"
        );
    }
}

/// What a learner sees first: red, what to write, and where the hints are.
#[test]
fn make_exercise_says_what_is_missing_and_where_help_is() {
    let list = run(&mut make("exercises"));
    assert!(list.success, "{list:#?}");
    for name in stubs() {
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
    }
}

/// The solution's program runs on its own, as `rustlings` runs it behind a check that passed.
#[test]
fn every_solution_runs() {
    let programs = Programs::build(root(), &["build"], "solutions", &solutions());
    for name in solutions() {
        let output = programs.run(&name, &[]);
        assert!(output.success && !output.stdout.is_empty(), "{output:#?}");
    }
}
