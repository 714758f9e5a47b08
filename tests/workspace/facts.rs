//! What the files of this repository say of each other, compared with what is so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kafka_event_streaming::config::DEFAULT_BOOTSTRAP_SERVERS;
use workspace_tests::rows::rows;
use workspace_tests::{cargo, command, example, examples, files, make, names, read, root, run};
use yaml_rust2::{Yaml, YamlLoader};

const COMPOSE: &str = "docker-compose.yml";

fn compose() -> Yaml {
    YamlLoader::load_from_str(&read(COMPOSE)).unwrap().remove(0)
}

/// The services of the compose file, by name.
fn services(compose: &Yaml) -> Vec<(&str, &Yaml)> {
    let services = compose["services"].as_hash().unwrap();
    services
        .iter()
        .map(|(name, service)| (name.as_str().unwrap(), service))
        .collect()
}

fn default_port() -> &'static str {
    DEFAULT_BOOTSTRAP_SERVERS.rsplit_once(':').unwrap().1
}

#[test]
fn compose_names_exact_images() {
    let compose = compose();
    let images: Vec<&str> = services(&compose)
        .iter()
        .map(|(_, service)| service["image"].as_str().unwrap())
        .collect();
    assert_eq!(images.len(), 2);
    for image in &images {
        let (_, tag) = image
            .rsplit_once(':')
            .unwrap_or_else(|| panic!("{image} has no tag"));
        let numbers: Vec<&str> = tag.trim_start_matches('v').split('.').collect();
        let exact =
            numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok());
        assert!(exact, "{image} names no exact version");
    }
    // The Kafka that runs in Docker is the one that `make test-kafka` tests against.
    let kafka = images
        .iter()
        .find_map(|image| image.strip_prefix("apache/kafka:"))
        .unwrap();
    let jars = read("scripts/apache-kafka/pom.xml");
    assert!(
        jars.contains(&format!("<kafka.version>{kafka}</kafka.version>")),
        "compose runs {kafka}"
    );
}

#[test]
fn compose_checks_the_health_of_every_service_and_limits_its_memory() {
    for (name, service) in services(&compose()) {
        let test = service["healthcheck"]["test"].as_vec();
        assert!(
            test.is_some_and(|test| test.len() > 1),
            "{name} has no healthcheck"
        );
        assert!(
            service["healthcheck"]["retries"].as_i64().is_some(),
            "{name} is retried for ever"
        );
        assert!(
            service["mem_limit"].as_str().is_some(),
            "{name} may take all memory"
        );
    }
    let condition = &compose()["services"]["kafka-ui"]["depends_on"]["kafka"]["condition"];
    assert_eq!(condition.as_str(), Some("service_healthy"));
}

#[test]
fn compose_and_scripts_use_the_port_of_the_library() {
    let port = default_port();
    let compose = compose();
    let published = |service: &str| {
        compose["services"][service]["ports"][0]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        published("kafka"),
        format!("127.0.0.1:${{INFRA_PORT:-{port}}}:9092")
    );
    assert_eq!(
        published("kafka-ui"),
        "127.0.0.1:${INFRA_UI_PORT:-8080}:8080"
    );
    let advertised = compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
        .as_str()
        .unwrap();
    assert!(
        advertised.contains(&format!("HOST://localhost:${{INFRA_PORT:-{port}}},")),
        "{advertised}"
    );

    let scripts = read("scripts/common.sh");
    assert!(scripts.contains(&format!("\nINFRA_PORT=${{INFRA_PORT:-{port}}}\n")));
    assert!(scripts.contains("\nINFRA_UI_PORT=${INFRA_UI_PORT:-8080}\n"));
    assert!(scripts.contains(&format!("[ \"$INFRA_PORT\" != {port} ]")));
    assert!(read("README.md").contains(&format!(
        "`KAFKA_BOOTSTRAP_SERVERS`, default `{DEFAULT_BOOTSTRAP_SERVERS}`"
    )));
}

