//! Logs: JSON lines for CloudWatch, plain lines for a terminal. `RUST_LOG` chooses what.

use tracing_subscriber::EnvFilter;

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}

/// One JSON object a line on standard output, as CloudWatch reads it. For functions.
pub fn trace_to_cloudwatch() {
    // A second call (in a test) changes nothing and is no failure.
    let _ = tracing_subscriber::fmt()
        .json()
        .with_current_span(false)
        .with_ansi(false)
        .without_time()
        .with_env_filter(filter("info"))
        .try_init();
}

/// Plain lines on standard error. For the command line.
pub fn trace_to_stderr() {
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(filter("error"))
        .try_init();
}
