//! How far long work is: a bar on standard error, where that is a terminal. Everywhere else nothing is written.

use std::io::IsTerminal as _;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use crate::ops::progress::{Beat, Meter};

/// What stands in the line: the step, the bar, how many of how many, and for how long still.
const COUNTED: &str = "{msg} {wide_bar} {human_pos}/{human_len} {eta}";
/// The same where nobody knows how many there are.
const UNCOUNTED: &str = "{spinner} {msg} {human_pos} {elapsed}";

/// The bar goes with this.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Meter for Bar {
    fn begin(&self, step: &str, all: Option<u64>) {
        let template = if all.is_some() { COUNTED } else { UNCOUNTED };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
        self.0.reset();
        match all {
            Some(all) => self.0.set_length(all),
            None => self.0.unset_length(),
        }
        self.0.set_message(step.to_owned());
        self.0.force_draw();
    }

    fn add(&self, done: u64) {
        self.0.inc(done);
    }
}

/// What long work of a command shows its progress with.
pub(super) fn beat() -> Beat {
    let beat = Beat::default();
    if std::io::stderr().is_terminal() {
        beat.watched_by(Arc::new(Bar(ProgressBar::no_length())))
    } else {
        beat
    }
}