/// X7, X17: one broker cannot hold three replicas, and there is no ZooKeeper.
#[test]
fn compose_runs_one_broker_in_kraft_mode() {
    let compose = compose();
    let kafka = &compose["services"]["kafka"];
    let environment = kafka["environment"].as_hash().unwrap();
    let one = ["REPLICATION_FACTOR", "MIN_ISR"];
    let mut checked = BTreeSet::new();
    for (name, value) in environment {
        let name = name.as_str().unwrap();
        assert!(!name.contains("ZOOKEEPER"), "{name}");
        // Docker takes text only; YAML would make a number of an unquoted one.
        let value = value
            .as_str()
            .unwrap_or_else(|| panic!("{name} is not quoted"));
        if one.iter().any(|end| name.ends_with(end)) {
            assert_eq!(value, "1", "{name}");
            checked.insert(name);
        }
    }
    for topic in [
        "OFFSETS_TOPIC_REPLICATION_FACTOR",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
        "TRANSACTION_STATE_LOG_MIN_ISR",
    ] {
        assert!(
            checked.contains(format!("KAFKA_{topic}").as_str()),
            "{topic} is missing"
        );
    }
    assert_eq!(
        environment[&Yaml::from_str("KAFKA_PROCESS_ROLES")].as_str(),
        Some("broker,controller")
    );
    let volume = kafka["volumes"][0].as_str().unwrap();
    let (volume, folder) = volume.split_once(':').unwrap();
    assert!(
        compose["volumes"]
            .as_hash()
            .unwrap()
            .contains_key(&Yaml::from_str(volume))
    );
    let data = environment[&Yaml::from_str("KAFKA_LOG_DIRS")].as_str();
    assert_eq!(data, Some(folder), "the data is not on the volume");
}

/// One place knows where a broker is looked for. The broker knows where it listens.
#[test]
fn no_other_rust_file_holds_the_address() {
    let needle = format!(":{}", default_port());
    let mut rust = Vec::new();
    files(root(), ".rs", &mut rust);
    assert!(
        rust.len() > 20,
        "the search does not look everywhere: {rust:?}"
    );
    for path in rust {
        let relative = path.strip_prefix(root()).unwrap();
        let may = relative == Path::new("src/config/bootstrap_servers.rs")
            || relative.starts_with("crates/embedded-broker/src")
            || relative == Path::new("tests/workspace/facts.rs");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            may || !text.contains(&needle),
            "{} holds {needle}",
            relative.display()
        );
    }
}

/// The variable as well: whoever reads it elsewhere skips the check of its value.
#[test]
fn no_other_rust_file_reads_the_variable() {
    let mut rust = Vec::new();
    files(&root().join("src"), ".rs", &mut rust);
    files(&root().join("examples"), ".rs", &mut rust);
    files(&root().join("exercises"), ".rs", &mut rust);
    files(&root().join("solutions"), ".rs", &mut rust);
    let files_with = |needle: &str| -> Vec<&PathBuf> {
        rust.iter()
            .filter(|path| std::fs::read_to_string(path).unwrap().contains(needle))
            .collect()
    };
    let readers = files_with("environment::read(BOOTSTRAP_SERVERS_VARIABLE");
    assert_eq!(readers.len(), 1, "{readers:?}");
    assert!(readers[0].ends_with("src/config/bootstrap_servers.rs"));
    for way_around in [
        "env::var(BOOTSTRAP_SERVERS_VARIABLE",
        "env::var(\"KAFKA_BOOTSTRAP_SERVERS\"",
    ] {
        let readers = files_with(way_around);
        assert!(readers.is_empty(), "{readers:?} read it with {way_around}");
    }
}

/// Names, lines of help and lines of recipe of the Makefile's targets.
fn targets() -> Vec<(String, String, usize)> {
    let mut targets: Vec<(String, String, usize)> = Vec::new();
    for line in read("Makefile").lines() {
        if line.starts_with('\t') && !targets.is_empty() {
            targets.last_mut().unwrap().2 += 1;
        } else if let Some((head, help)) = line.split_once(" ## ") {
            let (name, _) = head.split_once(':').unwrap();
            targets.push((name.replace('%', "N"), help.to_owned(), 0));
        }
    }
    targets
}

#[test]
fn help_lists_every_target_and_none_is_long() {
    let output = run(&mut make("help"));
    assert!(output.success, "{output:#?}");
    let plain = run(command("make").arg("--no-print-directory"));
    assert_eq!(plain.stdout, output.stdout, "help is not the default");
    let targets = targets();
    for wanted in [
        "help",
        "setup",
        "infra-up",
        "infra-down",
        "infra-status",
        "infra-logs",
        "infra-reset",
        "example-N",
        "examples",
        "exercise-N",
        "exercises",
        "book",
        "book-serve",
        "test",
        "test-kafka",
        "rows",
        "why",
        "lint",
        "coverage",
        "clean",
    ] {
        assert!(
            targets.iter().any(|(name, ..)| name == wanted),
            "make {wanted} is missing or has no help"
        );
    }
    for (name, help, lines) in &targets {
        assert!(
            output.stdout.contains(&format!("make {name} ")),
            "help does not list {name}"
        );
        assert!(
            output.stdout.contains(help.as_str()),
            "help does not say what {name} does"
        );
        assert!((1..=3).contains(lines), "{name} has {lines} lines");
    }
}

