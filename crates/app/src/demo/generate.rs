//! The sample data: what a small shop's systems drop on a disk every day, faults included.
//!
//! Everything follows from a seed: the same seed and scale give the same bytes on every machine.
//! Orders are made and written day by day, so memory does not grow with the scale.

mod catalogue;
mod customers;
mod orders;

use chrono::{Days, NaiveDate};
use model::{Problem, Result, codes};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

/// What the generator starts from when nobody says otherwise.
pub const SEED: u64 = 42;
/// Days of orders that [`generate`] makes.
pub const DAYS: u32 = 91;

/// Orders at scale 1, about.
const ORDERS_AT_SCALE_1: f64 = 50_000.0;
/// Customers at scale 1.
const CUSTOMERS_AT_SCALE_1: f64 = 8_000.0;
/// Says what was generated; its absence says that generation did not end.
const SUMMARY: &str = "generated.json";

/// What was generated, counted while it was written: tests compare tables with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// 1 means about 50 000 orders.
    pub scale: f64,
    /// What everything follows from.
    pub seed: u64,
    /// Days of orders, one file each.
    pub days: u32,
    /// Products in the catalogue.
    pub products: u64,
    /// Customers.
    pub customers: u64,
    /// Products times warehouses.
    pub stock_items: u64,
    /// What the order files hold.
    pub orders: OrderTally,
}

/// What the order files hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTally {
    /// Data rows in all files, broken ones included.
    pub rows: u64,
    /// Different orders.
    pub orders: u64,
    /// Different order lines: what a table with one row per order line holds in the end.
    pub lines: u64,
    /// Rows that stand twice in the same file.
    pub repeated_rows: u64,
    /// Rows of orders that came days after they were placed.
    pub late_rows: u64,
    /// Rows of orders that came again with another status.
    pub resent_rows: u64,
    /// Rows that no cleaning can save, of every kind in [`Broken`].
    pub broken: BrokenTally,
    /// Lines by the status they were last received with.
    pub lines_by_status: StatusTally,
    /// What paid and shipped lines are worth, in cents.
    pub revenue_cents: u64,
}

/// Broken rows by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenTally {
    /// Rows with too few fields.
    pub cut_off: u64,
    /// Rows with too many fields.
    pub too_long: u64,
    /// Days such as 31 February.
    pub impossible_date: u64,
    /// A quantity in words.
    pub worded_quantity: u64,
    /// A quantity below zero.
    pub negative_quantity: u64,
    /// A product that is in no catalogue.
    pub unknown_product: u64,
}

/// Order lines by status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusTally {
    /// Paid, not shipped yet.
    pub paid: u64,
    /// Shipped.
    pub shipped: u64,
    /// Sent back.
    pub returned: u64,
    /// Cancelled.
    pub cancelled: u64,
}

impl BrokenTally {
    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.cut_off
            + self.too_long
            + self.impossible_date
            + self.worded_quantity
            + self.negative_quantity
            + self.unknown_product
    }
}

/// Everything that the parts of the shop agree on.
#[derive(Debug, Clone, Copy)]
struct Shop {
    seed: u64,
    orders_per_day: f64,
    customers: u64,
}

impl Shop {
    fn new(scale: f64, seed: u64) -> Self {
        Self {
            seed,
            orders_per_day: ORDERS_AT_SCALE_1 * scale / f64::from(DAYS),
            customers: (CUSTOMERS_AT_SCALE_1 * scale).max(20.0) as u64,
        }
    }

    /// Numbers of their own for a part of the shop: `index` is a day, a customer, a product.
    fn random(&self, part: &str, index: u64) -> stdx::hash::Random {
        let part = stdx::hash::stable_hash(part.as_bytes());
        stdx::hash::Random::new(stdx::hash::mix(self.seed ^ part ^ stdx::hash::mix(index)))
    }
}

