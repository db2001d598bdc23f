//! Orders: a day's trade, and the CSV file in which it arrives.

use super::{BrokenTally, OrderTally, Shop, StatusTally, catalogue, customers, date_of};
use chrono::{Datelike, NaiveDate, Weekday};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// An order reaches us at most so many days after it was placed, and comes again at most so many
/// days after that.
pub(super) const DELAY_DAYS_MAX: u32 = LATE_DAYS_MAX + RESEND_DAYS_MAX;
const LATE_DAYS_MAX: u32 = 5;
const RESEND_DAYS_MAX: u32 = 12;

const HEADER: &str = "N° commande;Ligne;Date commande;Client;Référence;Quantité;Prix unitaire;\
                      Remise %;Statut;Pays;Commentaire";

/// Latin-1 characters only; the last ones need quotes.
const COMMENTS: &[&str] = &[
    "Emballage cadeau",
    "Livrer au gardien",
    "Sonner deux fois",
    "Pour l'anniversaire de Chloé",
    "Déjà commandé en août",
    "Bâtiment B; code 4521",
    "Mot à joindre : \"Bonne fête, maman\"",
    "Livrer le matin\nou après 18 h",
];

/// Day of the black Friday, when twice as much is sold.
const BLACK_FRIDAY: (u32, u32) = (11, 28);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Paid,
    Shipped,
    Returned,
    Cancelled,
}

#[derive(Debug, Clone)]
struct Line {
    product: u64,
    quantity: u64,
    price_cents: u64,
    discount_percent: u64,
}

#[derive(Debug, Clone)]
struct Order {
    number: u64,
    date: NaiveDate,
    minute: u32,
    customer: Option<u64>,
    country: &'static str,
    lines: Vec<Line>,
    comment: &'static str,
}

/// An order in the file of a day.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    order: Order,
    status: Status,
    /// The status it came with before, if it came before.
    before: Option<Status>,
    is_late: bool,
    is_repeated: bool,
}

/// Takes orders and decides in which file they arrive.
pub(super) struct OrderDesk {
    shop: Shop,
    due: BTreeMap<u32, Vec<Delivery>>,
}

impl OrderDesk {
    pub(super) fn new(shop: Shop) -> Self {
        Self { shop, due: BTreeMap::new() }
    }

    /// What the file of `day` holds. Days must be asked for in order.
    pub(super) fn deliveries(&mut self, day: u32) -> Vec<Delivery> {
        let mut random = self.shop.random("day", u64::from(day));
        let count = orders_on(&self.shop, day, random.unit());
        let mut orders: Vec<Order> =
            (0..count).map(|number| self.place(day, number, &mut random)).collect();
        orders.sort_by_key(|order| (order.minute, order.number));
        for order in orders {
            self.plan(day, order, &mut random);
        }
        self.due.remove(&day).unwrap_or_default()
    }

    fn place(&self, day: u32, number: u64, random: &mut stdx::hash::Random) -> Order {
        // Low numbers come often, the very lowest have never bought anything.
        let unit = 0.15 + 0.85 * random.unit();
        let customer = (unit * unit * self.shop.customers as f64) as u64;
        let guest = random.below(100) < 3;
        let country = customers::country_of(&self.shop, customer);
        let mut lines: Vec<Line> = Vec::new();
        let wanted = 1 + random.below(10) / 6 + random.below(10) / 9;
        for _ in 0..wanted {
            let product = catalogue::popular(random);
            lines.push(Line {
                product,
                quantity: 1 + random.below(10) / 8 + random.below(20) / 19 * 4,
                price_cents: catalogue::price_cents(&self.shop, product),
                discount_percent: [0, 0, 0, 0, 0, 0, 10, 10, 20, 30][random.below(10) as usize],
            });
        }
        Order {
            number: 1_000_000 + u64::from(day) * 1_000_000 + number,
            date: date_of(day),
            // From 8 to 23 o'clock, most in the evening.
            minute: 480 + (random.unit().sqrt() * 900.0) as u32,
            customer: (!guest).then_some(customer),
            country: customers::spelling_of(country, random),
            lines,
            comment: match random.below(100) {
                0..8 => COMMENTS[random.below(COMMENTS.len() as u64) as usize],
                _ => "",
            },
        }
    }