/// `make X` wherever a person reads it.
#[test]
fn every_make_target_that_is_named_exists() {
    let targets: BTreeSet<String> = targets().into_iter().map(|(name, ..)| name).collect();
    let mut texts = Vec::new();
    for suffix in [".md", ".rs", ".sh", ".toml", ".yml"] {
        files(root(), suffix, &mut texts);
    }
    let mut named = 0;
    for path in texts
        .iter()
        .filter(|path| !path.starts_with(root().join("tests/workspace")))
    {
        let text = std::fs::read_to_string(path).unwrap();
        for (start, _) in text.match_indices("make ") {
            let before = text[..start].chars().next_back();
            // `make` as a command: in code, at the start of a line, or behind a colon. "make sure" is prose.
            if !matches!(before, Some('`' | '\n') | None) {
                continue;
            }
            let target: String = text[start + 5..]
                .chars()
                .take_while(|character| {
                    character.is_ascii_lowercase()
                        || character.is_ascii_digit()
                        || *character == '-'
                })
                .collect();
            let (family, number) = target.rsplit_once('-').unwrap_or((&target, ""));
            let known = targets.contains(&target)
                || (number.starts_with(|first: char| first.is_ascii_digit())
                    && targets.contains(&format!("{family}-N")));
            assert!(
                known || target.is_empty(),
                "{} names make {target}",
                path.display()
            );
            named += 1;
        }
    }
    assert!(named > 10, "the search finds nothing");
}

#[test]
fn every_link_of_the_readmes_leads_somewhere() {
    let mut readmes = Vec::new();
    files(root(), "README.md", &mut readmes);
    let mut links = 0;
    for readme in readmes {
        let text = std::fs::read_to_string(&readme).unwrap();
        for (start, _) in text.match_indices("](") {
            let (link, _) = text[start + 2..].split_once(')').unwrap();
            let (file, _) = link.split_once('#').unwrap_or((link, ""));
            if !link.contains("://") && !file.is_empty() {
                assert!(
                    readme.parent().unwrap().join(file).exists(),
                    "{} links to {link}",
                    readme.display()
                );
                links += 1;
            }
        }
    }
    assert!(links > 10, "the search finds nothing");
}

