//! The sample project: what its generator made arrives in the tables, to the row and to the cent.

use crate::program::Project;
use app::demo::generate::{Generated, SEED, generate};
use app::demo::{project, stock_api};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// About 2 500 orders.
const SCALE: f64 = 0.05;

/// The sample project with its stock service, which ends with it.
struct Boutique {
    project: Project,
    generated: Generated,
    _stock: stock_api::StockApi,
    _runtime: tokio::runtime::Runtime,
}

impl Boutique {
    fn new() -> Self {
        let here = Project::new(&[]);
        fs::remove_file(here.path().join("affluent.yaml")).unwrap();
        project::write(here.path()).unwrap();
        let data = here.path().join("data");
        let generated = generate(&data, SCALE, SEED).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let stock = runtime.block_on(stock_api::start(&data.join("stock.json"), 0)).unwrap();
        project::set_stock_url(here.path(), &stock.url()).unwrap();
        Self { project: here, generated, _stock: stock, _runtime: runtime }
    }

    fn number(&self, sql: &str) -> u64 {
        self.project.value(sql).as_u64().unwrap()
    }

    /// Records of all order files.
    fn records(&self) -> u64 {
        let files = fs::read_dir(self.project.path().join("data/orders")).unwrap();
        files.map(|file| records(&fs::read(file.unwrap().path()).unwrap())).sum()
    }

    /// Every record is in bronze or in quarantine, and what left bronze is in silver, in
    /// quarantine, or repeats a row of silver.
    fn check_rejects(&self, expected: u64) {
        let of = |nodes: &str| {
            self.number(&format!("select count(*) from quarantine.ingest where _node in ({nodes})"))
        };
        let bronze = self.number("select count(*) from bronze.orders");
        assert_eq!(bronze + of("'order_drops'"), self.records());
        let later = of("'typed_orders', 'status_known', 'country_known', 'valid_orders'");
        assert_eq!(of("'order_drops'") + later, expected);
        assert_eq!(self.number("select count(*) from quarantine.ingest"), expected);
        // A line that came twice is one line of silver.
        let lines = "select count(*) from (select distinct n_commande, ligne from bronze.orders)";
        let silver = self.number("select count(*) from silver.orders");
        assert_eq!(self.number(lines), silver + later, "no broken row is sent again");
        let vague = self.number(
            "select count(*) from quarantine.ingest
             where cardinality(_errors) = 0 or _errors[1]['reason'] is null
                or _file not like 'data/orders/orders-%.csv' or _row < 2 or _record is null",
        );
        assert_eq!(vague, 0, "rejects without a reason or a place");
    }

    /// Gold is what a `group by` over silver gives, day by day. Gives days and revenues.
    fn check_gold(&self) -> BTreeMap<String, Value> {
        let gold = self.project.query(
            "select day, orders, customers, units, cast(revenue as string) as revenue,
                 returned_lines, cancelled_lines
             from gold.sales_daily_metrics order by day",
        );
        let silver = self.project.query(
            "select order_day as day,
                 count(distinct case when sold then order_id end) as orders,
                 count(distinct case when sold then customer end) as customers,
                 sum(case when sold then quantity end) as units,
                 cast(sum(case when sold then amount else 0 end) as string) as revenue,
                 sum(case when status = 'returned' then 1 else 0 end) as returned_lines,
                 sum(case when status = 'cancelled' then 1 else 0 end) as cancelled_lines
             from (select *, status in ('paid', 'shipped') as sold from silver.orders)
             group by order_day order by day",
        );
        assert!(!gold.is_empty());
        assert_eq!(gold, silver);
        let revenue =
            |row: Value| (row["day"].as_str().unwrap().to_owned(), row["revenue"].clone());
        gold.into_iter().map(revenue).collect()
    }
}

/// Records of a CSV file without its header: line ends outside of quotes.
fn records(bytes: &[u8]) -> u64 {
    let mut quoted = false;
    let mut ends = 0;
    for byte in bytes {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => ends += 1,
            _ => {}
        }
    }
    ends - 1
}

/// Hundredths of `12.34`.
fn cents(value: &Value) -> u64 {
    value.as_str().unwrap().replace('.', "").parse().unwrap()
}

#[test]
fn the_boutique_arrives_to_the_row_and_to_the_cent() {
    let shop = Boutique::new();
    shop.project.ok(&["run"]);
    let made = &shop.generated;
    assert_eq!(shop.records(), made.orders.rows);
    let broken = &made.orders.broken;
    shop.check_rejects(broken.total());
    let by_node = shop.project.query(
        "select _node as node, count(*) as n from quarantine.ingest group by _node order by _node",
    );
    let expected = [
        ("order_drops", broken.cut_off + broken.too_long),
        ("typed_orders", broken.impossible_date + broken.worded_quantity),
        ("valid_orders", broken.negative_quantity + broken.unknown_product),
    ];
    assert_eq!(by_node, expected.map(|(node, n)| json!({"node": node, "n": n})));
    assert_eq!(shop.number("select count(*) from silver.orders"), made.orders.lines);
    assert_eq!(
        shop.number("select count(distinct order_id) from silver.orders"),
        made.orders.orders
    );
    let by_status = shop
        .project
        .query("select status, count(*) as n from silver.orders group by status order by status");
    let status = &made.orders.lines_by_status;
    let expected = [
        ("cancelled", status.cancelled),
        ("paid", status.paid),
        ("returned", status.returned),
        ("shipped", status.shipped),
    ];
    assert_eq!(by_status, expected.map(|(status, n)| json!({"status": status, "n": n})));
    let revenue = shop.check_gold();
    assert_eq!(revenue.len() as u32, made.days);
    assert_eq!(revenue.values().map(cents).sum::<u64>(), made.orders.revenue_cents);
    assert_eq!(shop.number("select count(*) from silver.products"), made.products);
    assert_eq!(shop.number("select count(*) from silver.customers"), made.customers);
    assert_eq!(shop.number("select count(*) from silver.stock"), made.stock_items);
    for table in ["customer_lifetime_value", "return_rate", "rfm_segments", "top_products"] {
        assert!(shop.number(&format!("select count(*) from gold.{table}")) > 0, "{table}");
    }
    let workbook = shop.project.path().join("out/sales.xlsx");
    let rows = shop.number(&format!("select count(*) from '{}'", workbook.display()));
    assert_eq!(rows, u64::from(made.days));
}

