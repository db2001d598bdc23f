//! `affluent preview`: rows after a node, on the first rows of its sources.

use super::{Outcome, Session};
use crate::ad_hoc::{self, Format};
use crate::output::{Colour, ExitCode};
use crate::workbench::Workbench;
use clap::Args;
use contracts::source::Sample;
use engine::params::sample_params;
use engine::trial::{PortRows, Trial};
use model::pipeline::REJECTS;
use model::{Name, Problem, codes};
use std::collections::BTreeMap;
use std::time::Instant;
use stdx::clock::{Clock, SystemClock};

/// Rows that are read of each source.
const SAMPLE_ROWS: u64 = 50_000;
/// Bytes that are read of each source.
const SAMPLE_BYTES: u64 = 32 << 20;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent preview sales.typed\n\
\x20 affluent preview sales.typed.rejects --rows 50";

/// Arguments of `affluent preview`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// `pipeline.node` or `pipeline.node.port`
    pub target: String,
    /// Rows to show
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub rows: usize,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let started = Instant::now();
    let workbench = session.open()?;
    let mut parts = arguments.target.splitn(3, '.');
    let (Some(pipeline), Some(node)) = (parts.next(), parts.next()) else {
        return Err(one(Problem::new(&codes::COMMAND_INVALID, "a preview is of a node")
            .hint("write `affluent preview PIPELINE.NODE`")));
    };
    let port = parts.next().unwrap_or("out");
    let node = Name::new(node).map_err(one)?;
    let Seen { rows, count, rejects, is_sample, findings, .. } =
        preview(&workbench, pipeline, &node, port).await?;
    let output = session.output;
    let shown = ad_hoc::first_rows(rows.read(), arguments.rows).await.map_err(one)?;
    let format = if output.json { Format::Json } else { Format::Table };
    ad_hoc::show(shown, format, output).await.map_err(one)?;
    for fact in &findings {
        output.line(output.paint(Colour::Yellow, fact));
    }
    let of_sample = if is_sample { ", on the first rows of each source" } else { "" };
    let rejected = match rejects {
        0 => String::new(),
        rejects => format!(", {rejects} rejected"),
    };
    output.line(format!(
        "{count} rows{rejected}{of_sample}; {}",
        crate::output::duration(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
    ));
    Ok(ExitCode::Done)
}

/// Rows after a node, on the first rows of its sources.
pub(crate) struct Seen {
    /// Rows of the port.
    pub(crate) rows: PortRows,
    /// How many they are.
    pub(crate) count: usize,
    /// How many rows the node has rejected.
    pub(crate) rejects: usize,
    /// Whether a source has more rows than were read.
    pub(crate) is_sample: bool,
    /// What checks have found.
    pub(crate) findings: Vec<String>,
    /// The query of the node.
    pub(crate) sql: Option<String>,
}

/// Runs all that a node needs on the first rows of the sources, in memory.
pub(crate) async fn preview(
    workbench: &Workbench,
    pipeline: &str,
    node: &Name,
    port: &str,
) -> Result<Seen, Vec<Problem>> {
    let one = |problem: Problem| vec![problem];
    let file = workbench.folder.pipeline(pipeline).map_err(one)?;
    let graph = workbench.graph(file)?;
    let at = graph.find(node).map_err(one)?;
    let trial = Trial {
        graph: &graph,
        context: &workbench.context,
        query: &workbench.query,
        given: BTreeMap::new(),
        number_given: true,
        sample: Sample { rows: SAMPLE_ROWS, bytes: SAMPLE_BYTES },
        params: sample_params(&graph),
        now_us: SystemClock.now_us(),
    };
    let mut outcome = trial.run(&[at]).await.map_err(one)?;
    let rows = outcome.port(at, port);
    Ok(Seen {
        count: contracts::rows::count(&rows.batches),
        rejects: contracts::rows::count(&outcome.port(at, REJECTS).batches),
        is_sample: outcome.is_sample,
        findings: std::mem::take(&mut outcome.findings).into_iter().map(|(_, fact)| fact).collect(),
        sql: outcome.sql.remove(&at),
        rows,
    })
}
