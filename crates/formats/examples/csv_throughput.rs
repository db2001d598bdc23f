//! Prints how fast a CSV file is parsed: `csv_throughput FILE [PARTITIONS] [CHUNK_KIB]`.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use contracts::{Reject, RejectSink};
use formats::csv::{CsvOptions, ReadOptions, Tuning, open_tuned};
use formats::file::InputFile;
use futures::TryStreamExt;
use model::{Problem, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

struct Forget;

impl RejectSink for Forget {
    fn reject(&self, _: Reject) -> Result<()> {
        Ok(())
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        println!("usage: csv_throughput FILE [PARTITIONS] [CHUNK_KIB]");
        return Ok(());
    };
    let mut number =
        |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let partitions: usize = number(2);
    let chunk_bytes: usize = number(4096) * 1024;
    let file = InputFile::new(PathBuf::from(&path), path);
    let tuning = Tuning { chunk_bytes, ..Tuning::default() };
    let counts = Arc::clone(&tuning.counts);
    let request =
        ReadOptions { partitions, sample: None, rejects: Arc::new(Forget), bytes: Arc::default() };
    let bytes = Arc::clone(&request.bytes);
    let begun = Instant::now();
    let batches = open_tuned(&[file], &CsvOptions::default(), request, tuning)?;
    let opened = begun.elapsed();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(partitions)
        .build()
        .expect("a runtime can be built");
    let tasks: Vec<_> = batches
        .partitions
        .into_iter()
        .map(|mut partition| {
            runtime.spawn(async move {
                let mut rows = 0;
                while let Some(batch) = partition.try_next().await? {
                    rows += batch.num_rows();
                }
                Ok::<usize, Problem>(rows)
            })
        })
        .collect();
    let mut rows = 0;
    for task in tasks {
        rows += runtime.block_on(task).expect("no partition panics")?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let megabytes = bytes.load(std::sync::atomic::Ordering::Relaxed) as f64 / 1e6;
    println!(
        "{rows} rows, {} rejects, {megabytes:.0} MB in {seconds:.3} s: {:.0} MB/s, {:.0} MB/s a \
         partition (opened in {:.1} ms)",
        counts.rejected(),
        megabytes / seconds,
        megabytes / seconds / partitions as f64,
        opened.as_secs_f64() * 1e3,
    );
    Ok(())
}
