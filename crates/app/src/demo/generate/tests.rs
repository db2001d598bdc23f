//! What the generator says it wrote is what an independent reader finds.

use super::*;
use std::collections::BTreeMap;

const SCALE: f64 = 0.02;

fn generate_in(scale: f64, seed: u64) -> (tempfile::TempDir, Generated) {
    let dir = tempfile::tempdir().unwrap();
    let generated = generate(dir.path(), scale, seed).unwrap();
    (dir, generated)
}

fn drops(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir.join("orders"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Records of a Latin-1 text with `;` and `"`.
fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut quoted = false;
    for char in bytes.iter().map(|byte| char::from(*byte)) {
        let record = records.last_mut().unwrap();
        match char {
            '"' => quoted = !quoted,
            ';' if !quoted => record.push(String::new()),
            '\r' => {}
            '\n' if !quoted => records.push(vec![String::new()]),
            other => record.last_mut().unwrap().push(other),
        }
    }
    records.pop();
    records.remove(0);
    records
}

/// Cents of an acceptable record, none for a broken one.
fn cents(record: &[String]) -> Option<u64> {
    let [_, _, date, _, reference, quantity, price, discount, ..] = record else { return None };
    let quantity: u64 = quantity.parse().ok()?;
    let price: u64 = price.replace(['\u{a0}', ','], "").parse().ok()?;
    let discount: u64 = discount.parse().ok()?;
    let fine = record.len() == 11 && !date.starts_with("31/02") && reference != "P-9999";
    fine.then_some(quantity * price * (100 - discount) / 100)
}

#[test]
fn the_tally_is_what_an_independent_reader_finds() {
    let (dir, generated) = generate_in(SCALE, SEED);
    let mut rows = 0;
    let mut broken = 0;
    let mut last: BTreeMap<(String, String), (String, u64)> = BTreeMap::new();
    for (_, bytes) in drops(dir.path()) {
        for record in records(&bytes) {
            rows += 1;
            match cents(&record) {
                None => broken += 1,
                Some(cents) => {
                    let key = (record[0].clone(), record[1].clone());
                    last.insert(key, (record[8].clone(), cents));
                }
            }
        }
    }
    let with = |status: &str| last.values().filter(|(s, _)| s == status).count() as u64;
    let sold = last.values().filter(|(status, _)| status == "Payée" || status == "Expédiée");
    let tally = &generated.orders;
    assert_eq!((rows, broken), (tally.rows, tally.broken.total()));
    assert_eq!(last.len() as u64, tally.lines);
    assert_eq!(with("Payée"), tally.lines_by_status.paid);
    assert_eq!(with("Expédiée"), tally.lines_by_status.shipped);
    assert_eq!(with("Retournée"), tally.lines_by_status.returned);
    assert_eq!(with("Annulée"), tally.lines_by_status.cancelled);
    assert_eq!(sold.map(|(_, cents)| cents).sum::<u64>(), tally.revenue_cents);
    let faults = tally.rows - tally.broken.total() - tally.repeated_rows - tally.resent_rows;
    assert_eq!(faults, tally.lines);
}

#[test]
fn every_kind_of_fault_is_there() {
    let (_dir, generated) = generate_in(0.2, SEED);
    let tally = generated.orders;
    let broken = tally.broken;
    for count in [
        tally.repeated_rows,
        tally.late_rows,
        tally.resent_rows,
        broken.cut_off,
        broken.too_long,
        broken.impossible_date,
        broken.worded_quantity,
        broken.negative_quantity,
        broken.unknown_product,
    ] {
        assert!(count > 0);
    }
}

#[test]
fn the_scale_is_the_number_of_orders() {
    let (_dir, generated) = generate_in(1.0, SEED);
    assert!((48_000..=52_000).contains(&generated.orders.orders), "{}", generated.orders.orders);
    assert_eq!(generated.customers, 8_000);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (one, _) = generate_in(SCALE, 1);
    let (same, _) = generate_in(SCALE, 1);
    let (other, _) = generate_in(SCALE, 2);
    assert!(drops(one.path()) == drops(same.path()));
    assert!(drops(one.path()) != drops(other.path()));
    let products = |dir: &tempfile::TempDir| fs::read(dir.path().join("products.json")).unwrap();
    assert!(products(&one) == products(&same));
}

#[test]
fn data_that_are_there_stay_untouched() {
    let (dir, generated) = generate_in(SCALE, SEED);
    let modified = || fs::metadata(dir.path().join("products.json")).unwrap().modified().unwrap();
    let before = modified();
    assert_eq!(generate(dir.path(), SCALE, SEED).unwrap(), generated);
    assert_eq!(modified(), before);
    let smaller = generate(dir.path(), SCALE / 2.0, SEED).unwrap();
    assert!(smaller.orders.rows < generated.orders.rows);
    assert_eq!(drops(dir.path()).len(), DAYS as usize);
}

#[test]
fn tomorrow_adds_one_file_and_leaves_the_others_alone() {
    let (dir, generated) = generate_in(SCALE, SEED);
    let before = drops(dir.path());
    let grown = next_day(dir.path()).unwrap();
    let after = drops(dir.path());
    assert_eq!(after.len(), before.len() + 1);
    assert!(after[..before.len()] == before);
    assert_eq!(after[before.len()].0, "orders-2025-12-01.csv");
    assert!(grown.orders.lines > generated.orders.lines);
    assert!(grown.orders.resent_rows > generated.orders.resent_rows);
    let StatusTally { paid, shipped, returned, cancelled } = grown.orders.lines_by_status;
    assert_eq!(paid + shipped + returned + cancelled, grown.orders.lines);
}

#[test]
fn a_scale_must_be_above_zero() {
    let dir = tempfile::tempdir().unwrap();
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(generate(dir.path(), scale, SEED).unwrap_err().is(&codes::COMMAND_INVALID));
    }
}