/// S4-19: the commands that show how one test is run by name.
#[test]
fn every_test_that_the_readme_runs_by_name_exists() {
    let readme = read("README.md");
    let commands = readme
        .lines()
        .filter(|line| line.starts_with("cargo test "));
    let mut checked = 0;
    for line in commands {
        let words: Vec<&str> = line
            .split('#')
            .next()
            .unwrap()
            .split_whitespace()
            .skip(2)
            .collect();
        for pair in words.windows(2) {
            let [option, value] = pair else {
                unreachable!("windows of two")
            };
            match *option {
                "--test" if !words.contains(&"--package") => {
                    assert!(root().join(format!("tests/{value}.rs")).exists(), "{line}")
                }
                "--test" => assert!(
                    [format!("{value}.rs"), format!("{value}/main.rs")]
                        .iter()
                        .any(|file| root().join("tests/workspace").join(file).exists()),
                    "{line}"
                ),
                "--bin" => assert!(
                    names("solutions", ".rs").contains(&value.trim_end_matches("_sol").to_owned()),
                    "{line}"
                ),
                _ => continue,
            }
            checked += 1;
        }
        if let [.., "library", name] = words.as_slice() {
            assert!(
                read("tests/library.rs").contains(&format!("async fn {name}()")),
                "{line}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 5, "the search finds nothing");
}

/// The README and the examples hold together: each example is in the index, and says four things before `main`.
#[test]
fn every_example_is_in_the_index_and_says_what_it_shows() {
    let readme = read("README.md");
    for name in examples() {
        let text = read(&format!("examples/{name}.rs"));
        assert!(
            readme.contains(&format!("(examples/{name}.rs)")),
            "the README does not list {name}"
        );
        let (number, _) = name.split_once('_').unwrap();
        let number: u32 = number.parse().unwrap();
        assert!(
            text.starts_with(&format!("//! Example {number}: ")),
            "{name}"
        );
        let (opening, _) = text.split_once("\nuse ").unwrap();
        for part in [
            "//! Shows:",
            "//! Key point:",
            "//! Limit:",
            "//! Run it:",
            &format!("make example-{number} "),
        ] {
            assert!(opening.contains(part), "{name} does not open with {part:?}");
        }
        let main = text.find("async fn main()").expect("an example has a main");
        let helper = text
            .replace("async fn main()", "")
            .find("fn ")
            .unwrap_or(usize::MAX);
        assert!(
            main < helper,
            "{name}: main comes first, what it calls comes below"
        );
    }
}

/// S4-02: what needs features says so in Cargo.toml, and `make` and these tests read it there.
#[test]
fn the_scripts_know_what_needs_features() {
    let list = "set -euo pipefail; source scripts/common.sh; gated_targets";
    let output = run(command("bash").args(["-c", list]));
    assert!(output.success, "{output:#?}");
    let gated = workspace_tests::targets()
        .into_iter()
        .filter(|target| !target.features.is_empty());
    let expected: Vec<String> = gated
        .map(|target| {
            let features = target.feature_list();
            format!(
                "{} {} {} {features}",
                target.package, target.kind, target.name
            )
        })
        .collect();
    let avro = "kafka-event-streaming test avro kafka-event-streaming/avro".to_owned();
    assert!(expected.contains(&avro), "{expected:?}");
    assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected);
}

/// Without its features, `cargo run` refuses to build an example.
#[test]
fn every_command_that_runs_an_example_names_its_features() {
    let mut texts = vec!["README.md".to_owned()];
    let of_examples = names("examples", ".rs");
    texts.extend(of_examples.iter().map(|name| format!("examples/{name}.rs")));
    let mut checked = 0;
    for text in texts {
        for line in read(&text).lines() {
            let Some((_, arguments)) = line.split_once("cargo run ") else {
                continue;
            };
            let words: Vec<&str> = arguments.split([' ', '`']).collect();
            let behind = |option| {
                let place = words.iter().position(|word| *word == option)?;
                words.get(place + 1).copied()
            };
            let Some(name) = behind("--example") else {
                continue;
            };
            let needed = example(name).features.join(",");
            let named = behind("--features").unwrap_or_default();
            assert_eq!(named, needed, "{text}: {line}");
            checked += 1;
        }
    }
    assert!(checked > 5, "the search finds nothing");
}

/// What only one example or test needs must not be waited for by who asks for neither.
#[test]
fn a_plain_build_leaves_the_heavy_dependencies_out() {
    let output = run(cargo().args([
        "tree",
        "--locked",
        "--workspace",
        "--edges=all",
        "--prefix=none",
        "--format={p}",
    ]));
    assert!(output.success, "{}", output.stderr);
    let locked = read("Cargo.lock");
    for heavy in ["apache-avro", "hyper", "libsqlite3-sys", "openssl-sys"] {
        assert!(locked.contains(&format!("name = \"{heavy}\"")), "{heavy}");
        assert!(!output.stdout.contains(&format!("{heavy} v")), "{heavy}");
    }
}

/// A toolchain as old as `rust-version` says can build every dependency of the lock file.
#[test]
fn no_dependency_needs_a_newer_rust_than_declared() {
    let output = run(cargo().args(["metadata", "--format-version=1", "--locked"]));
    assert!(output.success, "{}", output.stderr);
    let metadata: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let version = |text: &str| -> Vec<u32> {
        let mut numbers: Vec<u32> = text
            .split('.')
            .map(|number| number.parse().unwrap())
            .collect();
        numbers.resize(3, 0);
        numbers
    };
    let of = |package: &serde_json::Value| package["rust_version"].as_str().map(version);
    let root = packages
        .iter()
        .find(|package| package["name"] == "kafka-event-streaming")
        .unwrap();
    let declared = of(root).unwrap();
    for package in packages {
        if let Some(needed) = of(package) {
            assert!(
                needed <= declared,
                "{} {} needs Rust {needed:?}",
                package["name"],
                package["version"]
            );
        }
    }
    let readme = read("README.md");
    assert!(
        readme.contains(&format!("{}.{} or newer", declared[0], declared[1])),
        "the README names another Rust"
    );
}

/// The table of what must work, as `make rows` prints it.
#[test]
fn every_row_has_a_test() {
    let rows = rows();
    let missing: Vec<&str> = rows
        .iter()
        .filter(|row| row.tests.is_empty() && !row.later)
        .map(|row| row.id.as_str())
        .collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
    let proven: Vec<&str> = rows
        .iter()
        .filter(|row| row.later && !row.tests.is_empty())
        .map(|row| row.id.as_str())
        .collect();
    assert!(
        proven.is_empty(),
        "{proven:?} stand under what is not built yet, and have tests: move them up"
    );
}
