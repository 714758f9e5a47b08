//! Looks into the books of all five services, which none of them does, and says whether they fit together.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use kafka_event_streaming::order::{Order, OrderEvent, OrderStatus};
use rusqlite::Row;

use crate::books::{Books, BooksError};
use crate::shop::Role;

/// What stands in the books.
pub(crate) struct Audit {
    stories: Vec<Story>,
    /// How many entries there are, in all books.
    entries: i64,
    /// How many messages were done, and how often they were delivered.
    messages: i64,
    deliveries: i64,
    /// What the outboxes hold that was not sent yet.
    unsent: i64,
}

/// What stands there of one order.
struct Story {
    order: Order,
    /// What was published of it by whom, and when, in milliseconds since 1970.
    moments: Vec<(Role, String, i64)>,
    /// What its own service has heard from the others.
    heard: BTreeSet<String>,
    /// The sum of the entries of each item, by service. In the order of the first entry, those that come to 0 left out.
    sums: BTreeMap<&'static str, Vec<(String, i64)>>,
}

impl Audit {
    /// Reads the books, which are those of `Role::ALL`.
    pub(crate) fn of(books: &[Books]) -> Result<Self> {
        let mut audit = Self {
            stories: Vec::new(),
            entries: 0,
            messages: 0,
            deliveries: 0,
            unsent: 0,
        };
        let [orders, ..] = books else {
            return Ok(audit);
        };
        for event in orders.rows("SELECT event FROM orders ORDER BY rowid", |row| {
            row.get::<_, String>(0)
        })? {
            let event: OrderEvent = serde_json::from_str(&event)?;
            audit.stories.push(Story {
                order: event.try_into()?,
                moments: Vec::new(),
                heard: BTreeSet::new(),
                sums: BTreeMap::new(),
            });
        }
        let places = audit
            .stories
            .iter()
            .map(|story| story.order.id().as_str().to_owned());
        let places: BTreeMap<String, usize> = places.zip(0..).collect();
        for (role, books) in Role::ALL.into_iter().zip(books) {
            let [entries, messages, deliveries, unsent] = books.counts()?;
            audit.entries += entries;
            audit.messages += messages;
            audit.deliveries += deliveries;
            audit.unsent += unsent;
            for (order, what, at) in books.outbox()? {
                if let Some(place) = places.get(&order) {
                    audit.stories[*place].moments.push((role, what, at));
                }
            }
            for (order, item, sum) in books.sums()? {
                if let Some(place) = places.get(&order) {
                    let sums = audit.stories[*place].sums.entry(role.name()).or_default();
                    sums.push((item, sum));
                }
            }
        }
        for message in orders.inbox()? {
            if let Some((order, what)) = message.split_once(' ')
                && let Some(place) = places.get(order)
            {
                audit.stories[*place].heard.insert(what.to_owned());
            }
        }
        Ok(audit)
    }

    pub(crate) fn orders(&self) -> usize {
        self.stories.len()
    }

    /// Whether nothing is left to be done: every order is at its end, and whoever reads of it has read everything.
    pub(crate) fn is_settled(&self) -> bool {
        let told = |role| {
            let stories = self.stories.iter();
            let told = stories.map(|story| story.moments_of(role).count());
            told.sum::<usize>()
        };
        let replies = told(Role::Inventory) + told(Role::Payments) + told(Role::Shipping);
        let messages = replies + 4 * told(Role::Orders);
        self.unsent == 0
            && usize::try_from(self.messages) == Ok(messages)
            && self.stories.iter().all(Story::is_settled)
    }

    /// Whether everything was delivered once more since then.
    pub(crate) fn has_seen_again(&self, before: &Self) -> bool {
        self.deliveries >= before.deliveries + before.messages
    }

    /// Says what another delivery of everything has changed, which must be nothing.
    pub(crate) fn print_since(&self, before: &Self) -> Result<()> {
        let again = self.deliveries - before.deliveries;
        let new = self.entries - before.entries;
        println!("\n{again} records were delivered once more. New in the books: {new}");
        ensure!(new == 0, "what was done was done again");
        self.print("")
    }

    /// Prints a time line for each order, and what they come to.
    pub(crate) fn print(&self, note: &str) -> Result<()> {
        println!("\nEach order, from the moment when it was placed:\n");
        let (mut shipped, mut cancelled, mut open) = (0, 0, 0);
        for story in &self.stories {
            println!("{}", story.line());
            match story.order.status() {
                _ if !story.is_settled() => open += 1,
                OrderStatus::Shipped => shipped += 1,
                _ => cancelled += 1,
            }
        }
        let wrong: Vec<String> = self
            .stories
            .iter()
            .filter_map(Story::what_is_wrong)
            .collect();
        println!();
        for wrong in &wrong {
            println!("wrong: {wrong}");
        }
        println!(
            "{} messages were done, in {} deliveries; {} wait to be sent",
            self.messages, self.deliveries, self.unsent
        );
        println!(
            "{} orders: shipped {shipped}, cancelled {cancelled}, open {open}, wrong {}{note}",
            self.orders(),
            wrong.len()
        );
        ensure!(wrong.is_empty(), "the books do not fit together");
        Ok(())
    }
}

