//! The tables of appendix A: every setting that the code sets, with librdkafka's default and the code's value.
//!
//! A table's heading says whose settings it has, and the names of its columns which profile. A cell in code is compared; a
//! cell without code may stand only where the value differs from program to program.

use std::collections::{BTreeMap, BTreeSet};

use kafka_event_streaming::config::{
    Cluster, ConsumerSettings, DEFAULT_BOOTSTRAP_SERVERS, GroupProtocol, Guarantee,
    ProducerSettings,
};
use rdkafka::ClientConfig;

use crate::book::{Book, Complaint, Page};

const PAGE: &str = "appendix_a_settings.md";

/// What each program has of its own.
const OF_THE_PROGRAM: [&str; 3] = ["client.id", "group.id", "transactional.id"];

/// Set only when they are asked for, and to what is asked for.
const IF_ASKED_FOR: [&str; 2] = ["group.instance.id", "statistics.interval.ms"];

/// The cell of a setting that a profile does not set, and of a default that is no value.
const NOT_SET: &str = "—";

type Config = BTreeMap<String, String>;

/// The code's values, by table and column.
struct Code(BTreeMap<(&'static str, &'static str), Config>);

impl Code {
    fn ask() -> Self {
        let cluster = Cluster::new(DEFAULT_BOOTSTRAP_SERVERS.parse().unwrap());
        let map = |config: ClientConfig| -> Config {
            let map = config.config_map().into_iter();
            map.map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        let producer = |settings: ProducerSettings| map(settings.client_config(&cluster).unwrap());
        let consumer = |settings: ConsumerSettings| map(settings.client_config(&cluster).unwrap());
        let guarantee = |guarantee| {
            producer(ProducerSettings {
                guarantee,
                ..ProducerSettings::reliable()
            })
        };
        let protocol = |protocol| {
            consumer(ConsumerSettings {
                protocol,
                ..ConsumerSettings::reliable("shop")
            })
        };
        Self(BTreeMap::from([
            (
                ("Every client", "ours"),
                map(cluster.client_config().unwrap()),
            ),
            (
                ("Producer", "reliable"),
                producer(ProducerSettings::reliable()),
            ),
            (
                ("Producer", "high_throughput"),
                producer(ProducerSettings::high_throughput()),
            ),
            (
                ("Producer", "low_latency"),
                producer(ProducerSettings::low_latency()),
            ),
            (
                ("Guarantees of a producer", "AtMostOnce"),
                guarantee(Guarantee::AtMostOnce),
            ),
            (
                ("Guarantees of a producer", "AtLeastOnce"),
                guarantee(Guarantee::AtLeastOnce),
            ),
            (
                ("Guarantees of a producer", "Idempotent"),
                guarantee(Guarantee::Idempotent),
            ),
            (
                ("Guarantees of a producer", "Transactional"),
                producer(ProducerSettings::transactional("transfers")),
            ),
            (
                ("Consumer", "reliable"),
                consumer(ConsumerSettings::reliable("shop")),
            ),
            (
                ("Consumer", "long_work"),
                consumer(ConsumerSettings::long_work("shop")),
            ),
            (
                ("Consumer", "high_throughput"),
                consumer(ConsumerSettings::high_throughput("shop")),
            ),
            (
                ("Consumer", "low_latency"),
                consumer(ConsumerSettings::low_latency("shop")),
            ),
            (
                ("Group protocols", "classic"),
                protocol(GroupProtocol::classic()),
            ),
            (
                ("Group protocols", "new"),
                protocol(GroupProtocol::new_protocol()),
            ),
        ]))
    }

    /// Every name that some profile sets.
    fn names(&self) -> BTreeSet<&str> {
        self.0
            .values()
            .flat_map(Config::keys)
            .map(String::as_str)
            .collect()
    }
}

/// A row of a table with a column of defaults, whose first cell is a setting.
struct Row<'a> {
    line: usize,
    table: &'a str,
    name: &'a str,
    /// The column's name and the cell.
    cells: Vec<(&'a str, &'a str)>,
}

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let Some(page) = book.page(PAGE) else {
        return vec![Complaint::new(
            format!("book/src/{PAGE}"),
            1,
            "this page is missing",
        )];
    };
    let code = Code::ask();
    let rows = rows(page);
    let mut complaints: Vec<Complaint> =
        rows.iter().flat_map(|row| look(page, &code, row)).collect();
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    for name in code.names().difference(&listed) {
        complaints.push(page.complain(1, format!("no table has {name}, which the code sets")));
    }
    complaints
}

