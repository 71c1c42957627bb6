//! From a file to a [`Config`], or to everything that is wrong with it.

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::git::Remote;
use super::problem::{self, Problem};
use super::schema::Schema;
use super::section::{Section, Source, kind};
use crate::core::directives::Approver;
use crate::core::directives::skeg::Said;
use crate::core::nearest::{nearest, shown};

/// The most bytes a configuration may have: some ten thousand registries, and little enough to read at once.
const BYTES_MAX: u64 = 1024 * 1024;
/// The most tables of one name. They are compared with each other, so the cost is quadratic.
const ELEMENTS_MAX: usize = 500;

/// Sections that the documentation knows and this version does not have yet.
const NOT_YET: [&str; 3] = ["channel", "signer", "person"];

/// A section that is written at most once: `[name]`.
pub(super) trait Single: Default {
    /// Its name.
    const NAME: &'static str;
    /// Reads it; what is absent or wrong has its default.
    fn read(section: &mut Section<'_, '_>) -> Self;
}

/// A section that may be written several times: `[[name]]`.
pub(super) trait Element: Sized {
    /// Its name.
    const NAME: &'static str;
    /// Reads one; `None` when it lacks what it cannot be without.
    fn read(section: &mut Section<'_, '_>) -> Option<Self>;
    /// Whether it cannot stand beside an earlier one.
    fn clash(&self, earlier: &Self) -> Option<Clash>;
}

/// Why two tables of one name cannot stand beside each other.
pub(super) struct Clash {
    /// The key of the later one that is at fault.
    pub key: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

/// Reads the configuration at `path`: every mistake at once, or a configuration that can be used, with its warnings.
pub fn load(path: &Path) -> Result<Config, Vec<Problem>> {
    let text = read(path).map_err(|problem| vec![problem])?;
    parse(path, &text)
}

fn read(path: &Path) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(|error| {
        Problem::of_file(path, format!("cannot be read: {}", problem::said(error.kind())), "name another file with --config")
    })?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Problem::of_file(path, format!("is larger than {BYTES_MAX} bytes"), "name another file with --config"));
    }
    String::from_utf8(bytes).map_err(|_| Problem::of_file(path, "is not UTF-8 text", "save it as UTF-8"))
}

/// Reads the configuration in `text`; `file` is named in problems, and relative paths are taken from its folder.
pub fn parse(file: &Path, text: &str) -> Result<Config, Vec<Problem>> {
    let mut source = Source::new(file, text);
    let (table, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        // After a syntax error the rest may be misread, so only the syntax is told.
        source.error(&error.span().unwrap_or_default(), "", error.message(), "");
    }
    if !syntax.is_empty() {
        return Err(in_order(source.errors));
    }
    let mut document = Document { source, unread: table.into_inner(), asked: Vec::new(), schema: None };
    let mut config = document.config();
    let source = document.finish();
    if source.errors.is_empty() {
        config.warnings = in_order(source.warnings);
        config.warnings.extend(unheard(file, &config));
        return Ok(config);
    }
    Err(in_order(source.errors))
}

/// What may be written into a configuration, as a JSON Schema for editors: made of what reading one asks for.
pub fn schema() -> serde_json::Value {
    let source = Source::new(Path::new(""), "");
    let mut document = Document { source, unread: DeTable::new(), asked: Vec::new(), schema: Some(Schema::default()) };
    document.config();
    document.schema.unwrap_or_default().into_json()
}

/// Approvers whom nobody asks.
fn unheard(file: &Path, config: &Config) -> Vec<Problem> {
    if config.slack.is_some() {
        return Vec::new();
    }
    let is_of_slack = |approver: &Approver| approver.as_str().starts_with("slack");
    let of_rules =
        (0..).zip(&config.rules).filter(|(_, rule)| rule.said.iter().filter_map(Said::approvers).flatten().any(|one| is_of_slack(&one)));
    let of_section = config.approvals.approvers.iter().any(is_of_slack).then(|| "approvals.approvers".to_owned());
    let keys = of_section.into_iter().chain(of_rules.map(|(number, _): (usize, _)| format!("rule[{number}].directives.approvers")));
    let what = "names people of Slack, who cannot vote without [slack]";
    keys.map(|key| Problem { key, ..Problem::of_file(file, what, "configure [slack], or name a user: too") }).collect()
}

fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.at);
    problems
}