impl Story {
    /// Whether the order is at its end: what was done for it in vain is taken back, and the customer knows everything.
    fn is_settled(&self) -> bool {
        let has_heard =
            |one: &str, other: &str| self.heard.contains(one) || self.heard.contains(other);
        match self.order.status() {
            OrderStatus::Shipped => self.sums_of(Role::Notifications).len() == 3,
            OrderStatus::Cancelled => {
                has_heard("sold out", "released")
                    && has_heard("declined", "refunded")
                    && self.sums_of(Role::Notifications).len() == 2
            }
            _ => false,
        }
    }

    fn moments_of(&self, role: Role) -> impl Iterator<Item = &(Role, String, i64)> {
        self.moments.iter().filter(move |(of, ..)| *of == role)
    }

    fn sums_of(&self, role: Role) -> &[(String, i64)] {
        self.sums.get(role.name()).map_or(&[], Vec::as_slice)
    }

    /// What two services' books say of the order that cannot both be so. Whatever is under way, none of this may ever be.
    fn what_is_wrong(&self) -> Option<String> {
        let status = self.order.status();
        let is_sold = matches!(status, OrderStatus::Paid | OrderStatus::Shipped);
        let is_over = status == OrderStatus::Cancelled && self.is_settled();
        let mut pieces: BTreeMap<&str, i64> = BTreeMap::new();
        for item in self.order.items() {
            *pieces.entry(item.product().as_str()).or_default() -= i64::from(item.quantity());
        }
        let total = self.order.total();
        let price = [(total.currency().code(), total.minor_units())];
        let parcel = [("parcel", 1)];
        let expected: [(Role, Vec<(&str, i64)>); 3] = [
            (Role::Inventory, pieces.into_iter().collect()),
            (Role::Payments, price.into()),
            (Role::Shipping, parcel.into()),
        ];
        for (role, all) in expected {
            let mut found: Vec<(&str, i64)> = self
                .sums_of(role)
                .iter()
                .map(|(item, sum)| (item.as_str(), *sum))
                .collect();
            found.sort_unstable();
            let may_be_nothing =
                !is_sold || (role == Role::Shipping && status == OrderStatus::Paid);
            let may_be_all = !is_over && (role != Role::Shipping || is_sold);
            if !(found.is_empty() && may_be_nothing || found == all && may_be_all) {
                let id = self.order.id();
                return Some(format!(
                    "{id} is {status}, and {} has {found:?} of {all:?}",
                    role.name()
                ));
            }
        }
        // One mail for each step, in the order of the steps.
        let mails = self.sums_of(Role::Notifications);
        let steps = self.moments_of(Role::Orders);
        let steps: Vec<(String, i64)> = steps.map(|(_, status, _)| (status.clone(), 1)).collect();
        (!steps.starts_with(mails))
            .then(|| format!("{}: mails {mails:?} of {steps:?}", self.order.id()))
    }

    /// `order-1   reserved 0.21 s  charged 0.22 s  paid 0.25 s  shipped 0.27 s`
    fn line(&self) -> String {
        let placed = self.moments.first().map_or(0, |(_, _, at)| *at);
        let cell = |moment: Option<&(Role, String, i64)>| match moment {
            Some((_, what, at)) => {
                #[allow(
                    clippy::cast_precision_loss,
                    reason = "an order takes no 300,000 years"
                )]
                let seconds = (at - placed) as f64 / 1000.0;
                format!("{what} {seconds:.2} s")
            }
            None => "-".to_owned(),
        };
        let ends = ["released", "refunded", "shipped"];
        let end = self.moments.iter().rev().find(|(role, what, _)| {
            let speaks_of_itself = !matches!(role, Role::Orders | Role::Notifications);
            speaks_of_itself && ends.contains(&what.as_str())
        });
        format!(
            "{:<9} {:<17}{:<17}{:<19}{}",
            self.order.id().as_str(),
            cell(self.moments_of(Role::Inventory).next()),
            cell(self.moments_of(Role::Payments).next()),
            cell(self.moments_of(Role::Orders).nth(1)),
            cell(end),
        )
    }
}

/// What is read of the books here.
impl Books {
    fn rows<T>(
        &self,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, BooksError> {
        self.use_connection(|connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn counts(&self) -> Result<[i64; 4], BooksError> {
        let sql = "SELECT (SELECT COUNT(*) FROM entries),
                          COUNT(*), COALESCE(SUM(deliveries), 0),
                          (SELECT COUNT(*) FROM outbox WHERE sent = 0) FROM inbox";
        let counts = self.rows(sql, |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })?;
        Ok(counts.first().copied().unwrap_or_default())
    }

    /// Order, what happened, and when.
    fn outbox(&self) -> Result<Vec<(String, String, i64)>, BooksError> {
        self.rows("SELECT order_id, what, at FROM outbox ORDER BY id", |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
    }

    /// Order, item, and what the entries of it come to.
    fn sums(&self) -> Result<Vec<(String, String, i64)>, BooksError> {
        let sql = "SELECT order_id, item, SUM(amount) FROM entries
                   GROUP BY order_id, item HAVING SUM(amount) <> 0 ORDER BY MIN(id)";
        self.rows(sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    }

    fn inbox(&self) -> Result<Vec<String>, BooksError> {
        self.rows("SELECT message FROM inbox", |row| row.get(0))
    }
}