fn rows(page: &Page) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let (mut table, mut header) = ("", Vec::new());
    for (index, line) in page.text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            (table, header) = (heading, Vec::new());
        }
        let Some(cells) = line
            .strip_prefix('|')
            .and_then(|line| line.trim_end().strip_suffix('|'))
        else {
            header.clear();
            continue;
        };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        if header.is_empty() {
            header = cells.iter().map(|cell| cell.trim_matches('`')).collect();
        } else if let Some(name) = in_code(cells[0]).filter(|_| header.contains(&"default")) {
            let cells = header.iter().copied().zip(cells).skip(1).collect();
            rows.push(Row {
                line: index + 1,
                table,
                name,
                cells,
            });
        }
    }
    rows
}

fn in_code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// What is wrong with a row.
fn look(page: &Page, code: &Code, row: &Row<'_>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut compared = 0;
    for (column, cell) in &row.cells {
        let actual = if *column == "default" {
            default(row.name)
        } else if let Some(config) = code
            .0
            .iter()
            .find(|((table, of), _)| *table == row.table && of == column)
        {
            config.1.get(row.name).cloned()
        } else {
            // Words, such as the reason.
            if cell.is_empty() {
                complaints
                    .push(page.complain(row.line, format!("{}: {column} is empty", row.name)));
            }
            continue;
        };
        compared += 1;
        let shown = in_code(cell).or((*cell == NOT_SET).then_some(NOT_SET));
        let free = *column != "default" && OF_THE_PROGRAM.contains(&row.name) && !cell.is_empty();
        let actual = actual.unwrap_or_else(|| NOT_SET.to_owned());
        if shown != Some(&actual) && !(free && shown.is_none()) {
            let what = format!("{}: {column} is {actual} and not {cell}", row.name);
            complaints.push(page.complain(row.line, what));
        }
    }
    let if_asked_for = IF_ASKED_FOR.contains(&row.name);
    if compared < 2 && !if_asked_for {
        complaints.push(page.complain(
            row.line,
            format!("{}: no column of this table is the code's", row.name),
        ));
    }
    complaints
}

/// librdkafka's own value. None where it has none.
fn default(name: &str) -> Option<String> {
    // Settings of topics are known only once one was given: this one, at its default.
    let config = ClientConfig::new()
        .set("compression.level", "-1")
        .create_native_config()
        .unwrap();
    let value = config.get(name).unwrap_or_default();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use workspace_tests::read;

    use super::{PAGE, complaints};
    use crate::fixture::{Fixture, complains};

    const PATH: &str = "book/src/appendix_a_settings.md";

    fn with_the_page() -> Fixture {
        let fixture = Fixture::sound();
        fixture.write(PATH, &read(PATH));
        fixture
    }

    #[test]
    fn a_value_a_default_a_row_and_a_reason_that_are_wrong_are_noticed() {
        for (from, to, says) in [
            (
                "| `linger.ms` | `5` | `5` ",
                "| `linger.ms` | `5` | `6` ",
                "linger.ms: reliable is 5",
            ),
            (
                "| `linger.ms` | `5` ",
                "| `linger.ms` | `0` ",
                "linger.ms: default is 5",
            ),
            ("| `linger.ms` ", "| linger ", "no table has linger.ms"),
            (
                "| `enable.idempotence` | `false` | `false` ",
                "| `enable.idempotence` | `false` | — ",
                "AtMostOnce is false",
            ),
        ] {
            complains(
                &complaints(&with_the_page().replace(PATH, from, to).book()),
                says,
            );
        }
    }

    #[test]
    fn a_book_without_the_page_is_noticed() {
        complains(&complaints(&Fixture::sound().book()), PAGE);
    }
}
