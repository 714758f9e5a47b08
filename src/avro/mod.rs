//! Orders in Avro: the schema travels beside the data, and old records fit new readers by rule instead of by code.
//! Behind the cargo feature `avro`.
//!
//! A JSON record carries every field's name; an Avro record carries none, so it is a third of the size and means nothing
//! without the schema that it was written with. Each record therefore begins with that schema's fingerprint
//! ("single-object encoding", <https://avro.apache.org/docs/1.12.0/specification/#single-object-encoding>), and a reader
//! keeps every schema that was ever used. A schema registry keeps them for all readers, and puts its own number in that
//! place.
//!
//! Reading resolves the writer's schema into the reader's. By itself that
//! - fills a field that the writer did not have with the default: version 2 has `status` and `currency`
//! - drops a field that the reader does not have: version 1 had `campaign`
//! - widens numbers: `quantity` was an `int` and is a `long`
//!
//! Whatever else changes needs code, or two fields for a while. So what JSON needed [an upcast](crate::order::versions)
//! for was planned differently here: amounts stayed plain numbers, and the currency became a field of its own.
//!
//! The time is a plain `long` on purpose. As a `timestamp-micros` it would have a fingerprint here (apache-avro 0.22) that
//! differs from Java's (Avro 1.12.0): Java reduces `{"type":"long"}` to `"long"` before it takes the fingerprint, as the
//! specification asks. Compare fingerprints across languages before the first record is written.
//!
//! ```
//! use kafka_event_streaming::avro::AvroOrders;
//! use kafka_event_streaming::order::{LineItem, Order};
//!
//! let order = Order::place(
//!     "order-1001".parse()?,
//!     "customer-7".parse()?,
//!     "2026-03-14T09:26:53Z".parse()?,
//!     vec![LineItem::new("coffee".parse()?, 2, "3.50 EUR".parse()?)?],
//! )?;
//! let orders = AvroOrders::new()?;
//! let payload = orders.encode(&order)?;
//! assert_eq!(Order::try_from(orders.decode(&payload)?)?, order);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use apache_avro::Schema;
use apache_avro::headers::{HeaderBuilder, RabinFingerprintHeader};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::order::{LineItemMessage, MoneyMessage, Order, OrderEvent};

/// Every schema that orders were ever written with, the newest last. Files are added; none is changed, since a changed
/// one has another fingerprint, and old records are found by theirs.
pub const SCHEMAS: [&str; 2] = [include_str!("order.1.avsc"), include_str!("order.2.avsc")];

/// What a record begins with: two bytes that say "single object", and the fingerprint of its schema.
const HEADER_LENGTH: usize = 10;

/// The most memory that one text or list may ask for. A damaged length would otherwise get 512 MB.
const LARGEST_ALLOCATION: usize = 16 * 1024 * 1024;

/// Encodes orders with the newest schema, and decodes those of every schema.
#[derive(Debug)]
pub struct AvroOrders {
    /// From the header of a record to the schema that it was written with; the newest is last.
    schemas: Vec<([u8; HEADER_LENGTH], Schema)>,
}

