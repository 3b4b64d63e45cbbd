//! How much memory the process has asked for at most.

/// Peak of the process's address space, where the system tells it: what is asked for counts, touched
/// or not. <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmPeak:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
