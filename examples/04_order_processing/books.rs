//! A service's own database, in SQLite: what it has entered, which messages it has done, and what it has to publish.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kafka_event_streaming::error_kind::{Classify, ErrorKind};
use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
use kafka_event_streaming::processor::Failure;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};
use tokio::sync::Notify;

use crate::messages::Message;

/// One form of books for all services. Entries are added and never changed: whatever was entered twice would show.
const TABLES: &str = "
    -- Which messages were done, and how often each was delivered.
    CREATE TABLE IF NOT EXISTS inbox (
        message TEXT PRIMARY KEY, deliveries INTEGER NOT NULL
    ) STRICT;
    -- So many of something, for an order: pieces of a product, cents, a parcel, a mail.
    CREATE TABLE IF NOT EXISTS entries (
        id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, item TEXT NOT NULL, amount INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS entries_of_order ON entries (order_id);
    CREATE INDEX IF NOT EXISTS entries_of_item ON entries (item);
    -- What was published, and is to be: 0 and 1 in sent.
    CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, what TEXT NOT NULL, event TEXT NOT NULL,
        at INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX IF NOT EXISTS unsent ON outbox (id) WHERE sent = 0;
    -- The orders themselves. Only their own service has them.
    CREATE TABLE IF NOT EXISTS orders (
        order_id TEXT PRIMARY KEY, event TEXT NOT NULL
    ) STRICT;
";

/// Why the books could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BooksError {
    #[error("the database does not do as it is told")]
    Database(#[from] rusqlite::Error),
    #[error("what stands in the database is not an event")]
    Json(#[from] serde_json::Error),
}

impl Classify for BooksError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Database(error) => match error.sqlite_error_code() {
                // Somebody else writes, or reads what is to be tidied up.
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Transient,
                // A full disk, a damaged file: no record will fare better.
                _ => ErrorKind::Fatal,
            },
            Self::Json(_) => ErrorKind::Fatal,
        }
    }
}

/// The books of one service.
pub(crate) struct Books {
    /// Held for one transaction, and never across an `.await`.
    connection: Mutex<Connection>,
    /// Whom to tell of every change.
    changed: Arc<Notify>,
}

impl Books {
    /// Opens the books in this file, or begins them.
    pub(crate) fn open(file: &Path, changed: Arc<Notify>) -> Result<Self, BooksError> {
        let connection = Connection::open(file)?;
        // Readers do not hold up the writer.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // On the disk when a transaction returns. With less, a power cut could take back what Kafka's offset says is done.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(TABLES)?;
        Ok(Self {
            connection: Mutex::new(connection),
            changed,
        })
    }

    /// Puts so much of each product into a stock that has no entry of it yet.
    pub(crate) fn stock_up(&self, stock: &[(&str, i64)]) -> Result<(), BooksError> {
        self.use_connection(|connection| {
            for (product, pieces) in stock {
                connection.execute(
                    "INSERT INTO entries (order_id, item, amount) SELECT '', ?1, ?2
                     WHERE NOT EXISTS (SELECT 1 FROM entries WHERE item = ?1)",
                    params![product, pieces],
                )?;
            }
            Ok(())
        })
    }

    pub(crate) fn has_orders(&self) -> Result<bool, BooksError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM orders)";
        self.use_connection(|connection| Ok(connection.query_row(sql, [], |row| row.get(0))?))
    }

    /// Does `work` in one transaction: all of it is in the books afterwards, or nothing, if it fails.
    pub(crate) fn transaction<T>(
        &self,
        work: impl FnOnce(&Page<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.use_connection(|connection| {
            let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
            let page = Page(begun.map_err(BooksError::from)?);
            let done = work(&page)?;
            page.0.commit().map_err(BooksError::from)?;
            self.changed.notify_one();
            Ok(done)
        })
    }

    /// The first message in the outbox that was not sent yet, with its row.
    pub(crate) fn oldest_unsent<T: Message>(&self) -> Result<Option<(i64, T)>, BooksError> {
        let row = self.use_connection(|connection| {
            let sql = "SELECT id, event FROM outbox WHERE sent = 0 ORDER BY id LIMIT 1";
            let row =
                connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
            row.optional()
        });
        let Some((id, event)) = row? else {
            return Ok(None);
        };
        Ok(Some((id, serde_json::from_str(&event)?)))
    }

    /// Notes that a row of the outbox was sent. It stays, for the time line.
    pub(crate) fn strike_out(&self, row: i64) -> Result<(), BooksError> {
        let sql = "UPDATE outbox SET sent = 1 WHERE id = ?";
        self.use_connection(|connection| connection.execute(sql, [row]))?;
        self.changed.notify_one();
        Ok(())
    }

    pub(crate) fn use_connection<T>(&self, work: impl FnOnce(&mut Connection) -> T) -> T {
        // A database waits for a disk. The other tasks of this thread need not.
        tokio::task::block_in_place(|| {
            // A panic rolls its transaction back, so the connection is sound at any time.
            let mut connection = self
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        })
    }
}

