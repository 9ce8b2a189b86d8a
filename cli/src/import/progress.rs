//! A progress bar on stderr; nothing when that is no terminal.

use std::fmt::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar with rate and remaining time.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts a bar over a number of events.
    pub(crate) fn over(events: u64, name: &str) -> Self {
        const TEMPLATE: &str =
            "{prefix} [{bar:30}] {human_pos}/{human_len} events, {rate}, {eta} left{msg}";
        let bar = ProgressBar::with_draw_target(Some(events), ProgressDrawTarget::stderr());
        let style = match ProgressStyle::with_template(TEMPLATE) {
            Ok(style) => style.with_key("rate", write_rate),
            Err(_) => ProgressStyle::default_bar(),
        };
        bar.set_style(style.progress_chars("=> "));
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

fn write_rate(state: &ProgressState, text: &mut dyn Write) {
    // Writing into memory cannot fail.
    let _ = write!(text, "{:.0}/s", state.per_sec());
}