    fn plan(&mut self, day: u32, order: Order, random: &mut stdx::hash::Random) {
        let (status, later) = match random.below(100) {
            0..3 => (Status::Cancelled, None),
            3..7 => (Status::Paid, Some((Status::Shipped, 1 + random.below(3)))),
            7..12 => {
                let days = 3 + random.below(u64::from(RESEND_DAYS_MAX) - 2);
                (Status::Shipped, Some((Status::Returned, days)))
            }
            _ => (Status::Shipped, None),
        };
        let is_late = random.below(1000) < 6;
        let late_days = if is_late { 1 + random.below(u64::from(LATE_DAYS_MAX)) as u32 } else { 0 };
        let is_repeated = random.below(100) < 1;
        let arrives = day + late_days;
        if let Some((after, days)) = later {
            self.due.entry(arrives + days as u32).or_default().push(Delivery {
                order: order.clone(),
                status: after,
                before: Some(status),
                is_late: false,
                is_repeated: false,
            });
        }
        let delivery = Delivery { order, status, before: None, is_late, is_repeated };
        self.due.entry(arrives).or_default().push(delivery);
    }
}

/// Orders of a day: more on Saturdays, more towards the end of the year; `chance` rounds.
fn orders_on(shop: &Shop, day: u32, chance: f64) -> u64 {
    let date = date_of(day);
    let week = match date.weekday() {
        Weekday::Mon | Weekday::Tue => 0.8,
        Weekday::Wed => 0.95,
        Weekday::Thu => 0.9,
        Weekday::Fri => 1.1,
        Weekday::Sat => 1.45,
        Weekday::Sun => 1.0,
    };
    let trend = 0.78 + 0.4 * f64::from(day.min(200)) / f64::from(super::DAYS);
    let rush = if (date.month(), date.day()) == BLACK_FRIDAY { 2.2 } else { 1.0 };
    (shop.orders_per_day * week * trend * rush + chance) as u64
}

/// Writes the file of a day, Latin-1 with semicolons, and counts what is in it.
pub(super) fn write_day(
    shop: &Shop,
    day: u32,
    deliveries: &[Delivery],
    file: &mut impl Write,
    tally: &mut OrderTally,
) -> io::Result<()> {
    let mut random = shop.random("faults", u64::from(day));
    let mut faults = 0;
    write_latin1(file, &format!("{HEADER}\r\n"))?;
    for delivery in deliveries {
        for _ in 0..=usize::from(delivery.is_repeated) {
            for at in 0..delivery.order.lines.len() {
                write_latin1(file, &row(delivery, at))?;
            }
        }
        count(delivery, tally);
        if random.below(1000) < 6 {
            let text = broken_row(shop, day, faults, &mut random, &mut tally.broken);
            write_latin1(file, &text)?;
            tally.rows += 1;
            faults += 1;
        }
    }
    Ok(())
}

fn write_latin1(file: &mut impl Write, text: &str) -> io::Result<()> {
    let latin1 = |char| u8::try_from(u32::from(char)).unwrap_or(b'?');
    file.write_all(&text.chars().map(latin1).collect::<Vec<u8>>())
}

fn row(delivery: &Delivery, at: usize) -> String {
    let Delivery { order, status, .. } = delivery;
    let line = &order.lines[at];
    let customer = order.customer.map(customers::code_of).unwrap_or_default();
    format!(
        "{};{};{} {:02}:{:02};{customer};{};{};{};{};{};{};{}\r\n",
        order.number,
        at + 1,
        order.date.format("%d/%m/%Y"),
        order.minute / 60,
        order.minute % 60,
        catalogue::reference_of(line.product),
        line.quantity,
        french_amount(line.price_cents),
        line.discount_percent,
        status.french(),
        order.country,
        quoted(order.comment),
    )
}

