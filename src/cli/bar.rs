//! How far long work is: a bar on standard error, where that is a terminal. Everywhere else nothing is written.
//!
//! Lines of the log go around it ([`Around`]), and it is gone before results are written ([`clear`]).

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle, WeakProgressBar};

use crate::ops::progress::{Beat, Meter};

/// What stands in the line: the step, the bar, how many of how many, and for how long still.
const COUNTED: &str = "{msg} {wide_bar} {human_pos}/{human_len} {eta}";
/// The same where nobody knows how many there are.
const UNCOUNTED: &str = "{spinner} {msg} {human_pos} {elapsed}";

/// The bar that is shown.
static SHOWN: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

fn shown() -> Option<ProgressBar> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
}

/// Removes the bar until a next step begins.
pub(super) fn clear() {
    if let Some(bar) = shown() {
        bar.finish_and_clear();
    }
}

/// Writes whole lines above the bar, where there is one.
pub(super) struct Around<W>(pub(super) W);

impl<W: Write> Write for Around<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match shown() {
            Some(bar) => bar.suspend(|| self.0.write(lines)),
            None => self.0.write(lines),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The bar goes with this.
struct Bar(ProgressBar);

impl Bar {
    fn shown_on(bar: ProgressBar) -> Self {
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
        Self(bar)
    }
}

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
        beat.watched_by(Arc::new(Bar::shown_on(ProgressBar::no_length())))
    } else {
        beat
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal that remembers what was done to it, in order.
    #[derive(Debug, Clone, Default)]
    struct Terminal(Arc<Mutex<Vec<String>>>);

    impl Terminal {
        fn note(&self, what: impl Into<String>) -> io::Result<()> {
            self.0.lock().unwrap().push(what.into());
            Ok(())
        }

        /// What stands on its last line: what was written since it was last cleared.
        fn last_line(&self) -> String {
            let done = self.0.lock().unwrap();
            let cleared = done.iter().rposition(|what| what == "clear").map_or(0, |at| at + 1);
            done[cleared..].concat()
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            self.note(line)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.note(text)
        }

        fn clear_line(&self) -> io::Result<()> {
            self.note("clear")
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Standard error of a log: what stands before it on its line, and the line itself.
    struct Log<'a>(&'a Terminal, Vec<String>);

    impl Write for Log<'_> {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.1.push(self.0.last_line());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// One test of both, since there is one bar in a process.
    #[test]
    fn lines_of_the_log_go_around_the_bar_and_results_come_after_it() {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bar = Bar::shown_on(ProgressBar::with_draw_target(None, target));
        bar.begin("persons", Some(10));
        bar.add(3);
        assert!(terminal.last_line().contains("persons"), "{terminal:?}");
        let mut log = Around(Log(&terminal, Vec::new()));
        log.write_all(b"a line\n").unwrap();
        assert_eq!(log.0.1, [""], "nothing stands on its line: {terminal:?}");
        assert!(terminal.last_line().contains("persons"), "the bar is drawn again: {terminal:?}");
        clear();
        assert_eq!(terminal.last_line().trim(), "", "{terminal:?}");
        bar.begin("tags", Some(3));
        assert!(terminal.last_line().contains("tags"), "{terminal:?}");
        drop(bar);
        assert_eq!(terminal.last_line().trim(), "", "{terminal:?}");
    }
}
