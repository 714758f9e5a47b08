//! S4-08 and S4-09: the targets that start and stop a broker, each test on a port of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use embedded_broker::Broker;
use kafka_event_streaming::config::Cluster;
use kafka_event_streaming::{reachability, topics};
use tokio::net::TcpSocket;
use workspace_tests::{Output, command, examples, free_port, make, root, run};

/// A port for `make infra-up`. Dropping it stops what is left there.
struct Infra {
    port: u16,
}

impl Infra {
    fn new() -> Self {
        Self { port: free_port() }
    }

    fn on(port: u16) -> Self {
        Self { port }
    }

    /// `make TARGET VARIABLE=VALUE …` on this port, with the embedded broker unless a variable says otherwise.
    fn make(&self, target: &str, variables: &[&str]) -> Output {
        let mut make = make(target);
        make.arg(format!("INFRA_PORT={}", self.port));
        if !variables
            .iter()
            .any(|variable| variable.starts_with("INFRA="))
        {
            make.arg("INFRA=embedded");
        }
        run(make.args(variables))
    }

    fn cluster(&self) -> Cluster {
        Cluster::new(format!("localhost:{}", self.port).parse().unwrap())
    }

    async fn answers(&self) -> bool {
        reachability::check(&self.cluster(), Duration::from_millis(500))
            .await
            .is_ok()
    }

