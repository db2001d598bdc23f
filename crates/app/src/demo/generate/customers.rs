//! Customers: a SQLite database, as a shop's own software would keep it.

use super::{Shop, not_written};
use chrono::{Days, NaiveDate};
use model::{Problem, Result, codes};
use rusqlite::{Connection, params};
use std::path::Path;

const FIRST_NAMES: &[&str] = &[
    "Camille",
    "Louise",
    "Chloé",
    "Inès",
    "Zoé",
    "Léa",
    "Jeanne",
    "Aïcha",
    "Hélène",
    "Maëlle",
    "Hugo",
    "Théo",
    "Noël",
    "Loïc",
    "Mehdi",
    "Jules",
    "Gaël",
    "Étienne",
    "François",
    "Raphaël",
];
const LAST_NAMES: &[&str] = &[
    "Martin",
    "Bernard",
    "Lefèvre",
    "Moreau",
    "Girard",
    "Rousseau",
    "Fontaine",
    "Chevalier",
    "Benoît",
    "Nguyen",
    "Haddad",
    "Peeters",
    "Müller",
    "D'Amico",
    "Le Goff",
    "Gonçalves",
    "Traoré",
    "Schmitt",
    "Dupré",
    "Lemaître",
];
const CITIES: &[(&str, &str, &str)] = &[
    ("France", "75011", "Paris"),
    ("France", "69003", "Lyon"),
    ("France", "13006", "Marseille"),
    ("France", "01000", "Bourg-en-Bresse"),
    ("France", "44000", "Nantes"),
    ("France", "67000", "Strasbourg"),
    ("France", "33000", "Bordeaux"),
    ("Belgique", "1050", "Ixelles"),
    ("Belgique", "4000", "Liège"),
    ("Suisse", "1003", "Lausanne"),
    ("Luxembourg", "1720", "Luxembourg"),
];

/// How the tills write the countries; what is seldom stands last.
const SPELLINGS: &[(&str, &[&str])] = &[
    ("France", &["France", "FRANCE", "fr", " France"]),
    ("Belgique", &["Belgique", "BE", "belgique"]),
    ("Suisse", &["Suisse", "CH"]),
    ("Luxembourg", &["Luxembourg", "LU"]),
];

/// `C-000042`.
pub(super) fn code_of(customer: u64) -> String {
    format!("C-{:06}", customer + 1)
}

fn city_of(shop: &Shop, customer: u64) -> (&'static str, &'static str, &'static str) {
    CITIES[shop.random("city", customer).below(CITIES.len() as u64) as usize]
}

/// Where a customer lives.
pub(super) fn country_of(shop: &Shop, customer: u64) -> &'static str {
    city_of(shop, customer).0
}

/// A country as one of the tills writes it.
pub(super) fn spelling_of(country: &'static str, random: &mut stdx::hash::Random) -> &'static str {
    let spellings = SPELLINGS.iter().find(|(name, _)| *name == country);
    let is_usual = random.below(10) < 8;
    match spellings {
        Some((_, spellings)) if !is_usual => {
            spellings[random.below(spellings.len() as u64) as usize]
        }
        _ => country,
    }
}

/// Writes the table `customers`; gives the number of rows.
pub(super) fn write(shop: &Shop, path: &Path) -> Result<u64> {
    insert_all(shop, path).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => {
            not_written(path, &std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
        _ => {
            Problem::new(&codes::STORAGE_FAILED, format!("`{}` cannot be written", path.display()))
                .arg("path", path.display())
                .detail(error)
        }
    })
}

fn insert_all(shop: &Shop, path: &Path) -> rusqlite::Result<u64> {
    let mut database = Connection::open(path)?;
    let transaction = database.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE customers (
            code TEXT PRIMARY KEY,
            first_name TEXT NOT NULL,
            last_name TEXT NOT NULL,
            email TEXT,
            birth_date TEXT,
            postal_code TEXT,
            city TEXT,
            country TEXT,
            newsletter INTEGER NOT NULL,
            updated_at TEXT NOT NULL
        )",
    )?;
    {
        let mut insert = transaction
            .prepare("INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
        for customer in 0..shop.customers {
            let mut random = shop.random("customer", customer);
            let first_name = FIRST_NAMES[random.below(FIRST_NAMES.len() as u64) as usize];
            let last_name = LAST_NAMES[random.below(LAST_NAMES.len() as u64) as usize];
            let (country, postal_code, city) = city_of(shop, customer);
            insert.execute(params![
                code_of(customer),
                first_name,
                last_name,
                email_of(customer, first_name, last_name, &mut random),
                birth_date(&mut random),
                postal_code,
                city,
                country,
                random.below(3) == 0,
                updated_at(&mut random),
            ])?;
        }
    }
    transaction.commit()?;
    Ok(shop.customers)
}

/// Most are fine; some are missing, some were typed by somebody in a hurry.
fn email_of(
    customer: u64,
    first_name: &str,
    last_name: &str,
    random: &mut stdx::hash::Random,
) -> Option<String> {
    let plain = |name: &str| model::lake_column_names(&[name]).remove(0).replace('_', "-");
    let at = match random.below(100) {
        0..2 => return None,
        2..4 => "(at)",
        _ => "@",
    };
    Some(format!("{}.{}{}{at}example.org", plain(first_name), plain(last_name), customer % 97))
}

fn birth_date(random: &mut stdx::hash::Random) -> Option<String> {
    let known = random.below(10) > 0;
    let first = NaiveDate::from_ymd_opt(1945, 1, 1).expect("a real day");
    let day = first.checked_add_days(Days::new(random.below(60 * 365)));
    known.then(|| day.expect("sixty years later").to_string())
}

/// Between 2022 and the first day of the orders, UTC.
fn updated_at(random: &mut stdx::hash::Random) -> String {
    let first = NaiveDate::from_ymd_opt(2022, 1, 1).expect("a real day");
    let day = first.checked_add_days(Days::new(random.below(1330))).expect("within four years");
    let second = random.below(86_400);
    format!("{day} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}