/// `1 234,50`, with the space that does not break.
fn french_amount(cents: u64) -> String {
    let (euros, cents) = (cents / 100, cents % 100);
    if euros < 1000 {
        return format!("{euros},{cents:02}");
    }
    format!("{}\u{a0}{:03},{cents:02}", euros / 1000, euros % 1000)
}

fn quoted(text: &str) -> String {
    if text.contains([';', '"', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// A row of an order of its own that no cleaning can save.
fn broken_row(
    shop: &Shop,
    day: u32,
    number: u64,
    random: &mut stdx::hash::Random,
    tally: &mut BrokenTally,
) -> String {
    let order = 900_000_000 + u64::from(day) * 100_000 + number;
    let date = date_of(day).format("%d/%m/%Y");
    let product = catalogue::popular(random);
    let reference = catalogue::reference_of(product);
    let price = french_amount(catalogue::price_cents(shop, product));
    let customer = customers::code_of(random.below(shop.customers));
    let (counter, text) = match random.below(6) {
        0 => (&mut tally.cut_off, format!("{order};1;{date} 10:12;{customer};{reference}")),
        1 => (
            &mut tally.too_long,
            format!(
                "{order};1;{date} 10:12;{customer};{reference};1;{price};0;Payée;France;\
                 Livrer au gardien; merci"
            ),
        ),
        2 => (
            &mut tally.impossible_date,
            format!("{order};1;31/02/2025 10:12;{customer};{reference};1;{price};0;Payée;France;"),
        ),
        3 => (
            &mut tally.worded_quantity,
            format!("{order};1;{date} 10:12;{customer};{reference};deux;{price};0;Payée;France;"),
        ),
        4 => (
            &mut tally.negative_quantity,
            format!("{order};1;{date} 10:12;{customer};{reference};-1;{price};0;Payée;France;"),
        ),
        _ => (
            &mut tally.unknown_product,
            format!("{order};1;{date} 10:12;{customer};P-9999;1;{price};0;Payée;France;"),
        ),
    };
    *counter += 1;
    text + "\r\n"
}

fn count(delivery: &Delivery, tally: &mut OrderTally) {
    let lines = delivery.order.lines.len() as u64;
    tally.rows += lines * (1 + u64::from(delivery.is_repeated));
    tally.repeated_rows += lines * u64::from(delivery.is_repeated);
    tally.late_rows += lines * u64::from(delivery.is_late);
    let worth: u64 = delivery.order.lines.iter().map(Line::cents).sum();
    match delivery.before {
        None => {
            tally.orders += 1;
            tally.lines += lines;
        }
        Some(before) => {
            tally.resent_rows += lines;
            *before.counter(&mut tally.lines_by_status) -= lines;
            tally.revenue_cents -= if before.is_sold() { worth } else { 0 };
        }
    }
    *delivery.status.counter(&mut tally.lines_by_status) += lines;
    tally.revenue_cents += if delivery.status.is_sold() { worth } else { 0 };
}

impl Line {
    /// Prices are tens of cents and discounts tens of percent, so nothing is ever rounded.
    fn cents(&self) -> u64 {
        self.quantity * self.price_cents * (100 - self.discount_percent) / 100
    }
}

impl Status {
    fn french(self) -> &'static str {
        match self {
            Self::Paid => "Payée",
            Self::Shipped => "Expédiée",
            Self::Returned => "Retournée",
            Self::Cancelled => "Annulée",
        }
    }

    fn is_sold(self) -> bool {
        matches!(self, Self::Paid | Self::Shipped)
    }

    fn counter(self, tally: &mut StatusTally) -> &mut u64 {
        match self {
            Self::Paid => &mut tally.paid,
            Self::Shipped => &mut tally.shipped,
            Self::Returned => &mut tally.returned,
            Self::Cancelled => &mut tally.cancelled,
        }
    }
}
