//! `affluent demo`: the sample project, made and run from beginning to end.

use super::{Outcome, Session, run};
use crate::demo::{generate, project, stock_api};
use crate::output::{Colour, ExitCode, bytes, table};
use crate::workbench::{Settings, Workbench};
use clap::Args;
use contracts::table::TableStore;
use model::{Problem, Result};
use std::path::{Path, PathBuf};
use stdx::text::group_digits;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent demo\n\
\x20 affluent demo my_shop --scale 10\n\
\x20 affluent demo --serve             only the stock service, for runs of your own";

/// Arguments of `affluent demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder of the project; made when it is not there
    #[arg(default_value = "boutique", value_name = "DIR")]
    pub dir: PathBuf,
    /// How many orders: 1 is about 50 000
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Add the orders of one more day first
    #[arg(long)]
    pub next_day: bool,
    /// Only serve the stock, until stopped
    #[arg(long)]
    pub serve: bool,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let output = session.output;
    let dir = &arguments.dir;
    let data = dir.join("data");
    output.line(format!(
        "the boutique: a small shop's orders, products, customers and stock, in `{}`",
        dir.display()
    ));
    project::write(dir).map_err(one)?;
    let made = generate::generate(&data, arguments.scale, generate::SEED).map_err(one)?;
    if arguments.next_day {
        generate::next_day(&data).map_err(one)?;
        output.line("  the orders of the next day have come in");
    }
    output.line(format!(
        "  {} late rows, {} sent again, {} that no cleaning can save",
        group_digits(made.orders.late_rows),
        group_digits(made.orders.resent_rows),
        group_digits(made.orders.broken.total())
    ));
    let stock = stock_api::start(&data.join("stock.json"), stock_api::PORT).await.map_err(one)?;
    project::set_stock_url(dir, &stock.url()).map_err(one)?;
    if arguments.serve {
        output.line(format!("  stock is served at {}; stop with Ctrl C", stock.url()));
        stock.wait().await;
        return Ok(ExitCode::Done);
    }
    output.line("");
    let session =
        Session { settings: Settings { project: dir.clone(), ..session.settings.clone() }, output };
    run::execute(&session, run::Arguments::default()).await?;
    drop(stock);
    let workbench = session.open()?;
    show(&workbench, &session, dir).await.map_err(one)?;
    Ok(ExitCode::Done)
}

async fn show(workbench: &Workbench, session: &Session, dir: &Path) -> Result<()> {
    let output = session.output;
    let mut rows = Vec::new();
    for name in workbench.lake.list().await? {
        let Some(info) = workbench.lake.describe(&name, None).await? else { continue };
        let count = info.rows.map(group_digits).unwrap_or_default();
        rows.push(vec![name.to_string(), count, bytes(info.bytes), info.version.to_string()]);
    }
    output.line("");
    output.raw_for_people(&table(&["table", "rows", "size", "version"], &rows));
    let say = |command: &str, why: &str| {
        output.line(format!("  {}  {why}", output.paint(Colour::Bold, command)));
    };
    output.line(format!("\nwhat to type next, in `{}`:", dir.display()));
    say("affluent query \"select * from gold.sales_daily_metrics order by day desc limit 7\"", "");
    say(
        "affluent query \"select _node, count(*) from quarantine.ingest group by 1\"",
        "rows that could not be saved",
    );
    say("affluent lineage gold.sales_daily_metrics.revenue", "where a figure comes from");
    say("affluent preview ingest.worth", "rows after any step, without running");
    say("affluent demo --next-day .", "new orders come in: only what is new is read");
    say("affluent up", "serve it to people and programs: prints a link that opens it");
    Ok(())
}
