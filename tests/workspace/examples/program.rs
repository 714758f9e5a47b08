//! An example as a person runs it: its arguments, its signals, its output.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use workspace_tests::{Output, build_example, command, free_port, run};

/// No example runs for so long, even on a slow machine. Then it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The widest line that a terminal shows in one.
const COLUMNS: usize = 80;

/// An example, built once for all tests of this run.
pub(crate) struct Example {
    name: &'static str,
    binary: OnceLock<std::path::PathBuf>,
}

impl Example {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            binary: OnceLock::new(),
        }
    }

    /// Where the program is. Building it may take its time: call this before a clock starts.
    pub(crate) fn binary(&self) -> &Path {
        self.binary.get_or_init(|| build_example(self.name))
    }

    /// Runs it on `servers` to its end.
    pub(crate) fn run(&self, servers: &str, arguments: &[&str]) -> Output {
        run(command(self.binary())
            .timeout(PATIENCE)
            .env("KAFKA_BOOTSTRAP_SERVERS", servers)
            .args(arguments))
    }

    /// Runs it to its end with no broker named: one that brings its own along.
    pub(crate) fn run_alone(&self, arguments: &[&str]) -> Output {
        run(command(self.binary()).timeout(PATIENCE).args(arguments))
    }

    /// Runs it twice at the same time on one broker, where each run has topics and groups of its own.
    pub(crate) fn run_twice(&self, servers: &str, arguments: &[&str]) -> [Output; 2] {
        self.binary();
        let run = || self.run(servers, arguments);
        std::thread::scope(|scope| {
            let other = scope.spawn(run);
            [run(), other.join().unwrap()]
        })
    }

    /// Runs it where no broker is: it says where it looked, and does not look for long.
    #[track_caller]
    pub(crate) fn assert_says_that_no_broker_answers(&self) {
        let address = format!("127.0.0.1:{}", free_port());
        self.binary();
        let started = Instant::now();
        let output = self.run(&address, &[]);
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{output:#?}");
        assert!(output.stderr.contains(&address), "{output:#?}");
    }

    /// Starts it on `servers`, to do something to it on the way. It goes on only as far as its output is read, or fits
    /// into a pipe (64 KiB).
    pub(crate) fn start(&self, servers: &str, arguments: &[&str]) -> Running {
        self.start_with(&[("KAFKA_BOOTSTRAP_SERVERS", servers)], arguments)
    }

    /// As [`start`](Self::start), with no broker named.
    pub(crate) fn start_alone(&self, arguments: &[&str]) -> Running {
        self.start_with(&[], arguments)
    }

    fn start_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Running {
        let mut child = std::process::Command::new(self.binary())
            .current_dir(workspace_tests::root())
            .env_remove("RUST_LOG")
            .env_remove("RUST_BACKTRACE")
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .envs(variables.iter().copied())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        Running {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            read: String::new(),
            stderr: std::thread::spawn(move || {
                let mut text = String::new();
                stderr.read_to_string(&mut text).unwrap();
                text
            }),
            child,
        }
    }
}

/// An example on its way.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What was read of its output.
    read: String,
    stderr: std::thread::JoinHandle<String>,
}

impl Running {
    /// Reads its output up to a line that contains `words`, and returns that.
    pub(crate) fn read_until(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let length = self.stdout.read_line(&mut line).unwrap();
            assert_ne!(
                length, 0,
                "it ended before it printed {words:?}:\n{}",
                self.read
            );
            self.read.push_str(&line);
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Sends it a signal, such as `INT` for Ctrl-C.
    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        let kill = run(command("bash").args(["-c", &kill]));
        assert!(kill.success, "{kill:?}");
    }

    /// Reads the rest of its output and waits for its end, which has to come within `patience`.
    pub(crate) fn end(mut self, patience: Duration) -> Output {
        let mut stdout = self.stdout;
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).unwrap();
            rest
        });
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= deadline {
                self.child.kill().unwrap();
                let rest = rest.join().unwrap();
                panic!(
                    "it did not end within {patience:?}:\n{}{rest}{}",
                    self.read,
                    self.stderr.join().unwrap()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Output {
            success: status.success(),
            code: status.code(),
            stdout: self.read + &rest.join().unwrap(),
            stderr: self.stderr.join().unwrap(),
        }
    }
}

/// The line that says what came of it all.
pub(crate) fn last_line(output: &Output) -> &str {
    output.stdout.lines().last().unwrap_or_default()
}

/// The number that a line has behind `word`.
pub(crate) fn number_behind(line: &str, word: &str) -> u64 {
    let behind = line.split_once(word).expect(line).1;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect(line)
}

/// Nothing clutters what the example has to say, and a terminal shows each line in one.
pub(crate) fn assert_readable(output: &Output) {
    assert_eq!(output.stderr, "", "{}", output.stdout);
    for line in output.stdout.lines() {
        assert!(
            line.chars().count() <= COLUMNS,
            "wider than a terminal: {line:?}"
        );
    }
}
