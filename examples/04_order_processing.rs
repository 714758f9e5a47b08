//! Example 4: order processing.
//!
//! Shows: five services that know each other only by topics. Orders are placed; inventory and payments work on them side by
//! side; what both agree to is shipped, and the customer hears of every step. One order is more than the customer may spend,
//! one is sold out: what the other side did for it is taken back.
//!
//! Key point: what a record changes is one transaction in the service's own database: the mark that it was done, the effect,
//! and what is to be published of it. So a record may come twice, and a crash may come at any time.
//!
//! Limit: one instance of each service, because a database is a file here. Marks are kept for ever; a service would forget
//! those that are older than the topic's retention.
//!
//! The book explains it: book/src/04_order_processing.md
//!
//! Run it:
//!
//! ```sh
//! make example-4                                      # starts a broker if none answers
//! make example-4 ARGS="--shop tea --crash inventory"  # dies in the middle; without --crash, this shop then goes on
//! make example-4 ARGS="--shop tea --role payments"    # one service alone: one terminal for each of the five
//! ```

use anyhow::{Context, Result};
use kafka_event_streaming::config::Cluster;
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::order::{Order, OrderEvent, OrderStatus};
use kafka_event_streaming::processor::{Failure, Handler};
use kafka_event_streaming::shutdown::{self, CancellationToken};
use kafka_event_streaming::{logging, reachability};

use audit::Audit;
use books::Page;
use messages::{Message, Notice, Outcome, Reply};
use service::{Run, Service, run_all};
use shop::{Role, Shop};

#[path = "04_order_processing/audit.rs"]
mod audit;
#[path = "04_order_processing/books.rs"]
mod books;
#[path = "04_order_processing/messages.rs"]
mod messages;
#[path = "04_order_processing/service.rs"]
mod service;
#[path = "04_order_processing/shop.rs"]
mod shop;

#[tokio::main]
async fn main() -> Result<()> {
    logging::init();
    let arguments = shop::arguments();
    let shop = Shop::new(&arguments, Cluster::from_environment()?);
    if arguments.audit {
        return shop.audit()?.print("");
    }
    let stop = shutdown::on_signal()?;
    reachability::check(shop.cluster(), reachability::PATIENCE).await?;
    shop.open(arguments.role).await?;
    if let Some(role) = arguments.role {
        serve(shop, role, stop).await?;
        println!("\n{} stopped in order", role.name());
        return Ok(());
    }
    run_all(&shop, &stop, Audit::is_settled).await?;
    if stop.is_cancelled() {
        println!("\nIt goes on with --shop {}", shop.name());
        return shop.audit()?.print(" (stopped early)");
    }
    // A group that has committed nothing begins at the first record: all of it is delivered again.
    let before = shop.audit()?;
    let is_over = |now: &Audit| now.has_seen_again(&before);
    run_all(&shop.in_new_groups(), &stop, is_over).await?;
    shop.audit()?.print_since(&before)?;
    shop.close_down()
}

// ANCHOR: services
/// Who reads which topics, and publishes to which.
async fn serve(shop: Shop, role: Role, stop: CancellationToken) -> Result<()> {
    let run = Run { shop, role, stop };
    let replies = &["stock", "payments", "shipments"];
    let service = match role {
        Role::Orders => run.service::<Reply, _>(replies, "orders", orders),
        Role::Inventory => run.service::<OrderEvent, _>(&["orders"], "stock", inventory),
        Role::Payments => run.service::<OrderEvent, _>(&["orders"], "payments", payments),
        Role::Shipping => run.service::<OrderEvent, _>(&["orders"], "shipments", shipping),
        Role::Notifications => run.service::<OrderEvent, _>(&["orders"], "notices", notices),
    };
    let name = role.name();
    service.await.with_context(|| format!("{name} stopped"))
}
// ANCHOR_END: services