    /// Where `infra-up` writes down what it started.
    fn state(&self) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root().join("target"), |path| root().join(path));
        target.join("infra").join(self.port.to_string())
    }

    fn process(&self) -> u32 {
        let text = fs::read_to_string(self.state().join("pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }
}

impl Drop for Infra {
    fn drop(&mut self) {
        self.make("infra-down", &[]);
        let _ = fs::remove_dir_all(self.state());
    }
}

#[track_caller]
fn succeeded(output: &Output, says: &[&str]) {
    assert!(output.success, "{output:#?}");
    for part in says {
        assert!(
            output.stdout.contains(part),
            "it does not say {part:?}: {output:#?}"
        );
    }
}

#[track_caller]
fn failed(output: &Output, says: &[&str]) {
    assert!(!output.success, "{output:#?}");
    for part in says {
        assert!(
            output.stderr.contains(part),
            "it does not say {part:?}: {output:#?}"
        );
    }
}

#[tokio::test]
async fn a_broker_is_started_looked_at_and_stopped() {
    let infra = Infra::new();
    let address = infra.cluster().servers().to_string();
    succeeded(
        &infra.make("infra-status", &[]),
        &["Nothing answers on", &address, "make infra-up"],
    );
    failed(&infra.make("infra-logs", &[]), &["No log"]);

    let up = infra.make("infra-up", &[]);
    succeeded(
        &up,
        &[
            "INFRA=embedded asks for it",
            "ready on",
            &address,
            "make infra-down",
        ],
    );
    // `make` has ended. The broker has not.
    assert!(infra.answers().await, "{up:#?}");
    let process = infra.process();
    let name = format!("process {process}");

    let again = infra.make("infra-up", &[]);
    succeeded(
        &again,
        &["answers on", &address, "already", &name, "nothing to do"],
    );
    assert_eq!(
        infra.process(),
        process,
        "a second infra-up started a second broker"
    );
    succeeded(
        &infra.make("infra-status", &[]),
        &[&address, &name, "started by make infra-up"],
    );
    succeeded(
        &infra.make("infra-logs", &[]),
        &["broker.log", "ready on 127.0.0.1"],
    );

    succeeded(
        &infra.make("infra-down", &[]),
        &["Stopped the embedded broker", &address],
    );
    assert!(!infra.answers().await, "it still answers after infra-down");
    succeeded(&infra.make("infra-down", &[]), &["nothing to stop"]);
}

#[tokio::test]
async fn a_reset_forgets_every_topic() {
    let infra = Infra::new();
    succeeded(&infra.make("infra-up", &[]), &[]);
    let before = infra.process();
    assert!(
        topics::ensure_topic(&infra.cluster(), "orders", 2)
            .await
            .unwrap()
            .created
    );
    succeeded(&infra.make("infra-reset", &[]), &["Stopped", "ready on"]);
    assert_ne!(infra.process(), before);
    assert!(
        topics::ensure_topic(&infra.cluster(), "orders", 2)
            .await
            .unwrap()
            .created,
        "the topic is still there"
    );
}

#[test]
fn a_port_that_something_else_has_is_an_error_in_words() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let infra = Infra::on(other.local_addr().unwrap().port());
    let port = infra.port.to_string();
    for target in ["infra-up", "example-1"] {
        let output = infra.make(target, &[]);
        failed(
            &output,
            &[
                &port,
                "taken by a program that does not speak Kafka",
                "INFRA_PORT=",
            ],
        );
    }
    succeeded(&infra.make("infra-status", &[]), &["does not speak Kafka"]);
    assert!(!infra.state().exists(), "something was started");
}

#[tokio::test]
async fn a_broker_of_somebody_else_is_used_and_never_stopped() {
    let broker = Broker::builder()
        .listen("127.0.0.1:0")
        .start()
        .await
        .unwrap();
    let address = broker.bootstrap_servers();
    let infra = Infra::on(address.rsplit_once(':').unwrap().1.parse().unwrap());
    succeeded(
        &infra.make("infra-up", &[]),
        &["already", "not started by make infra-up", "nothing to do"],
    );
    succeeded(&infra.make("example-1", &[]), &["lost 0"]);
    succeeded(&infra.make("infra-down", &[]), &["nothing to stop"]);
    assert!(
        infra.answers().await,
        "infra-down stopped a broker that infra-up had not started"
    );
}

/// After a reboot the process id in the file may belong to anything.
#[test]
fn a_process_with_a_recycled_id_is_left_alone() {
    let infra = Infra::new();
    let mut innocent = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    fs::create_dir_all(infra.state()).unwrap();
    fs::write(infra.state().join("kind"), "embedded\n").unwrap();
    let pid_file = format!("{}\n1 embedded-broker serve\n", innocent.id());
    fs::write(infra.state().join("pid"), pid_file).unwrap();

    succeeded(&infra.make("infra-down", &[]), &["nothing to stop"]);
    let still_runs = innocent.try_wait().unwrap().is_none();
    innocent.kill().unwrap();
    innocent.wait().unwrap();
    assert!(
        still_runs,
        "infra-down stopped a process that is not the broker"
    );
    assert!(
        !infra.state().join("pid").exists(),
        "the stale note is still there"
    );
}

#[tokio::test]
async fn a_broker_that_cannot_start_says_why() {
    let infra = Infra::new();
    // Bound and not listening: a connection is refused, as if the port were free, and nobody else can have it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], infra.port).into()).unwrap();
    let address = format!("127.0.0.1:{}", infra.port);
    failed(
        &infra.make("infra-up", &[]),
        &["ended at once", "cannot listen", &address],
    );
    succeeded(&infra.make("infra-down", &[]), &["nothing to stop"]);
}

#[test]
fn an_unknown_kind_of_infrastructure_is_refused() {
    let infra = Infra::new();
    failed(
        &infra.make("infra-up", &["INFRA=podman"]),
        &["INFRA=podman", "INFRA=embedded", "INFRA=compose"],
    );
}

/// One command on a machine where nothing runs.
#[tokio::test]
async fn an_example_brings_its_broker_up() {
    let infra = Infra::new();
    let first = infra.make("example-1", &[]);
    succeeded(
        &first,
        &[
            "Nothing answers on",
            "ready on",
            "sent 10, received 10, lost 0",
        ],
    );
    let process = infra.process();
    let second = infra.make("example-1", &["ARGS=--records 3"]);
    succeeded(&second, &["sent 3, received 3, lost 0"]);
    assert!(!second.stdout.contains("Nothing answers"), "{second:#?}");
    assert_eq!(infra.process(), process);
    assert!(infra.answers().await);
}

/// Ctrl-C goes to every process of the terminal's foreground group. The example ends, its broker stays.
#[tokio::test]
async fn ctrl_c_in_an_example_leaves_the_broker_alone() {
    let infra = Infra::new();
    // What it prints is far more than a pipe holds, so it cannot end before it is read.
    let mut example = std::process::Command::new("make")
        .current_dir(root())
        .args(["example-1", "INFRA=embedded", "ARGS=--records 5000"])
        .arg(format!("INFRA_PORT={}", infra.port))
        .env_remove("KAFKA_BOOTSTRAP_SERVERS")
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(example.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("delivered") {
        line.clear();
        assert_ne!(
            stdout.read_line(&mut line).unwrap(),
            0,
            "it ended before it delivered a record"
        );
    }
    let interrupt = format!("kill -INT -- -{}", example.id());
    assert!(run(command("bash").args(["-c", &interrupt])).success);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    example.wait().unwrap();
    assert!(rest.trim_end().ends_with("(stopped early)"), "{rest}");
    assert!(
        infra.answers().await,
        "Ctrl-C for the example stopped the broker"
    );
}

/// The question goes to the same broker as the example's records, on whatever port that is.
#[test]
fn why_asks_the_broker_that_the_example_used() {
    let infra = Infra::new();
    let arguments = "ARGS=--records 3 --topic orders --group shop";
    succeeded(&infra.make("example-1", &[arguments]), &["sent 3"]);
    let address = infra.cluster().servers().to_string();
    succeeded(
        &infra.make("why", &["TOPIC=orders", "GROUP=shop"]),
        &[
            &format!("group shop, on {address}"),
            "shop has read and committed everything",
        ],
    );
}

#[test]
fn an_example_on_a_named_broker_that_is_not_there_starts_nothing() {
    let infra = Infra::new();
    let address = infra.cluster().servers().to_string();
    let mut make = make("example-1");
    make.env("KAFKA_BOOTSTRAP_SERVERS", &address)
        .arg(format!("INFRA_PORT={}", infra.port));
    let started = Instant::now();
    failed(
        &run(&mut make),
        &["no Kafka broker answered", &address, "unset the variable"],
    );
    assert!(
        !infra.state().exists(),
        "a broker was started, after {:?}",
        started.elapsed()
    );
}

/// S4-02.
#[test]
fn all_examples_run_in_order() {
    let infra = Infra::new();
    let output = infra.make("examples", &[]);
    succeeded(&output, &[]);
    let places: Vec<Option<usize>> = examples()
        .iter()
        .map(|name| name.split_once('_').unwrap().0.trim_start_matches('0'))
        .map(|number| output.stdout.find(&format!("Example {number}: ")))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{places:?}: {output:#?}"
    );
}

/// A machine without OpenSSL's headers: the example that needs them says what to install, and nothing is built.
#[test]
fn an_example_with_tls_says_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    for (tool, script) in [
        ("pkg-config", "#!/bin/sh\nexit 1\n"),
        ("brew", "#!/bin/sh\nexit 1\n"),
        (
            "cargo",
            "#!/bin/sh\ncase $1 in metadata) exec \"$REAL_CARGO\" \"$@\" ;; esac\nexit 9\n",
        ),
    ] {
        let path = folder.path().join(tool);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let output = run(make("example-9")
        .env("PATH", path)
        .env("REAL_CARGO", env!("CARGO"))
        .env_remove("OPENSSL_DIR")
        .env_remove("OPENSSL_INCLUDE_DIR"));
    failed(
        &output,
        &[
            "OpenSSL",
            "apt install libssl-dev pkg-config",
            "dnf install openssl-devel",
            "brew install openssl",
        ],
    );
}

/// S4-01.
#[test]
fn setup_finds_the_toolchain_and_says_what_comes_next() {
    succeeded(
        &run(&mut make("setup")),
        &[
            "found cargo: cargo ",
            "found rustc: rustc ",
            "make example-1",
        ],
    );
}

#[test]
fn setup_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    // A machine with what the script itself uses, and nothing to build with.
    for tool in ["bash", "env", "dirname", "head"] {
        let found = run(command("sh").args(["-c", &format!("command -v {tool}")]));
        std::os::unix::fs::symlink(found.stdout.trim(), folder.path().join(tool)).unwrap();
    }
    let output = run(command(root().join("scripts/setup.sh")).env("PATH", folder.path()));
    failed(&output, &["Missing: cargo", "https://rustup.rs"]);
}

/// S4-03.
#[test]
fn an_unknown_number_names_those_that_exist() {
    failed(
        &run(&mut make("example-99")),
        &[
            "There is no example 99",
            "make example-1 ",
            "produce and consume",
        ],
    );
    failed(
        &run(&mut make("exercise-9z")),
        &["There is no exercise 9z", "make exercise-1a "],
    );
}

/// A `docker` on the path that writes down how it was called. `version` fails when there is no engine behind it.
fn fake_docker(folder: &Path, engine: bool) -> PathBuf {
    let log = folder.join("calls");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>'{}'\ncase \"$1\" in version) exit {} ;; esac\n",
        log.display(),
        if engine { 0 } else { 1 }
    );
    let docker = folder.join("docker");
    fs::write(&docker, script).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    log
}