/// Why there is no record, or no order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AvroError {
    /// The record begins with something else.
    #[error("the record is not in Avro's single-object encoding")]
    NotAvro,

    /// Written with a schema that this program has not got. With a registry one would ask there.
    #[error("no schema has the fingerprint {fingerprint}")]
    UnknownSchema {
        /// In hexadecimal, in the order of the bytes.
        fingerprint: String,
    },

    /// The record does not follow its schema, or the schemas do not resolve.
    #[error("the record does not follow its schema")]
    Malformed(#[from] apache_avro::Error),

    /// Bytes are left over, so the record was written with another schema than it says.
    #[error("{0} bytes are left over behind the order")]
    LeftOver(usize),

    /// The point in time does not exist in any calendar.
    #[error("the order was placed at an impossible time")]
    Time(#[from] jiff::Error),
}

/// The fields of the newest schema.
#[derive(Serialize, Deserialize)]
struct Record {
    order_id: String,
    customer_id: String,
    status: String,
    /// Microseconds since 1970: half the size of the text, and a thousandth of the precision in memory.
    placed_at: i64,
    currency: String,
    items: Vec<Item>,
    total: i64,
}

#[derive(Serialize, Deserialize)]
struct Item {
    product_id: String,
    quantity: i64,
    unit_price: i64,
}

impl AvroOrders {
    /// Reads the schemas. They are part of the program, so a failure here is found by its first test.
    ///
    /// # Errors
    ///
    /// [`AvroError::Malformed`].
    pub fn new() -> Result<Self, AvroError> {
        // Process-wide, and the first call counts.
        apache_avro::util::max_allocation_bytes(LARGEST_ALLOCATION);
        let mut schemas = Vec::new();
        for text in SCHEMAS {
            let schema = Schema::parse_str(text)?;
            let built = RabinFingerprintHeader::from_schema(&schema).build_header();
            let header = built.try_into().map_err(|_| AvroError::NotAvro)?;
            schemas.push((header, schema));
        }
        Ok(Self { schemas })
    }

    /// The payload of a record. Digits of the time beyond microseconds are cut off.
    ///
    /// # Errors
    ///
    /// [`AvroError::Malformed`] when the schema and this code do not belong together.
    pub fn encode(&self, order: &Order) -> Result<Vec<u8>, AvroError> {
        let (header, schema) = self.newest()?;
        let mut payload = header.to_vec();
        GenericDatumWriter::builder(schema)
            .build()?
            .write_ser(&mut payload, &Record::from(order))?;
        Ok(payload)
    }

    /// The message in a payload of any version.
    ///
    /// # Errors
    ///
    /// [`AvroError`], which is data like any other record that cannot be decoded.
    pub fn decode(&self, payload: &[u8]) -> Result<OrderEvent, AvroError> {
        let (_, newest) = self.newest()?;
        let (header, mut datum) = payload
            .split_first_chunk::<HEADER_LENGTH>()
            .filter(|(header, _)| header.starts_with(&[0xC3, 0x01]))
            .ok_or(AvroError::NotAvro)?;
        let (_, written) = self
            .schemas
            .iter()
            .find(|(known, _)| known == header)
            .ok_or_else(|| AvroError::UnknownSchema {
                fingerprint: header[2..]
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
            })?;
        let value = GenericDatumReader::builder(written)
            .reader_schema(newest)
            .build()?
            .read_value(&mut datum)?;
        if !datum.is_empty() {
            return Err(AvroError::LeftOver(datum.len()));
        }
        apache_avro::from_value::<Record>(&value)?.try_into()
    }

    fn newest(&self) -> Result<&([u8; HEADER_LENGTH], Schema), AvroError> {
        self.schemas.last().ok_or(AvroError::NotAvro)
    }
}

impl From<&Order> for Record {
    fn from(order: &Order) -> Self {
        let items = order.items().iter().map(|item| Item {
            product_id: item.product().to_string(),
            quantity: item.quantity().into(),
            unit_price: item.unit_price().minor_units(),
        });
        Self {
            order_id: order.id().to_string(),
            customer_id: order.customer().to_string(),
            status: order.status().to_string(),
            placed_at: order.placed_at().as_microsecond(),
            // All amounts of an order have the currency of its total.
            currency: order.total().currency().code().to_owned(),
            items: items.collect(),
            total: order.total().minor_units(),
        }
    }
}

impl TryFrom<Record> for OrderEvent {
    type Error = AvroError;

    fn try_from(record: Record) -> Result<Self, Self::Error> {
        let amount = |minor_units| MoneyMessage {
            minor_units,
            currency: record.currency.clone(),
        };
        let items = record.items.into_iter().map(|item| LineItemMessage {
            product_id: item.product_id,
            quantity: item.quantity,
            unit_price: amount(item.unit_price),
        });
        Ok(Self {
            items: items.collect(),
            total: amount(record.total),
            order_id: record.order_id,
            customer_id: record.customer_id,
            status: record.status,
            placed_at: Timestamp::from_microsecond(record.placed_at)?,
        })
    }
}