/// The books in the middle of a transaction.
pub(crate) struct Page<'a>(Transaction<'a>);

impl Page<'_> {
    /// Marks a message as done. False if it was before: then it was only delivered again.
    pub(crate) fn mark(&self, message: &str) -> Result<bool, BooksError> {
        let deliveries: i64 = self.0.query_row(
            "INSERT INTO inbox VALUES (?, 1)
             ON CONFLICT (message) DO UPDATE SET deliveries = deliveries + 1 RETURNING deliveries",
            [message],
            |row| row.get(0),
        )?;
        Ok(deliveries == 1)
    }

    pub(crate) fn is_marked(&self, message: &str) -> Result<bool, BooksError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM inbox WHERE message = ?)";
        Ok(self.0.query_row(sql, [message], |row| row.get(0))?)
    }

    /// Enters so many of something for an order.
    pub(crate) fn enter(&self, order: &Order, item: &str, amount: i64) -> Result<(), BooksError> {
        self.0.execute(
            "INSERT INTO entries (order_id, item, amount) VALUES (?, ?, ?)",
            params![order.id().as_str(), item, amount],
        )?;
        Ok(())
    }

    /// Enters the opposite of all that stands there for an order. False if that is nothing.
    pub(crate) fn reverse(&self, order: &Order) -> Result<bool, BooksError> {
        let reversed = self.0.execute(
            "INSERT INTO entries (order_id, item, amount)
             SELECT order_id, item, -SUM(amount) FROM entries WHERE order_id = ?
             GROUP BY order_id, item HAVING SUM(amount) <> 0",
            [order.id().as_str()],
        )?;
        Ok(reversed > 0)
    }

    /// Whether there is enough of everything.
    pub(crate) fn is_in_stock(&self, items: &[LineItem]) -> Result<bool, BooksError> {
        for item in items {
            let product = item.product();
            // An order may have several lines of one product.
            let of_product = items.iter().filter(|other| other.product() == product);
            let wanted: i64 = of_product.map(|item| i64::from(item.quantity())).sum();
            let sql = "SELECT COALESCE(SUM(amount), 0) FROM entries WHERE item = ?";
            let there: i64 = self
                .0
                .query_row(sql, [product.as_str()], |row| row.get(0))?;
            if there < wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts a message into the outbox.
    pub(crate) fn post<T: Message>(&self, message: &T) -> Result<(), BooksError> {
        self.0.execute(
            "INSERT INTO outbox (order_id, what, event, at) VALUES (?, ?, ?, ?)",
            params![
                message.key(),
                message.what(),
                serde_json::to_string(message)?,
                Timestamp::now().as_millisecond()
            ],
        )?;
        Ok(())
    }

    /// The order of this id, as it stands.
    pub(crate) fn order(&self, order_id: &str) -> Result<Option<Order>, Failure> {
        let sql = "SELECT event FROM orders WHERE order_id = ?";
        let found = self
            .0
            .query_row(sql, [order_id], |row| row.get::<_, String>(0));
        let Some(event) = found.optional().map_err(BooksError::from)? else {
            return Ok(None);
        };
        let event: OrderEvent = serde_json::from_str(&event).map_err(BooksError::from)?;
        Order::try_from(event).map(Some).map_err(Failure::fatal)
    }

    /// Keeps an order as it is now.
    pub(crate) fn save(&self, order: &Order) -> Result<(), BooksError> {
        let event = serde_json::to_string(&OrderEvent::from(order))?;
        self.0.execute(
            "INSERT INTO orders VALUES (?, ?)
             ON CONFLICT (order_id) DO UPDATE SET event = excluded.event",
            params![order.id().as_str(), event],
        )?;
        Ok(())
    }
}
