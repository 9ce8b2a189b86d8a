//! A progress bar on stderr; nothing when that is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar with rate and remaining time.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts a bar over a number of events.
    pub(crate) fn over(events: u64, name: &str) -> Self {
        const TEMPLATE: &str =
            "{prefix} [{bar:30}] {human_pos}/{human_len} events, {per_sec:.0}, {eta} left{msg}";
        let bar = ProgressBar::with_draw_target(Some(events), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(TEMPLATE).map_or_else(
            |_| ProgressStyle::default_bar(),
            |style| style.progress_chars("=> "),
        );
        bar.set_style(style);
        bar.set_prefix(name.to_owned());
        Self { bar }
    }

    /// Shows how far it is.
    pub(crate) fn show(&self, events: u64, retries: u64) {
        self.bar.set_position(events);
        if retries > 0 {
            self.bar.set_message(format!(", {retries} retries"));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
