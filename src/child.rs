//! This program again, as a child process that can be killed.
//!
//! What a crash does to a consumer group or a transaction shows only when a process really dies: a task that is dropped
//! still closes its client. So programs that show it start themselves a second time, with other arguments.
//!
//! A child ends with its parent, whatever happens to that: it watches its standard input, which the operating system
//! closes when the parent is gone.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdin;
pub use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    /// Open for as long as the child may run.
    lifeline: Option<ChildStdin>,
}

impl Child {
    /// Starts this very program with `arguments`, in the same environment. Each line that it prints is sent to `lines`;
    /// what it writes to standard error goes where ours goes.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn start<A: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        lines: mpsc::UnboundedSender<String>,
    ) -> io::Result<Self> {
        let mut program = this_program()?;
        program.args(arguments);
        Self::spawn(program, lines)
    }

    /// As [`start`](Self::start), for [this program](this_program) with an environment or a standard error of its own.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn spawn(mut program: Command, lines: mpsc::UnboundedSender<String>) -> io::Result<Self> {
        let mut process = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let lifeline = process.stdin.take();
        if let Some(output) = process.stdout.take() {
            let mut output = BufReader::new(output).lines();
            tokio::spawn(async move {
                while let Ok(Some(line)) = output.next_line().await {
                    // Read to its end, whether or not anybody listens: a pipe that is full would hold the child up, and
                    // one that is closed would have its next line fail.
                    let _ = lines.send(line);
                }
            });
        }
        Ok(Self { process, lifeline })
    }

    /// Kills it, with SIGKILL: it cannot say goodbye to anybody. Returns when it is gone.
    ///
    /// # Errors
    ///
    /// When the operating system refuses; a child that is gone already is no error.
    pub async fn kill(mut self) -> io::Result<()> {
        self.process.kill().await
    }

    /// Asks it to stop, and waits until it has. It has to look at [`asked_to_stop`].
    ///
    /// # Errors
    ///
    /// When the operating system cannot say how it ended.
    pub async fn stop(mut self) -> io::Result<ExitStatus> {
        drop(self.lifeline.take());
        self.process.wait().await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// When the operating system cannot say how it ended.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }
}

/// This very program, to be given arguments and an environment, and to be started with [`Child::spawn`].
///
/// # Errors
///
/// When the operating system does not say where the program is.
pub fn this_program() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

/// In the child: a token that is cancelled when the parent calls [`Child::stop`], or is gone.
pub fn asked_to_stop() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    // A thread that nobody waits for. Tokio reads standard input on one of its own, and a runtime does not end while it
    // does: a child that failed would stay until its parent lets go of it.
    let watch = thread::Builder::new().spawn(move || {
        // Nothing is ever written to it. Its end, or any trouble with it, means that nobody holds the other end.
        let mut nothing = [0; 1];
        while io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
        cancelled.cancel();
    });
    if watch.is_err() {
        // Better not to run than to outlive its parent.
        token.cancel();
    }
    token
}

/// Starts this very program with `arguments`, waits until it has printed `lines` lines, and kills it `later` than that.
/// Returns every line that it printed, which may be a few more. Dropping the future kills the child.
///
/// # Errors
///
/// When the program cannot be started, when it ends by itself before, and when it prints nothing for so long as
/// `patience`.
///
/// # Panics
///
/// Outside of a Tokio runtime.
pub async fn run_and_kill<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
    lines: usize,
    later: Duration,
    patience: Duration,
) -> io::Result<Vec<String>> {
    let (sender, mut printed) = mpsc::unbounded_channel();
    let child = Child::start(arguments, sender)?;
    let mut seen = Vec::new();
    while seen.len() < lines {
        let failed = |kind, words| {
            let words = format!("the child {words} after {} of {lines} lines", seen.len());
            io::Error::new(kind, words)
        };
        match tokio::time::timeout(patience, printed.recv()).await {
            Ok(Some(line)) => seen.push(line),
            Ok(None) => return Err(failed(io::ErrorKind::UnexpectedEof, "ended by itself")),
            Err(_) => return Err(failed(io::ErrorKind::TimedOut, "fell silent")),
        }
    }
    tokio::time::sleep(later).await;
    child.kill().await?;
    // What stands in the pipe was printed before it died.
    while let Some(line) = printed.recv().await {
        seen.push(line);
    }
    Ok(seen)
}

/// Starts this very program with `arguments`, and returns every line that it has printed when it is over. Dropping the
/// future kills the child.
///
/// # Errors
///
/// When the program cannot be started, fails, or prints nothing for so long as `patience`.
///
/// # Panics
///
/// Outside of a Tokio runtime.
pub async fn run_to_the_end<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
    patience: Duration,
) -> io::Result<Vec<String>> {
    let (sender, mut printed) = mpsc::unbounded_channel();
    let mut child = Child::start(arguments, sender)?;
    let mut seen = Vec::new();
    while let Some(line) = tokio::time::timeout(patience, printed.recv()).await? {
        seen.push(line);
    }
    let status = child.wait().await?;
    if status.success() {
        Ok(seen)
    } else {
        Err(io::Error::other(format!("the child failed: {status}")))
    }
}
