//! What the operating system says of this process, under the names that every client uses.

use std::fmt::Write;
use std::fs;

/// Linux counts processor time for programs in hundredths of a second, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is known of the process; what cannot be read is left out.
pub(super) fn render() -> String {
    let mut text = String::new();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |index: usize| field(&stat, index).map(|ticks| ticks / TICKS_PER_SECOND);
    if let (Some(user), Some(system)) = (ticks(13), ticks(14)) {
        let help = "Processor time of the process.";
        write(&mut text, "process_cpu_seconds_total", "counter", help, user + system);
    }
    if let (Some(boot), Some(start)) = (boot_seconds(), ticks(21)) {
        let help = "When the process began, seconds since 1970, UTC.";
        write(&mut text, "process_start_time_seconds", "gauge", help, boot + start);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kilobytes) = named(&status, "VmRSS:") {
        let help = "Memory of the process that is in use.";
        write(&mut text, "process_resident_memory_bytes", "gauge", help, kilobytes * 1024.0);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        let help = "Files, sockets and pipes that are open.";
        write(&mut text, "process_open_fds", "gauge", help, files.count() as f64);
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(files) = named(&limits, "Max open files") {
        let help = "How many files, sockets and pipes may be open.";
        write(&mut text, "process_max_fds", "gauge", help, files);
    }
    text
}

fn write(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    // Writing to a `String` cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
}

/// Field number `index`, from 0, of `/proc/self/stat`. The second one is the name of the program in
/// parentheses, which may have blanks.
fn field(stat: &str, index: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index.checked_sub(2)?)?.parse().ok()
}

/// The first number of the line that begins with `name`.
fn named(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn boot_seconds() -> Option<f64> {
    named(&fs::read_to_string("/proc/stat").ok()?, "btime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 999";
        assert_eq!(
            (field(stat, 13), field(stat, 14), field(stat, 21)),
            (Some(250.0), Some(50.0), Some(999.0))
        );
        assert_eq!(field("7 (a) S", 21), None);
    }

    #[test]
    fn this_process_is_seen() {
        let text = render();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") > value("process_open_fds"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - value("process_start_time_seconds");
        assert!((-2.0..3_600.0).contains(&age), "{age}");
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
