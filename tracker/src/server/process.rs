//! What the system tells of this process, under the names that Prometheus clients use everywhere.

use std::fs;

/// Name without `process_`, kind, help and value of each figure that the system tells.
pub(super) fn figures() -> Vec<(&'static str, &'static str, &'static str, f64)> {
    let found = [
        ("resident_memory_bytes", "gauge", "Resident memory.", resident_bytes()),
        ("cpu_seconds_total", "counter", "CPU time of all threads.", cpu_seconds()),
        ("open_fds", "gauge", "Open file descriptors.", open_descriptors()),
        ("max_fds", "gauge", "Most file descriptors that may be open.", most_descriptors()),
    ];
    found.into_iter().filter_map(|(name, kind, help, value)| Some((name, kind, help, value?))).collect()
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    /// Ticks a second, on every Linux that matters.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may contain anything; what follows does not.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

fn open_descriptors() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

fn most_descriptors() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_all_of_them() {
        let figures = figures();
        assert_eq!(figures.len(), 4);
        let value = |name| figures.iter().find(|figure| figure.0 == name).map(|figure| figure.3).unwrap();
        assert!(value("resident_memory_bytes") > 1e5);
        assert!(value("open_fds") >= 3.0 && value("open_fds") < value("max_fds"));
    }
}