/// Writes the data of the sample project into `dir`: `orders/orders-2025-09-01.csv` and so on,
/// `products.json`, `customers.db`, `stock.json`.
///
/// Data that are there already with this scale and seed stay as they are, so that a run finds
/// nothing new in them.
pub fn generate(dir: &Path, scale: f64, seed: u64) -> Result<Generated> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Problem::new(&codes::COMMAND_INVALID, format!("`{scale}` is not a scale"))
            .hint("give a number above 0: 1 makes about 50 000 orders, 100 five million"));
    }
    if let Some(there) = read_summary(dir)
        && (there.scale, there.seed) == (scale, seed)
    {
        return Ok(there);
    }
    let shop = Shop::new(scale, seed);
    clear(dir)?;
    let generated = Generated {
        scale,
        seed,
        days: DAYS,
        products: catalogue::write_products(&shop, &dir.join("products.json"))?,
        customers: customers::write(&shop, &dir.join("customers.db"))?,
        stock_items: catalogue::write_stock(&shop, &dir.join("stock.json"))?,
        orders: write_orders(&shop, dir, 0..DAYS, OrderTally::default())?,
    };
    write_summary(dir, &generated)?;
    Ok(generated)
}

/// Adds the orders of the next day to data that [`generate`] made: what a run finds tomorrow.
pub fn next_day(dir: &Path) -> Result<Generated> {
    let Some(mut generated) = read_summary(dir) else {
        return Err(Problem::new(
            &codes::FILE_NOT_FOUND,
            format!("`{}` holds no sample data", dir.display()),
        )
        .hint("make the sample project with `affluent demo DIR` first"));
    };
    let shop = Shop::new(generated.scale, generated.seed);
    let day = generated.days;
    generated.orders = write_orders(&shop, dir, day..day + 1, generated.orders)?;
    generated.days = day + 1;
    write_summary(dir, &generated)?;
    Ok(generated)
}

/// The calendar day of a day number, which counts from 0.
fn date_of(day: u32) -> NaiveDate {
    let first = NaiveDate::from_ymd_opt(2025, 9, 1).expect("the first of September exists");
    first.checked_add_days(Days::new(u64::from(day))).expect("day numbers are small")
}

/// Writes the files of `days`. What falls due in them from earlier days is worked out again.
fn write_orders(
    shop: &Shop,
    dir: &Path,
    days: Range<u32>,
    mut tally: OrderTally,
) -> Result<OrderTally> {
    let folder = dir.join("orders");
    fs::create_dir_all(&folder).map_err(|error| not_written(&folder, &error))?;
    let mut desk = orders::OrderDesk::new(*shop);
    for day in days.start.saturating_sub(orders::DELAY_DAYS_MAX)..days.end {
        let deliveries = desk.deliveries(day);
        if !days.contains(&day) {
            continue;
        }
        let path = folder.join(format!("orders-{}.csv", date_of(day)));
        write_file(&path, |file| orders::write_day(shop, day, &deliveries, file, &mut tally))?;
    }
    Ok(tally)
}

/// Writes a file through a buffer, and says which file it was when that fails.
fn write_file<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<T>,
) -> Result<T> {
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::with_capacity(1 << 18, file);
        let value = write(&mut file)?;
        file.flush()?;
        Ok(value)
    });
    written.map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &std::io::Error) -> Problem {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
        std::io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, format!("`{}` cannot be written", path.display()))
        .arg("path", path.display())
        .detail(error)
}

/// Removes what an earlier generation with other numbers left: nothing else is touched.
fn clear(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|error| not_written(dir, &error))?;
    let there = [SUMMARY, "products.json", "customers.db", "stock.json"].map(|name| dir.join(name));
    let drops = fs::read_dir(dir.join("orders")).into_iter().flatten().flatten();
    let drops = drops.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("orders-") && name.ends_with(".csv")
    });
    for path in there.into_iter().chain(drops) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(not_written(&path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_summary(dir: &Path) -> Option<Generated> {
    serde_json::from_slice(&fs::read(dir.join(SUMMARY)).ok()?).ok()
}

fn write_summary(dir: &Path, generated: &Generated) -> Result<()> {
    let path = dir.join(SUMMARY);
    write_file(&path, |file| {
        serde_json::to_writer_pretty(&mut *file, generated)?;
        file.write_all(b"\n")
    })
}

#[cfg(test)]
mod tests;
