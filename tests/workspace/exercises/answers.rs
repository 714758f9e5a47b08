//! The kept answers: every wrong one is refused with the message that says why, every right one passes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use workspace_tests::{names, read, root};

use crate::programs::{Programs, look_at_each};
use crate::{exercises, result};

static ANSWERS: LazyLock<Programs> =
    LazyLock::new(|| Programs::build_test(root(), "answers", "answers"));

/// Exercises with so much room that two right answers may look quite different: two of each are kept.
const WITH_ROOM: [&str; 3] = ["03a", "06a", "07a"];

/// The kept answers in a folder, as `(file, exercise)`.
fn answers(folder: &str) -> Vec<(String, String)> {
    let exercises = exercises();
    let files = names(&format!("tests/answers/{folder}"), ".rs");
    let with_exercise = files.into_iter().map(|file| {
        let exercise = exercises
            .iter()
            .find(|name| file.starts_with(&format!("{name}_")));
        let exercise = exercise
            .unwrap_or_else(|| panic!("tests/answers/{folder}/{file}.rs answers no exercise"));
        (file.clone(), exercise.clone())
    });
    with_exercise.collect()
}

/// The tests of one answer.
fn run(folder: &str, file: &str) -> workspace_tests::Output {
    ANSWERS.run("answers", &[&format!("{folder}_{file}::checks::")])
}

/// The header of an answer, without the slashes: a line with the exercise's number, then the rest.
fn header(folder: &str, file: &str, exercise: &str) -> (String, Vec<String>) {
    let text = read(&format!("tests/answers/{folder}/{file}.rs"));
    let mut lines = text
        .lines()
        .map_while(|line| line.strip_prefix("//! "))
        .map(str::to_owned);
    let (number, _) = exercise.split_once('_').unwrap();
    let number = number.trim_start_matches('0');
    let first = lines.next().unwrap_or_default();
    let kind = if folder == "wrong" { "Wrong" } else { "Right" };
    assert!(
        first.starts_with(&format!("{kind} answer to {number}: ")),
        "{folder}/{file}.rs begins with {first:?}"
    );
    let mount = format!("#[cfg(test)]\n#[path = \"../../checks/{exercise}.rs\"]\nmod checks;\n");
    assert!(
        text.ends_with(&mount),
        "{folder}/{file}.rs does not end with its check"
    );
    (first, lines.collect())
}

#[test]
fn every_exercise_has_a_wrong_answer_and_some_have_other_right_ones() {
    let (wrong, right) = (answers("wrong"), answers("right"));
    for exercise in exercises() {
        let kept =
            |of: &[(String, String)]| of.iter().filter(|(_, name)| *name == exercise).count();
        assert!(kept(&wrong) > 0, "no wrong answer to {exercise} is kept");
        let wanted = match WITH_ROOM.iter().any(|number| exercise.starts_with(number)) {
            true => 2,
            false => 0,
        };
        assert!(
            kept(&right) >= wanted,
            "{exercise} needs {wanted} right answers beside its solution"
        );
    }
}

/// A file that nobody mounts is neither compiled nor run.
#[test]
fn every_kept_answer_is_mounted() {
    let listed = ANSWERS.run("answers", &["--list", "--format=terse"]).stdout;
    let mounted: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| Some(line.split_once("::checks::")?.0))
        .collect();
    let kept: Vec<String> = ["right", "wrong"]
        .iter()
        .flat_map(|folder| {
            let files = answers(folder).into_iter();
            files.map(move |(file, _)| format!("{folder}_{file}"))
        })
        .collect();
    let kept: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
    assert_eq!(mounted, kept, "tests/answers/answers.rs mounts other files");
    let list = read("tests/answers/answers.rs");
    for name in kept {
        let (folder, file) = name.split_once('_').unwrap();
        let mount = format!("#[path = \"{folder}/{file}.rs\"]\nmod {name};\n");
        assert!(
            list.contains(&mount),
            "tests/answers/answers.rs does not say\n{mount}"
        );
    }
}

/// S4-16: a check that lets a usual mistake pass teaches it.
#[test]
fn every_wrong_answer_is_refused_with_the_reason() {
    look_at_each(&answers("wrong"), |(file, exercise)| {
        let (_, rest) = header("wrong", file, exercise);
        let reasons: Vec<&str> = rest
            .iter()
            .filter_map(|line| line.strip_prefix("Refused with: \"")?.strip_suffix('"'))
            .collect();
        assert!(
            !reasons.is_empty(),
            "wrong/{file}.rs has no `Refused with: \"…\"`"
        );
        let output = run("wrong", file);
        assert_eq!(
            output.code,
            Some(101),
            "wrong/{file}.rs has to be refused, by the check itself and in time: {output:#?}"
        );
        for reason in reasons {
            assert!(
                output.stdout.contains(reason),
                "wrong/{file}.rs is refused, but not with {reason:?}: {}",
                output.stdout
            );
        }
    });
}

/// S4-16: a check judges what happens, and not how it is written.
#[test]
fn every_other_right_answer_passes() {
    look_at_each(&answers("right"), |(file, exercise)| {
        header("right", file, exercise);
        let output = run("right", file);
        assert!(output.success, "right/{file}.rs: {}", output.stdout);
        let result = result(&output.stdout);
        assert!(
            result.passed > 0 && result.passed == result.all,
            "right/{file}.rs does not face every check: {output:#?}"
        );
    });
}
