//! The shop around the services: its names, its folder, its customers, and what it shows on the terminal.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, process, slice};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum, value_parser};
use jiff::Timestamp;
use kafka_event_streaming::config::Cluster;
use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
use kafka_event_streaming::processor::Failure;
use kafka_event_streaming::reachability;
use kafka_event_streaming::topics::{self, Tier, TopicDesign};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::audit::Audit;
use crate::books::{Books, BooksError};
use crate::messages::Message;

/// After so long without a change in the books, the broker is asked whether it is there. The longest wait for its answer, too.
const SILENCE: Duration = Duration::from_secs(3);

/// It is, and still nothing happens: so many silences are too many.
const MOST_SILENCES: u32 = 20;

/// Beyond so many cents a payment is declined.
pub(crate) const CREDIT_LIMIT: i64 = 60_00;

/// What inventory begins with: pieces of each product.
const STOCK: [(&str, i64); 2] = [("coffee", 1000), ("teapot", 1)];

/// What is ordered, again and again: product, pieces, price of one.
const ORDERS: [&[(&str, u32, &str)]; 6] = [
    &[("coffee", 2, "3.50 EUR")],
    &[("teapot", 1, "24.00 EUR")],
    // There is one.
    &[("coffee", 1, "3.50 EUR"), ("teapot", 2, "24.00 EUR")],
    // More than the credit limit.
    &[("coffee", 20, "3.50 EUR")],
    &[("coffee", 1, "3.50 EUR")],
    &[("coffee", 3, "3.50 EUR")],
];

/// What the services say goes through these.
const TOPICS: [&str; 5] = ["orders", "stock", "payments", "shipments", "notices"];

/// Of each topic.
const PARTITIONS: i32 = 3;

/// The effect after which `--crash` ends the process.
const CRASH_AFTER: u32 = 3;

/// What a shell reports for a process that was killed: 128 + SIGKILL.
const EXIT_CODE_KILLED: i32 = 137;

/// Five services process orders, of which one is declined and one is sold out.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// The shop: its topics, groups and books. The same name again goes on with it. Without it: one of this run's own
    #[arg(long)]
    shop: Option<String>,

    /// Where the folders with the books of shops are
    #[arg(long, default_value = "target/example-04")]
    books: PathBuf,

    /// How many orders there are to be in the shop
    #[arg(long, default_value_t = 6, value_parser = value_parser!(u32).range(1..=200))]
    orders: u32,

    /// Run one service alone, until Ctrl-C
    #[arg(long, requires = "shop")]
    pub(crate) role: Option<Role>,

    /// Die when this service has entered its third effect and told nobody of it
    #[arg(long, value_name = "ROLE")]
    crash: Option<Role>,

    /// Only look at the shop's books
    #[arg(long, requires = "shop")]
    pub(crate) audit: bool,
}

pub(crate) fn arguments() -> Arguments {
    Arguments::parse()
}

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Orders,
    Inventory,
    Payments,
    Shipping,
    Notifications,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [
        Self::Orders,
        Self::Inventory,
        Self::Payments,
        Self::Shipping,
        Self::Notifications,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Inventory => "inventory",
            Self::Payments => "payments",
            Self::Shipping => "shipping",
            Self::Notifications => "notifications",
        }
    }

    /// Where its column begins on the terminal.
    fn column(self) -> usize {
        match self {
            Self::Orders => 0,
            Self::Inventory => 11,
            Self::Payments => 22,
            Self::Shipping => 32,
            Self::Notifications => 42,
        }
    }
}

/// One shop. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Shop {
    cluster: Cluster,
    name: String,
    /// Whether nobody chose the name, so that nobody will come back to it.
    is_of_this_run: bool,
    /// Set for groups that are not the first ones of their service.
    groups: String,
    folder: PathBuf,
    /// How many orders there are to be.
    orders: u32,
    crash: Option<Role>,
    /// How many effects the service that is to crash has entered.
    effects: Arc<AtomicU32>,
    started: Instant,
    /// Told of every change in the books by this process.
    changed: Arc<Notify>,
}

impl Shop {
    pub(crate) fn new(arguments: &Arguments, cluster: Cluster) -> Self {
        let name = arguments.shop.clone();
        let is_of_this_run = name.is_none();
        let name = name.unwrap_or_else(|| topics::unique_name("example-04"));
        Self {
            cluster,
            is_of_this_run,
            groups: String::new(),
            folder: arguments.books.join(&name),
            name,
            orders: arguments.orders,
            crash: arguments.crash,
            effects: Arc::default(),
            started: Instant::now(),
            changed: Arc::default(),
        }
    }

