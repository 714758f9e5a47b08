//! The check of exercise 7a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use embedded_broker::{ApiKey, Broker, ErrorCode, Fault, Faults};
use rdkafka::producer::BaseRecord;

use super::{GROUP, INVOICES, Invoicing, ORDERS};
use support::{
    Verdict, all_at_once, committed_records, create_topics, returns, start_broker, write_records,
};

/// The `transactional.id`.
const INSTANCE: &str = "invoicing-1";
const PARTITIONS: i32 = 2;
/// In each partition.
const ORDER_COUNT: i64 = 6;
/// A step without orders waits for 100 ms. Whoever takes that many gets nowhere.
const MOST_IN_VAIN: usize = 10;

/// The requests that a transaction consists of, in their order.
const STEPS: [ApiKey; 5] = [
    ApiKey::AddPartitionsToTxn,
    ApiKey::Produce,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
];

const OFFSETS_BELONG: &str = "Offsets that the consumer commits itself are not in the transaction, and a crash between the two makes invoices twice or \
     loses them. Chapter 7, 'The offsets belong to the transaction'.";

/// A broker with orders in each of two partitions.
fn shop() -> Broker {
    let broker = start_broker();
    create_topics(&broker, PARTITIONS, &[ORDERS, INVOICES]);
    let orders: Vec<(i32, String)> = (0..ORDER_COUNT)
        .flat_map(|number| {
            let partitions = 0..PARTITIONS;
            partitions.map(move |partition| (partition, format!("order {partition}-{number}")))
        })
        .collect();
    let customers = ["customer-0", "customer-1"];
    let records = orders.iter().map(|(partition, order)| {
        BaseRecord::to(ORDERS)
            .partition(*partition)
            .key(customers[*partition as usize])
            .payload(order.as_str())
    });
    write_records(&broker, records);
    broker
}

/// What goes wrong, once, and how it is set.
type Case = (String, Box<dyn FnOnce(&Faults) -> Fault + Send>);

/// Makes the invoices with nothing in the way, and under each of these faults.
fn make_invoices_under(cases: Vec<Case>) {
    let verdict = returns("a call hangs, and no more invoices are made", || {
        // The first verdict is told first: what is wrong without a fault is wrong with one, too.
        let mut tries: Vec<Box<dyn FnOnce() -> Verdict + Send>> = vec![Box::new(|| {
            make_invoices("nothing went wrong", None::<fn(&Faults) -> Fault>)
        })];
        for (what, set) in cases {
            tries.push(Box::new(move || make_invoices(&what, Some(set))));
        }
        all_at_once(tries)
    });
    if let Err(missing) = verdict {
        panic!("{missing}");
    }
}

/// Makes the invoices of all orders. After the first transaction the fault is set.
fn make_invoices(what: &str, set: Option<impl FnOnce(&Faults) -> Fault>) -> Verdict {
    let broker = shop();
    let invoicing = Invoicing::start(&broker.bootstrap_servers(), INSTANCE)
        .expect("`start` is part of the stub");
    let mut invoiced = step(&invoicing, what)?;
    while invoiced == 0 {
        invoiced = step(&invoicing, what)?;
    }
    let fault = set.map(|set| set(&broker.faults()));
    let all = (ORDER_COUNT * i64::from(PARTITIONS)) as usize;
    let mut in_vain = 0;
    while invoiced < all && in_vain < MOST_IN_VAIN {
        match step(&invoicing, what)? {
            0 => in_vain += 1,
            count => invoiced += count,
        }
    }
    if invoiced < all {
        return Err(stuck(&broker, what, invoiced, all));
    }
    if fault.is_some_and(|fault| fault.hits() == 0) {
        return Err(left_out(&broker, what));
    }
    judge(&broker, what)
}

fn step(invoicing: &Invoicing, what: &str) -> Result<usize, String> {
    invoicing.step().map_err(|error| {
        format!(
            "{what}: `step` returned the error {error:#}. A transaction that failed has to be aborted, and then its orders \
             can be read again: nothing here is the end. Chapter 7, 'When a transaction fails'."
        )
    })
}