// ANCHOR: handle
impl<In: Message, Out: Message> Handler<In> for Service<In, Out> {
    /// Called with each record, and with some of them more than once.
    async fn handle(&self, message: &In, _: &ConsumedRecord<'_>) -> Result<(), Failure> {
        // What makes no sense is poison: it is put aside, and those behind it go on.
        let meaning = message.translate().map_err(Failure::poison)?;
        // One transaction: the mark, the effect, and what is to be published of it. All of this, or nothing.
        let news = self.books.transaction(|page| {
            if !page.mark(&message.id())? {
                return Ok(None); // Delivered again: it was done.
            }
            let news = (self.work)(page, &meaning)?;
            news.iter().try_for_each(|news| page.post(news))?;
            Ok(news)
        })?;
        if let Some(news) = &news {
            self.shop.show(self.role, news);
            self.shop.crash(self.role); // The worst moment. Only with --crash.
        }
        self.publish().await
    }
}

impl<In: Message, Out: Message> Service<In, Out> {
    /// Sends what stands in the outbox, oldest first, and strikes it out when the broker has it. Also called at the start: a
    /// crash may have left something there.
    pub(crate) async fn publish(&self) -> Result<(), Failure> {
        while let Some((row, news)) = self.books.oldest_unsent()? {
            // One at a time: if this one does not arrive, nothing may overtake it.
            self.producer.send(&news).await?;
            self.books.strike_out(row)?;
        }
        Ok(())
    }
}
// ANCHOR_END: handle

/// What the others say takes an order on, and everybody hears of it.
fn orders(page: &Page<'_>, reply: &Reply) -> Result<Option<OrderEvent>, Failure> {
    let order = page.order(&reply.order_id)?;
    let order = order.ok_or_else(|| Failure::poison("there is no such order"))?;
    let heard = |outcome| page.is_marked(&reply.with(outcome).id());
    let next = match reply.outcome {
        // Whoever has done something for it hears of that too, and takes it back.
        _ if order.status() == OrderStatus::Cancelled => return Ok(None),
        Outcome::SoldOut | Outcome::Declined => OrderStatus::Cancelled,
        // Between two topics there is no order: either may be the first.
        _ if !(heard(Outcome::Reserved)? && heard(Outcome::Charged)?) => return Ok(None),
        Outcome::Shipped => OrderStatus::Shipped,
        _ => OrderStatus::Paid,
    };
    let order = order.advance(next).map_err(Failure::poison)?;
    page.save(&order)?;
    Ok(Some(OrderEvent::from(&order)))
}

// ANCHOR: inventory
/// All of an order is put by, or nothing of it.
fn inventory(page: &Page<'_>, order: &Order) -> Result<Option<Reply>, Failure> {
    let outcome = match order.status() {
        OrderStatus::Placed if page.is_in_stock(order.items())? => {
            for item in order.items() {
                page.enter(order, item.product().as_str(), -i64::from(item.quantity()))?;
            }
            Outcome::Reserved
        }
        OrderStatus::Placed => Outcome::SoldOut,
        // The compensation: the opposite entries, if there is something to take back.
        OrderStatus::Cancelled if page.reverse(order)? => Outcome::Released,
        _ => return Ok(None),
    };
    Ok(Some(Reply::to(order, outcome)))
}
// ANCHOR_END: inventory

fn payments(page: &Page<'_>, order: &Order) -> Result<Option<Reply>, Failure> {
    let (total, currency) = (order.total().minor_units(), order.total().currency());
    let outcome = match order.status() {
        OrderStatus::Placed if total <= shop::CREDIT_LIMIT => {
            page.enter(order, currency.code(), total)?;
            Outcome::Charged
        }
        OrderStatus::Placed => Outcome::Declined,
        OrderStatus::Cancelled if page.reverse(order)? => Outcome::Refunded,
        _ => return Ok(None),
    };
    Ok(Some(Reply::to(order, outcome)))
}

fn shipping(page: &Page<'_>, order: &Order) -> Result<Option<Reply>, Failure> {
    if order.status() != OrderStatus::Paid {
        return Ok(None);
    }
    page.enter(order, "parcel", 1)?;
    Ok(Some(Reply::to(order, Outcome::Shipped)))
}

/// A mail at every step, and in the order of the steps: one key, so one partition.
fn notices(page: &Page<'_>, order: &Order) -> Result<Option<Notice>, Failure> {
    page.enter(order, order.status().name(), 1)?;
    Ok(Some(Notice::about(order)))
}
