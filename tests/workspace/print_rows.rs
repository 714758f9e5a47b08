//! `make rows`: prints every row of `tests/requirements.md` with the tests that prove it. Fails when one has none.

use std::process::ExitCode;

use workspace_tests::rows::rows;

fn main() -> ExitCode {
    let rows = rows();
    for row in &rows {
        println!("{:<6} {}", row.id, row.requirement);
        for test in &row.tests {
            println!("       {test}");
        }
        if row.tests.is_empty() {
            println!(
                "       {}",
                if row.later {
                    "not built yet"
                } else {
                    "NO TEST"
                }
            );
        }
    }
    let missing: Vec<&str> = rows
        .iter()
        .filter(|row| row.tests.is_empty() && !row.later)
        .map(|row| row.id.as_str())
        .collect();
    println!("\n{} rows, {} without a test", rows.len(), missing.len());
    if missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("without a test: {}", missing.join(", "));
        ExitCode::FAILURE
    }
}