fn stuck(broker: &Broker, what: &str, invoiced: usize, all: usize) -> String {
    let snapshot = broker.snapshot();
    let transaction = snapshot.transaction(INSTANCE);
    let missing = match transaction.map(|transaction| transaction.state.as_str()) {
        Some("Ongoing") => {
            "The transaction that failed is still open: `start_over` has to abort it"
        }
        _ => {
            "After a transaction that was aborted, `start_over` has to seek back to the first of its orders"
        }
    };
    format!(
        "{what}: {invoiced} of {all} orders have an invoice, and there it ends. {missing}. Chapter 7, 'When a transaction \
         fails'."
    )
}

fn left_out(broker: &Broker, what: &str) -> String {
    let requests = requests(broker);
    format!(
        "{what}: that was to happen, and no such request came ({requests}). Begin a transaction, write, send the offsets to \
         it, commit it: nothing can be left out. {OFFSETS_BELONG}"
    )
}

/// How often which step of a transaction was asked for.
fn requests(broker: &Broker) -> String {
    let steps = STEPS.into_iter().chain([ApiKey::OffsetCommit]);
    let counts: Vec<String> = steps
        .map(|api| format!("{api:?}: {}", broker.requests().count(api)))
        .collect();
    counts.join(", ")
}

/// Each order has one invoice that can be read, in its order, and its offset is committed.
fn judge(broker: &Broker, what: &str) -> Verdict {
    let snapshot = broker.snapshot();
    for partition in 0..PARTITIONS {
        let customer = format!("customer-{partition}");
        let invoices = invoices_of(broker, &customer);
        let expected: Vec<String> = (0..ORDER_COUNT)
            .map(|number| format!("invoice of order {partition}-{number}"))
            .collect();
        for invoice in &expected {
            let copies = invoices.iter().filter(|found| *found == invoice).count();
            let why = match copies {
                1 => continue,
                0 => {
                    "it is lost. After a transaction that failed, its orders have to be read again: `transact` has to return \
                     the error, and `start_over` to seek back to the first order of each partition. Chapter 7, 'When a \
                     transaction fails'."
                }
                _ => OFFSETS_BELONG,
            };
            return Err(format!(
                "{what}: who reads committed records sees {invoice:?} {copies} times under the key {customer}: {why}"
            ));
        }
        if invoices != expected {
            return Err(format!(
                "{what}: the invoices of {customer} are not in the order of their orders: {invoices:?}"
            ));
        }
        let committed = snapshot.committed(GROUP, ORDERS, partition);
        if committed != Some(ORDER_COUNT) {
            let committed =
                committed.map_or("nothing".to_owned(), |offset| format!("offset {offset}"));
            return Err(format!(
                "{what}: all {ORDER_COUNT} orders of partition {partition} have their invoices, and {committed} is committed: \
                 send the offset behind the last order of each partition to the transaction. Chapter 7, 'The offsets belong \
                 to the transaction'."
            ));
        }
    }
    let commits = broker.requests().count(ApiKey::OffsetCommit);
    match commits {
        0 => Ok(()),
        _ => Err(format!(
            "{what}: the consumer has committed offsets {commits} times. {OFFSETS_BELONG}"
        )),
    }
}

/// What a consumer with `isolation.level=read_committed` sees, in the order of the log.
fn invoices_of(broker: &Broker, customer: &str) -> Vec<String> {
    (0..PARTITIONS)
        .flat_map(|partition| committed_records(broker, INVOICES, partition))
        .filter(|invoice| invoice.key_str() == Some(customer))
        .map(|invoice| invoice.value_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_connection_that_is_lost_in_any_step_makes_nothing_twice() {
    let mut cases: Vec<Case> = Vec::new();
    for api in STEPS {
        cases.push((
            format!("the connection was lost before {api:?} was done"),
            Box::new(move |faults| faults.on(api).once().drop_connection()),
        ));
        cases.push((
            format!("the connection was lost after {api:?} was done"),
            Box::new(move |faults| faults.on(api).once().apply_then_drop()),
        ));
    }
    make_invoices_under(cases);
}

#[test]
fn a_transaction_that_fails_is_aborted_and_its_orders_are_read_again() {
    let refuse = |api, error| Box::new(move |faults: &Faults| faults.on(api).once().error(error));
    make_invoices_under(vec![
        (
            "an invoice was refused".to_owned(),
            refuse(ApiKey::Produce, ErrorCode::MessageTooLarge),
        ),
        (
            "the offsets were refused".to_owned(),
            refuse(ApiKey::TxnOffsetCommit, ErrorCode::IllegalGeneration),
        ),
    ]);
}
