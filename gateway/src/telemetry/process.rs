//! The process as the operating system sees it, from `/proc`, under the names that every Prometheus dashboard knows.
//!
//! A figure that cannot be read is not shown; it must never be guessed.

use super::table;
use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use std::fs;

/// Reads when it is asked.
pub struct Process {
    descriptions: Vec<Desc>,
    /// when this was made, which is when the service starts: the unit hides the rest of `/proc` from it
    began: f64,
}

impl Default for Process {
    fn default() -> Self {
        let gauges = GAUGES.map(|name| table::level(name).desc()[0].clone());
        let cpu = prometheus::Counter::with_opts(table::counter_opts(CPU)).expect("the table's names are valid");
        let descriptions = gauges.into_iter().chain([cpu.desc()[0].clone()]).collect();
        let began = Timestamp::now().as_millisecond() as f64 / 1000.0;
        Self { descriptions, began }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::with_capacity(5);
        let read = [open_fds(), max_fds(), resident_bytes(), Some(self.began)];
        for (name, value) in GAUGES.into_iter().zip(read) {
            if let Some(value) = value {
                let gauge = table::level(name);
                gauge.set(value);
                families.extend(gauge.collect());
            }
        }
        if let Some(seconds) = cpu_seconds()
            && let Ok(counter) = prometheus::Counter::with_opts(table::counter_opts(CPU))
        {
            counter.inc_by(seconds);
            families.extend(counter.collect());
        }
        families
    }
}

const CPU: &str = "process_cpu_seconds_total";
const GAUGES: [&str; 4] = [
    "process_open_fds",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

fn open_fds() -> Option<f64> {
    // one of them is the look itself
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    Some((field(11)? + field(12)?) / TICKS)
}

/// A field of `/proc/self/stat` behind the name, see proc(5).
fn field(index: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(index)?.parse().ok()
}

/// Clock ticks in a second: part of Linux's ABI.
const TICKS: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        let families = Process::default().collect();
        assert_eq!(families.len(), 5, "{families:?}");
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1e6));
        assert!(open_fds() <= max_fds());
    }
}
