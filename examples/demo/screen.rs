//! What the demo prints: numbered steps, short sentences, aligned figures. Colour and progress only on a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::environment::variable;

const WIDTH: usize = 80;
/// Where what programs print is cut.
const WIDEST: usize = 100;
const INDENT: &str = "    ";
/// Where the figures end.
const FIGURES: usize = 76;
/// How often progress is told where it can't be redrawn.
const PLAIN_PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Width of a bar.
const BAR: usize = 16;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "1;31";

pub(crate) struct Screen {
    is_terminal: bool,
    has_colour: bool,
    steps: u32,
    wrong: u32,
    has_progress: bool,
    told_progress: Instant,
    last_progress: String,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            is_terminal,
            has_colour: is_terminal && variable("NO_COLOR").is_none(),
            steps: 0,
            wrong: 0,
            has_progress: false,
            told_progress: Instant::now(),
            last_progress: String::new(),
        }
    }

    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Checks that failed so far.
    pub(crate) const fn wrong(&self) -> u32 {
        self.wrong
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, title: &str) {
        self.steps += 1;
        let title = self.styled(BOLD, &format!("{:>2}  {title}", self.steps));
        self.line("");
        self.line(&title);
        self.told_progress = Instant::now();
    }

    pub(crate) fn title(&mut self, title: &str) {
        let title = self.styled(BOLD, title);
        self.line("");
        self.line(&title);
    }

    /// A paragraph.
    pub(crate) fn say(&mut self, text: &str) {
        for line in wrapped(text, WIDTH - INDENT.len()) {
            self.line(&format!("{INDENT}{line}"));
        }
    }

    /// A fact with its figure.
    pub(crate) fn figure(&mut self, fact: &str, figure: &str) {
        self.line(&aligned(INDENT, fact, figure));
    }

    /// A fact that has to be so; otherwise the demo fails.
    pub(crate) fn check(&mut self, is_so: bool, fact: &str, figure: &str) {
        let (mark, style) = if is_so { ("✓", GREEN) } else { ("✗", RED) };
        if !is_so {
            self.wrong += 1;
        }
        // Aligned before it is coloured: escape sequences have no width.
        let rest = aligned(INDENT, fact, figure).split_off(INDENT.len());
        let mark = self.styled(style, mark);
        self.line(&format!("  {mark} {rest}"));
    }

    /// What a program printed. A wide table is moved to the left; what is still too wide is cut, and ends in “…”.
    pub(crate) fn quote(&mut self, command: &str, text: &str) {
        let command = self.styled(BOLD, &format!("$ {command}"));
        self.line(&format!("{INDENT}{command}"));
        let widest = text.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0);
        let indent = " ".repeat(WIDEST.saturating_sub(widest).min(INDENT.len()));
        for line in text.trim_end().lines() {
            let mut line = format!("{indent}{line}").trim_end().to_owned();
            if line.chars().count() > WIDEST {
                line = line.chars().take(WIDEST - 1).collect::<String>() + "…";
            }
            self.line(&line);
        }
    }

    pub(crate) fn note(&mut self, text: &str) {
        for line in wrapped(text, WIDTH - INDENT.len()) {
            let line = self.styled(DIM, &line);
            self.line(&format!("{INDENT}{line}"));
        }
    }

    /// How far something is; replaced by what comes next.
    pub(crate) fn progress(&mut self, done: u64, all: u64, text: &str) {
        let text = format!("{} of {} {text}", count(done), count(all));
        if self.is_terminal {
            let width = u64::try_from(BAR).unwrap_or_default();
            let filled = usize::try_from(done * width / all.max(1)).unwrap_or(BAR).min(BAR);
            let bar = format!("{}{}", "━".repeat(filled), "─".repeat(BAR - filled));
            let line: String = format!("{INDENT}{bar}  {text}").chars().take(WIDTH - 1).collect();
            let mut out = io::stdout();
            // Nobody is told when the terminal is gone.
            write!(out, "\r\u{1b}[K{line}").and_then(|()| out.flush()).ok();
            self.has_progress = true;
        } else if self.told_progress.elapsed() >= PLAIN_PROGRESS_EVERY && self.last_progress != text
        {
            self.told_progress = Instant::now();
            self.line(&format!("{INDENT}… {text}"));
            self.last_progress = text;
        }
    }

    pub(crate) fn line(&mut self, text: &str) {
        let clear = if std::mem::take(&mut self.has_progress) { "\r\u{1b}[K" } else { "" };
        let mut out = io::stdout();
        writeln!(out, "{clear}{text}").and_then(|()| out.flush()).ok();
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.has_colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The figure at the right edge; a fact that leaves no room for it is wrapped.
fn aligned(indent: &str, fact: &str, figure: &str) -> String {
    let room = FIGURES - indent.len() - figure.chars().count() - 2;
    let mut lines = wrapped(fact, room);
    let last = lines.pop().unwrap_or_default();
    let mut text = String::new();
    for line in lines {
        text.push_str(&format!("{indent}{line}\n"));
    }
    let gap = FIGURES.saturating_sub(indent.len() + last.chars().count() + figure.chars().count());
    text.push_str(&format!("{indent}{last}{}{figure}", " ".repeat(gap)));
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// `7,912`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `7,912 rows`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `84 ms`, `4.3 s`.
pub(crate) fn took(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
