//! A reader's terminal: one port, on which at first nothing runs.

use std::fs;
use std::path::{Path, PathBuf};

use workspace_tests::{command, free_port, run};

/// Commands that are run one after the other. What `make infra-up` started goes when this is dropped.
pub(super) struct Session {
    root: PathBuf,
    port: u16,
}

/// What a command printed to both of its outputs, in its order.
pub(super) struct Printed {
    pub(super) command: String,
    pub(super) success: bool,
    pub(super) text: String,
}

impl Session {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            port: free_port(),
        }
    }

    /// Runs a line as a shell would.
    pub(super) fn run(&self, line: &str) -> Printed {
        let port = self.port.to_string();
        let mut shell = command("bash");
        shell
            .current_dir(&self.root)
            .args(["-c", &format!("{{ {line}\n}} 2>&1")])
            .env("INFRA_PORT", &port)
            // A machine with Docker would take Apache Kafka, which the page does not show.
            .env("INFRA", "embedded");
        // Targets that may start a broker must not be told of one: they would take it for somebody's choice.
        let starts_a_broker = ["make example", "make infra"];
        if !starts_a_broker.iter().any(|start| line.starts_with(start)) {
            shell.env("KAFKA_BOOTSTRAP_SERVERS", format!("localhost:{port}"));
        }
        let output = run(&mut shell);
        Printed {
            command: line.to_owned(),
            success: output.success,
            text: output.stdout,
        }
    }
}

impl Printed {
    /// What is wrong if it failed.
    pub(super) fn succeeded(&self) -> Option<String> {
        (!self.success).then(|| format!("{} fails:\n{}", self.command, self.text))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A small book's repository has nothing to stop.
        if !self.root.join("scripts/infra.sh").exists() {
            return;
        }
        self.run("make --no-print-directory infra-down");
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), PathBuf::from);
        let _ = fs::remove_dir_all(target.join("infra").join(self.port.to_string()));
    }
}