fn make_with_docker(infra: &Infra, target: &str, folder: &Path) -> Output {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    run(make(target)
        .env("PATH", path)
        .arg(format!("INFRA_PORT={}", infra.port)))
}

/// S4-31.
#[tokio::test]
async fn a_docker_client_without_an_engine_is_not_enough() {
    let infra = Infra::new();
    let folder = tempfile::tempdir().unwrap();
    fake_docker(folder.path(), false);
    let output = make_with_docker(&infra, "infra-up", folder.path());
    succeeded(
        &output,
        &[
            "Starting the embedded broker: no Docker engine answers",
            "ready on",
        ],
    );
    assert!(infra.answers().await);
}

/// No Docker engine is needed to see which commands it would get.
#[test]
fn with_a_docker_engine_compose_is_used_and_removed_again() {
    let infra = Infra::new();
    let folder = tempfile::tempdir().unwrap();
    let calls = fake_docker(folder.path(), true);
    let project = format!(
        "compose --project-name kafka-event-streaming-{}",
        infra.port
    );

    // This engine starts nothing, and that is noticed.
    let up = make_with_docker(&infra, "infra-up", folder.path());
    assert!(
        up.stdout
            .contains("Starting Apache Kafka by Docker Compose: a Docker engine answers"),
        "{up:#?}"
    );
    failed(&up, &["no Kafka broker answers"]);
    let down = make_with_docker(&infra, "infra-down", folder.path());
    succeeded(&down, &["Stopped Apache Kafka"]);

    let calls = fs::read_to_string(calls).unwrap();
    let calls: Vec<&str> = calls
        .lines()
        .filter(|call| call.starts_with(&project))
        .collect();
    assert_eq!(
        calls,
        [
            format!("{project} up --detach --wait --wait-timeout 180"),
            format!("{project} down")
        ]
    );
}

#[test]
fn a_reset_removes_the_volume_of_compose() {
    let infra = Infra::new();
    let folder = tempfile::tempdir().unwrap();
    let calls = fake_docker(folder.path(), true);
    make_with_docker(&infra, "infra-up", folder.path());
    make_with_docker(&infra, "infra-reset", folder.path());
    make_with_docker(&infra, "infra-down", folder.path());
    let calls = fs::read_to_string(calls).unwrap();
    assert_eq!(
        calls
            .lines()
            .filter(|call| call.ends_with(" down --volumes"))
            .count(),
        1,
        "{calls}"
    );
}
