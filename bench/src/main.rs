//! What the benchmarks need beside the program: the tables of TPC-H as CSV, a PostgreSQL server.

mod drive;

use anyhow::{Context, Result};
use clap::{Args, Parser, ValueEnum};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use testkit::Postgres;
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

/// Makes what the benchmarks need.
#[derive(Parser)]
enum Command {
    /// Writes tables of TPC-H as CSV; what is there already is left alone.
    Tables(Tables),
    /// Starts a private PostgreSQL server, prints the settings of a connection as JSON, and stops
    /// it when standard input ends.
    Postgres,
    /// Drives a server through its interface.
    Drive(drive::Drive),
}

#[derive(Args)]
struct Tables {
    /// Scale factor; 1 is about 1 GB in all.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Folder to write to.
    #[arg(long)]
    dir: PathBuf,
    /// Tables to write; all when none is named.
    tables: Vec<Table>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Table {
    Region,
    Nation,
    Supplier,
    Customer,
    Part,
    Partsupp,
    Orders,
    Lineitem,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Tables(wanted) => write_tables(wanted),
        Command::Postgres => serve_postgres(),
        Command::Drive(wanted) => drive::drive(wanted),
    }
}

fn serve_postgres() -> Result<()> {
    let server = Postgres::start().context("PostgreSQL's programs are not installed")?;
    let settings = serde_json::json!({
        "host": "127.0.0.1", "port": server.port(), "database": Postgres::DATABASE,
        "user": Postgres::USER, "password": Postgres::PASSWORD, "tls": "disable",
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{settings}")?;
    out.flush()?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}

fn write_tables(wanted: Tables) -> Result<()> {
    fs::create_dir_all(&wanted.dir)?;
    let tables = match wanted.tables.is_empty() {
        true => Table::value_variants().to_vec(),
        false => wanted.tables,
    };
    for table in tables {
        let name = table.to_possible_value().context("tables have names")?;
        let path = wanted.dir.join(format!("{}.csv", name.get_name()));
        if !path.exists() {
            // Under its final name only when it is whole.
            let unfinished = path.with_extension("unfinished");
            write_table(table, wanted.scale, &unfinished)?;
            fs::rename(&unfinished, &path)?;
        }
    }
    Ok(())
}

fn write_table(table: Table, scale: f64, path: &Path) -> Result<()> {
    match table {
        Table::Region => {
            let rows = RegionGenerator::new(scale, 1, 1);
            write(path, RegionCsv::header(), rows.iter().map(RegionCsv::new))
        }
        Table::Nation => {
            let rows = NationGenerator::new(scale, 1, 1);
            write(path, NationCsv::header(), rows.iter().map(NationCsv::new))
        }
        Table::Supplier => {
            let rows = SupplierGenerator::new(scale, 1, 1);
            write(path, SupplierCsv::header(), rows.iter().map(SupplierCsv::new))
        }
        Table::Customer => {
            let rows = CustomerGenerator::new(scale, 1, 1);
            write(path, CustomerCsv::header(), rows.iter().map(CustomerCsv::new))
        }
        Table::Part => {
            let rows = PartGenerator::new(scale, 1, 1);
            write(path, PartCsv::header(), rows.iter().map(PartCsv::new))
        }
        Table::Partsupp => {
            let rows = PartSuppGenerator::new(scale, 1, 1);
            write(path, PartSuppCsv::header(), rows.iter().map(PartSuppCsv::new))
        }
        Table::Orders => {
            let rows = OrderGenerator::new(scale, 1, 1);
            write(path, OrderCsv::header(), rows.iter().map(OrderCsv::new))
        }
        Table::Lineitem => {
            let rows = LineItemGenerator::new(scale, 1, 1);
            write(path, LineItemCsv::header(), rows.iter().map(LineItemCsv::new))
        }
    }
}

fn write(path: &Path, header: &str, rows: impl Iterator<Item = impl Display>) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(file, "{header}")?;
    for row in rows {
        writeln!(file, "{row}")?;
    }
    Ok(file.flush()?)
}
