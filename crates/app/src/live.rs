//! The live view of a run: a line per node that moves on a terminal, plain lines elsewhere.

use crate::output::{Colour, Output};
use engine::progress::{Event, Listener, NodeProgress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stdx::text::group_digits;

/// Shows events as they come.
pub(crate) struct Live {
    output: Output,
    bars: MultiProgress,
    watched: Mutex<Vec<(Arc<NodeProgress>, ProgressBar)>>,
}

impl Live {
    pub(crate) fn new(output: Output) -> Self {
        let bars = MultiProgress::new();
        if !output.terminal || output.json {
            bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        Self { output, bars, watched: Mutex::default() }
    }

    /// The run is over: moving lines stop where they are.
    pub(crate) fn end(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for (node, bar) in watched.drain(..) {
            let line = node_line(&node);
            if self.output.terminal {
                bar.finish_with_message(line);
            } else if !node.is_implicit || node.rows_out.rows() > 0 {
                self.say(&format!("  {line}"));
            }
        }
    }

    fn say(&self, text: &str) {
        match self.output.terminal && !self.output.json {
            true => {
                let _ = self.bars.println(text);
            }
            false => self.output.line(text),
        }
    }

    fn watch(&self, nodes: Vec<Arc<NodeProgress>>) {
        self.end();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for node in nodes {
            let bar = match node.is_implicit {
                true => ProgressBar::hidden(),
                false => self.bars.add(ProgressBar::new_spinner()),
            };
            let shown = Arc::clone(&node);
            let style = ProgressStyle::with_template("  {spinner} {line}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner())
                .with_key(
                    "line",
                    move |_: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                        let _ = out.write_str(&node_line(&shown));
                    },
                );
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(100));
            watched.push((node, bar));
        }
    }
}

/// `valid  validate  11 987 rows  17 rejected  1.2 M rows/s`.
fn node_line(node: &NodeProgress) -> String {
    let report = node.report();
    let mut line = format!(
        "{:<20} {:<14} {:>13} rows",
        node.label,
        node.module,
        group_digits(report.rows_out)
    );
    if report.rejects > 0 {
        line.push_str(&format!("  {} rejected", group_digits(report.rejects)));
    }
    let rate = report.rows_out.saturating_mul(1000) / report.elapsed_ms.max(1);
    if report.elapsed_ms >= 500 && rate > 0 {
        line.push_str(&format!("  {} rows/s", group_digits(rate)));
    }
    line
}

impl Listener for Live {
    fn on(&self, event: Event) {
        match event {
            Event::RunStarted { pipeline, run, resumed } => {
                let name = self.output.paint(Colour::Bold, pipeline.as_str());
                let what = if resumed { "goes on with unfinished run" } else { "run" };
                self.say(&format!("{name}: {what} {run}"));
            }
            Event::NothingNew { pipeline, documents_changed } => {
                let hint = match documents_changed {
                    true => {
                        "; its documents have changed: `--full-refresh` rebuilds from all that was read"
                    }
                    false => "",
                };
                self.say(&format!("{pipeline}: nothing new to read{hint}"));
            }
            Event::Remark { node, text } => self.say(&format!("  {node}: {text}")),
            Event::Warning { node, text } => {
                let word = self.output.paint(Colour::Yellow, "warning:");
                self.say(&format!("  {word} {node}: {text}"));
            }
            Event::StageStarted { nodes } => self.watch(nodes),
            Event::Committed { .. } | Event::RunEnded { .. } => {}
        }
    }
}