/// The whole file, being read.
struct Document<'i> {
    source: Source<'i>,
    unread: DeTable<'i>,
    asked: Vec<&'static str>,
    /// Where it is noted what a section asks for, when that is the question and not what a file says.
    schema: Option<Schema>,
}

impl<'i> Document<'i> {
    fn config(&mut self) -> Config {
        Config {
            server: self.single(),
            cluster: self.single(),
            keel: self.single(),
            poll: self.single(),
            settle: self.single(),
            limits: self.single(),
            registries_asked: self.single(),
            registries: self.elements(),
            approvals: self.single(),
            slack: self.single(),
            remotes: self.remotes(),
            rules: self.elements(),
            receivers: self.elements(),
            history: self.single(),
            telemetry: self.single(),
            warnings: Vec::new(),
        }
    }

    /// The Git remotes, which rules may name afterwards.
    fn remotes(&mut self) -> Vec<Remote> {
        let remotes: Vec<Remote> = self.elements();
        self.source.remotes = remotes.iter().map(|remote| remote.name.clone()).collect();
        remotes
    }

    /// Notes what a section asks for when it is read, if that is the question.
    fn describe<T>(&mut self, name: &'static str, is_list: bool, read: impl FnOnce(&mut Section<'_, 'i>) -> T) {
        if let Some(schema) = &mut self.schema {
            let mut section = Section::new(&mut self.source, name.to_owned(), 0..0, DeTable::new());
            read(&mut section);
            schema.add(name, is_list, section.into_table());
        }
    }

    fn take(&mut self, name: &'static str) -> Option<(Range<usize>, DeValue<'i>)> {
        self.asked.push(name);
        let (key, value) = self.unread.remove_entry(name)?;
        Some((key.span(), value.into_inner()))
    }

    fn single<T: Single>(&mut self) -> T {
        self.describe(T::NAME, false, T::read);
        match self.take(T::NAME) {
            None => T::default(),
            Some((span, DeValue::Table(table))) => {
                let mut section = Section::new(&mut self.source, T::NAME.to_owned(), span, table);
                let read = T::read(&mut section);
                section.finish();
                read
            }
            Some((span, value)) => {
                let advice = format!("write [{}] once, above its settings", T::NAME);
                self.source.error(&span, T::NAME, format_args!("is {}", kind(&value)), advice);
                T::default()
            }
        }
    }

    fn elements<T: Element>(&mut self) -> Vec<T> {
        self.describe(T::NAME, true, T::read);
        let Some((span, value)) = self.take(T::NAME) else { return Vec::new() };
        let DeValue::Array(tables) = value else {
            let advice = format!("write [[{}]] above the settings of each", T::NAME);
            self.source.error(&span, T::NAME, format_args!("is {}", kind(&value)), advice);
            return Vec::new();
        };
        if tables.len() > ELEMENTS_MAX {
            self.source.error(&span, T::NAME, format_args!("is there more than {ELEMENTS_MAX} times"), "write fewer");
            return Vec::new();
        }
        let mut read = Vec::with_capacity(tables.len());
        for (place, table) in tables.iter().enumerate() {
            read.extend(self.element(place, table, &read));
        }
        read
    }

    fn element<T: Element>(&mut self, place: usize, table: &Spanned<DeValue<'i>>, earlier: &[T]) -> Option<T> {
        let name = format!("{}[{place}]", T::NAME);
        let DeValue::Table(entries) = table.get_ref() else {
            let advice = format!("write [[{}]] above the settings of each", T::NAME);
            self.source.error(&table.span(), &name, format_args!("is {}", kind(table.get_ref())), advice);
            return None;
        };
        let mut section = Section::new(&mut self.source, name, table.span(), entries.clone());
        let one = T::read(&mut section);
        if let Some(clash) = one.as_ref().and_then(|one| earlier.iter().find_map(|other| one.clash(other))) {
            section.error(clash.key, clash.what, clash.advice);
        }
        section.finish();
        one
    }

    /// Every section that was not asked for is a mistake.
    fn finish(mut self) -> Source<'i> {
        for (key, _) in std::mem::take(&mut self.unread) {
            let name: &str = key.get_ref();
            if NOT_YET.contains(&name) {
                self.source.error(&key.span(), name, "is not available in this version", "remove the section");
                continue;
            }
            let advice = match nearest(name, self.asked.iter().copied()) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("known are: {}", self.asked.join(", ")),
            };
            self.source.error(&key.span(), &shown(name), "there is no such section", advice);
        }
        self.source
    }
}