/// Drops a file of December: an order of the second of September that the shop in Lyon sends late,
/// a shipped one of the first of September that comes back, whole, and a row with a quantity in
/// words. Gives the number of the order that comes back, and what it was worth.
fn december(shop: &Boutique) -> (Value, u64) {
    let shipped = shop.project.query(
        "select order_id from silver.orders where order_day = '2025-09-01' and status = 'shipped'",
    );
    let first = shop.project.path().join("data/orders/orders-2025-09-01.csv");
    let first: String = fs::read(first).unwrap().iter().map(|byte| char::from(*byte)).collect();
    let lines_of = |order: &Value| -> Vec<&str> {
        first.lines().filter(|line| line.starts_with(&format!("{order};"))).collect()
    };
    let (order, sent) = shipped
        .iter()
        .map(|row| (row["order_id"].clone(), lines_of(&row["order_id"])))
        .find(|(_, lines)| !lines.is_empty() && !lines.iter().any(|line| line.contains('"')))
        .unwrap();
    let worth = shop.project.value(&format!(
        "select cast(sum(amount) as string) from silver.orders
         where order_id = {order} and status = 'shipped'"
    ));
    let product = shop.project.value("select min(product) from silver.products");
    let product = product.as_str().unwrap();
    let mut drop = format!("{}\r\n", first.lines().next().unwrap());
    drop += &format!(
        "1;1;02/09/2025 18:30;;{product};3;1\u{a0}000,50;10;Expédiée;France;\r\n\
         2;1;02/09/2025 18:35;;{product};trois;2,50;0;Expédiée;France;\r\n"
    );
    for line in &sent {
        drop +=
            &format!("{}\r\n", line.replace("Expédiée", "Retournée").replace("Payée", "Retournée"));
    }
    let latin1: Vec<u8> = drop.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect();
    shop.project.write("data/orders/orders-2025-12-01.csv", latin1);
    (order, cents(&worth))
}

#[test]
fn a_late_order_and_one_sent_again_change_their_days_of_the_boutique() {
    let shop = Boutique::new();
    shop.project.ok(&["run"]);
    let before = shop.check_gold();
    let rejects = shop.generated.orders.broken.total();

    let started = Instant::now();
    let again = shop.project.ok(&["run"]);
    let elapsed = started.elapsed();
    assert!(again.contains("nothing to do"), "{again}");
    assert!(elapsed < Duration::from_secs(5), "a run without anything new took {elapsed:?}");

    let (order, worth) = december(&shop);
    shop.project.ok(&["run"]);

    shop.check_rejects(rejects + 1);
    let made = &shop.generated;
    assert_eq!(shop.number("select count(*) from silver.products"), made.products, "not emptied");
    assert_eq!(shop.number("select count(*) from silver.stock"), made.stock_items, "not emptied");
    assert_eq!(shop.number("select count(*) from silver.orders"), shop.generated.orders.lines + 1);
    let statuses = shop
        .project
        .query(&format!("select distinct status from silver.orders where order_id = {order}"));
    assert_eq!(statuses, [json!({"status": "returned"})]);
    let after = shop.check_gold();
    let changed: BTreeMap<&str, (u64, u64)> = after
        .iter()
        .filter(|(day, revenue)| before[*day] != **revenue)
        .map(|(day, revenue)| (day.as_str(), (cents(&before[day]), cents(revenue))))
        .collect();
    // 3 × 1 000.50 less ten percent.
    let expected = BTreeMap::from([
        ("2025-09-01", cents(&before["2025-09-01"]) - worth),
        ("2025-09-02", cents(&before["2025-09-02"]) + 270_135),
    ]);
    let changed_to: BTreeMap<&str, u64> =
        changed.iter().map(|(day, (_, to))| (*day, *to)).collect();
    assert_eq!(changed_to, expected, "{changed:?}");
    assert!(shop.project.ok(&["run"]).contains("nothing to do"));
}

#[test]
fn the_demo_runs_twice() {
    let place = tempfile::tempdir().unwrap();
    let demo = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_affluent"));
        command.current_dir(place.path()).args(["demo", "--scale", "0.02"]);
        let output = command.output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
        out + &err
    };
    let first = demo();
    for words in ["gold.sales_daily_metrics", "quarantine.ingest", "what to type next"] {
        assert!(first.contains(words), "{words}: {first}");
    }
    assert!(place.path().join("boutique/out/sales.xlsx").is_file());
    let second = demo();
    assert!(second.contains("nothing to do"), "{second}");
    assert!(second.contains("what to type next"), "{second}");
}
