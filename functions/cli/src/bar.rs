//! Progress: a bar on a terminal, a plain line every few seconds otherwise.

use std::future::Future;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use logisedge_domain::format;
use logisedge_engine::{Progress, ProgressView};

const REDRAW: Duration = Duration::from_millis(120);
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows one piece of work.
pub(crate) struct Bar {
    what: String,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Bar {
    /// Begins to show `what` on standard error.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(
                "{msg:28} [{bar:30}] {decimal_bytes:>9}/{decimal_total_bytes} {decimal_bytes_per_sec}",
            ) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(what.clone());
            bar
        });
        Self {
            what,
            bar,
            last_line: Instant::now(),
        }
    }

    /// Shows how far it is.
    pub(crate) fn update(&mut self, view: ProgressView) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(view.bytes_expected.max(view.bytes));
                bar.set_position(view.bytes);
            }
            None if view.bytes > 0 && self.last_line.elapsed() >= PLAIN_LINE_EVERY => {
                self.last_line = Instant::now();
                let expected = match view.bytes_expected {
                    0 => String::new(),
                    n => format!(" of about {}", format::bytes(n)),
                };
                eprintln!("{}: {}{expected}", self.what, format::bytes(view.bytes));
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows `progress` while `work` goes on.
pub(crate) async fn during<T>(what: &str, progress: &Progress, work: impl Future<Output = T>) -> T {
    let mut bar = Bar::new(what);
    let mut redraw = tokio::time::interval(REDRAW);
    tokio::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = redraw.tick() => bar.update(progress.view()),
        }
    };
    bar.end();
    outcome
}
