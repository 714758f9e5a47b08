//! The tables of appendix A: every setting that the code sets, with librdkafka's default and the code's value.
//!
//! A table's heading says whose settings it has, and the names of its columns which profile. A cell in code is compared; a
//! cell without code may stand only where the value differs from program to program.

use std::collections::{BTreeMap, BTreeSet};

use kafka_event_streaming::config::{
    Cluster, ConsumerSettings, DEFAULT_BOOTSTRAP_SERVERS, GroupProtocol, Guarantee,
    ProducerSettings,
};
use kafka_event_streaming::transaction::TransactionSettings;
use rdkafka::ClientConfig;

use crate::book::{Book, Complaint, Page};

const PAGE: &str = "appendix_a_settings.md";

/// What each program has of its own.
const OF_THE_PROGRAM: [&str; 3] = ["client.id", "group.id", "transactional.id"];

/// Made up anew for each client, so it differs between any two columns.
const OF_EACH_CLIENT: &str = "client.id";

/// The cell of a setting that a profile does not set, and of a default that is no value.
const NOT_SET: &str = "—";

type Config = BTreeMap<String, String>;

/// The code's values, by table and column.
struct Code(Vec<(&'static str, &'static str, Config)>);

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
        let mut columns = vec![(
            "Every client",
            "ours",
            map(cluster.client_config().unwrap()),
        )];

        let reliable = ProducerSettings::reliable;
        columns.push(("Producer", "reliable", producer(reliable())));
        for (profile, settings) in [
            ("reliable", reliable()),
            ("high_throughput", ProducerSettings::high_throughput()),
            ("low_latency", ProducerSettings::low_latency()),
        ] {
            columns.push(("Profiles of a producer", profile, producer(settings)));
        }
        let transactional = ProducerSettings::transactional("transfers");
        for (name, guarantee) in [
            ("AtMostOnce", Guarantee::AtMostOnce),
            ("AtLeastOnce", Guarantee::AtLeastOnce),
            ("Idempotent", Guarantee::Idempotent),
            ("Transactional", transactional.guarantee),
        ] {
            let settings = ProducerSettings {
                guarantee,
                ..reliable()
            };
            columns.push(("Guarantees of a producer", name, producer(settings)));
        }

        let transactions = TransactionSettings::new("invoicing", "invoicing-0");
        let results = transactions.producer_config(&cluster).unwrap();
        columns.push(("Transactions", "ours", map(results)));

        let reliable = || ConsumerSettings::reliable("shop");
        columns.push(("Consumer", "reliable", consumer(reliable())));
        for (profile, settings) in [
            ("reliable", reliable()),
            ("long_work", ConsumerSettings::long_work("shop")),
            ("high_throughput", ConsumerSettings::high_throughput("shop")),
            ("low_latency", ConsumerSettings::low_latency("shop")),
        ] {
            columns.push(("Profiles of a consumer", profile, consumer(settings)));
        }
        for (name, protocol) in [
            ("classic", GroupProtocol::classic()),
            ("new", GroupProtocol::new_protocol()),
        ] {
            let settings = ConsumerSettings {
                protocol,
                ..reliable()
            };
            columns.push(("Group protocols", name, consumer(settings)));
        }
        Self(columns)
    }

    fn tables(&self) -> BTreeSet<&'static str> {
        self.0.iter().map(|(table, ..)| *table).collect()
    }

    fn column(&self, table: &str, column: &str) -> Option<&Config> {
        let mut columns = self.0.iter();
        let found = columns.find(|(of, name, _)| *of == table && *name == column)?;
        Some(&found.2)
    }

    /// Every name that some profile sets.
    fn names(&self) -> BTreeSet<&str> {
        let names = self.0.iter().flat_map(|(.., config)| config.keys());
        names.map(String::as_str).collect()
    }

    /// Names whose values are not the same in all columns of a table.
    fn differing(&self, table: &str) -> BTreeSet<&str> {
        let of_table = || self.0.iter().filter(|(of, ..)| *of == table);
        let is_alike = |name: &&str| {
            let values: BTreeSet<Option<&String>> =
                of_table().map(|(.., config)| config.get(*name)).collect();
            values.len() == 1 || OF_EACH_CLIENT == *name
        };
        let mut names = self.names();
        names.retain(|name| !is_alike(name));
        names
    }
}

/// A row of a table with values, whose first cell is a setting.
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
    let rows = rows(page, &code);
    let mut complaints: Vec<Complaint> =
        rows.iter().flat_map(|row| look(page, &code, row)).collect();
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    for table in code.tables() {
        for name in code.differing(table) {
            if !rows
                .iter()
                .any(|row| row.table == table && row.name == name)
            {
                let what =
                    format!("{name} differs between the columns of {table}, and is not there");
                complaints.push(page.complain(1, what));
            }
        }
    }
    for name in code.names().difference(&listed) {
        complaints.push(page.complain(1, format!("no table has {name}, which the code sets")));
    }
    complaints
}

fn rows<'a>(page: &'a Page, code: &Code) -> Vec<Row<'a>> {
    let has_values = |header: &[&str], table: &str| {
        let mut columns = header.iter();
        columns.any(|column| code.column(table, column).is_some())
    };
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
        } else if let Some(name) = in_code(cells[0]).filter(|_| has_values(&header, table)) {
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
    for (column, cell) in &row.cells {
        let actual = match code.column(row.table, column) {
            Some(config) => config.get(row.name).cloned(),
            None if *column == "default" => default(row.name),
            None if cell.is_empty() => {
                let what = format!("{}: {column} is empty", row.name);
                complaints.push(page.complain(row.line, what));
                continue;
            }
            // Words, such as the reason.
            None => continue,
        };
        let shown = in_code(cell).or((*cell == NOT_SET).then_some(NOT_SET));
        let free = *column != "default" && OF_THE_PROGRAM.contains(&row.name) && !cell.is_empty();
        let actual = actual.unwrap_or_else(|| NOT_SET.to_owned());
        if shown != Some(&actual) && !(free && shown.is_none()) {
            let what = format!("{}: {column} is {actual} and not {cell}", row.name);
            complaints.push(page.complain(row.line, what));
        }
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
                "| `linger.ms` | `5` | `5` | At",
                "| `linger.ms` | `5` | `6` | At",
                "linger.ms: reliable is 5",
            ),
            (
                "| `linger.ms` | `5` | `5` | At",
                "| `linger.ms` | `0` | `5` | At",
                "linger.ms: default is 5",
            ),
            (
                "| `linger.ms` | `5` | `50` ",
                "| `linger.ms` | `5` | `5` ",
                "linger.ms: high_throughput is 50",
            ),
            (
                "| `fetch.min.bytes` | `1` | `1` | `65536` | `1` |\n",
                "",
                "fetch.min.bytes differs between the columns of Profiles of a consumer",
            ),
            (
                "| `partitioner` ",
                "| partitioner ",
                "no table has partitioner",
            ),
            (
                "A caller hears of a dead cluster after five minutes.",
                "",
                "delivery.timeout.ms: what goes wrong otherwise is empty",
            ),
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