    /// Makes topics and books ready for the services of this process.
    pub(crate) async fn open(&self, role: Option<Role>) -> Result<()> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("creating the folder {}", self.folder.display()))?;
        let mut is_known = false;
        for role in role.as_ref().map_or(&Role::ALL[..], slice::from_ref) {
            is_known |= self.books(*role)?.has_orders()?;
        }
        let events = TOPICS.map(|topic| {
            TopicDesign::new(self.topic(topic), Tier::Standard).with_partitions(PARTITIONS)
        });
        let letters =
            Role::ALL.map(|role| TopicDesign::new(self.dead_letters(role), Tier::DeadLetter));
        let designs = [&events[..], &letters[..]].concat();
        let topics = topics::ensure_topics(&self.cluster, &designs).await?;
        // Orders are placed when all topics are there.
        let mut new = topics.iter().filter(|topic| topic.created).peekable();
        if is_known && new.peek().is_some() {
            for topic in new {
                topics::delete_topic(&self.cluster, &topic.name).await?;
            }
            bail!(
                "{} holds orders, and this broker has forgotten what was said of them: remove the folder, or choose \
                 another --shop than {}",
                self.folder.display(),
                self.name
            );
        }
        println!("Example 4: order processing, on {}", self.cluster.servers());
        println!("shop {}, books in {}\n", self.name, self.folder.display());
        let mut heading = format!("{:>7}  {:<9} ", "time", "order");
        let first = heading.len();
        for role in Role::ALL {
            heading = format!(
                "{heading:<width$}{}",
                role.name(),
                width = first + role.column()
            );
        }
        println!("{heading}");
        Ok(())
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    pub(crate) fn dead_letters(&self, role: Role) -> String {
        topics::dead_letter_topic(&self.topic(role.name()))
    }

    pub(crate) fn group(&self, role: Role) -> String {
        format!("{}{}", self.topic(role.name()), self.groups)
    }

    /// The same shop, whose services are groups that have read nothing yet.
    pub(crate) fn in_new_groups(&self) -> Self {
        Self {
            groups: topics::unique_name(".again"),
            ..self.clone()
        }
    }

    /// The books of a service. In production each has its own place, and nobody else looks into them.
    pub(crate) fn books(&self, role: Role) -> Result<Books, BooksError> {
        let file = self.folder.join(format!("{}.sqlite", role.name()));
        let books = Books::open(&file, Arc::clone(&self.changed))?;
        if role == Role::Inventory {
            books.stock_up(&STOCK)?;
        }
        Ok(books)
    }

    pub(crate) fn audit(&self) -> Result<Audit> {
        ensure!(
            self.folder.exists(),
            "there is no shop {}: {} is missing",
            self.name,
            self.folder.display()
        );
        Audit::of(&self.all_books()?)
    }

    fn all_books(&self) -> Result<Vec<Books>, BooksError> {
        Role::ALL.into_iter().map(|role| self.books(role)).collect()
    }

    /// Waits until the books are as wanted.
    pub(crate) async fn wait_until(&self, reached: impl Fn(&Audit) -> bool) -> Result<()> {
        let books = self.all_books()?;
        let mut silences = 0;
        loop {
            let audit = Audit::of(&books)?;
            if audit.orders() >= self.orders as usize && reached(&audit) {
                return Ok(());
            }
            if timeout(SILENCE, self.changed.notified()).await.is_ok() {
                silences = 0;
                continue;
            }
            // A service would wait for as long as it takes.
            reachability::check(&self.cluster, SILENCE).await?;
            silences += 1;
            ensure!(
                silences < MOST_SILENCES,
                "not all is done, and nothing happens any more"
            );
        }
    }

    /// Customers order, until there are as many orders as there are to be.
    pub(crate) fn place_orders(&self, books: &Books) -> Result<(), Failure> {
        for number in 1..=self.orders {
            let order = order(number).map_err(Failure::fatal)?;
            let event = OrderEvent::from(&order);
            let is_new = books.transaction(|page| {
                let is_new = page.order(&event.order_id)?.is_none();
                if is_new {
                    page.save(&order)?;
                    page.post(&event)?;
                }
                Ok(is_new)
            })?;
            if is_new {
                self.show(Role::Orders, &event);
            }
        }
        Ok(())
    }

    /// A line in the column of the service.
    pub(crate) fn show(&self, role: Role, news: &impl Message) {
        let seconds = self.started.elapsed().as_secs_f64();
        let mail = if role == Role::Notifications {
            "mail: "
        } else {
            ""
        };
        println!(
            "{seconds:>5.2} s  {:<9} {:width$}{mail}{}",
            news.key(),
            "",
            news.what(),
            width = role.column()
        );
    }

    /// Ends the process with `--crash`, when it is time. Nothing is sent, committed or closed any more.
    pub(crate) fn crash(&self, role: Role) {
        if self.crash == Some(role)
            && self.effects.fetch_add(1, Ordering::Relaxed) + 1 == CRASH_AFTER
        {
            // Locked to the end: the other services may have a moment left, and should not print behind this.
            let mut terminal = io::stdout().lock();
            let name = role.name();
            let _ = writeln!(
                terminal,
                "\nCrash: {name} has entered this, and told nobody"
            );
            process::exit(EXIT_CODE_KILLED);
        }
    }

    /// Removes the books of a shop that nobody comes back to.
    pub(crate) fn close_down(&self) -> Result<()> {
        if self.is_of_this_run {
            fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }
}

/// What the customer with this number orders.
fn order(number: u32) -> Result<Order> {
    let items = ORDERS[(number as usize - 1) % ORDERS.len()].iter();
    let items = items.map(|(product, pieces, price)| {
        Ok(LineItem::new(product.parse()?, *pieces, price.parse()?)?)
    });
    let items = items.collect::<Result<Vec<LineItem>>>()?;
    let (order, customer) = (format!("order-{number}"), format!("customer-{number}"));
    Ok(Order::place(
        order.parse()?,
        customer.parse()?,
        Timestamp::now(),
        items,
    )?)
}
