//! Reading one table of the file, key by key, and collecting everything that is wrong with it.
//!
//! serde's derived readers stop at the first mistake. An operator wants all of them at once, each with its place, so a section asks for its
//! keys by name and type here. What it asked for is also what it knows: any other key is a mistake, and the nearest known one is named.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeArray, DeTable, DeValue};

use super::problem::{Position, Problem};
use super::schema::{Shape, Table};
use super::secret::Secret;
use crate::core::duration;
use crate::core::nearest::{nearest, shown};

/// The longest text a setting may have: longer than any URL, path or pattern that is meant.
const TEXT_LENGTH_MAX: usize = 1024;
/// The most values in a list. Far more than there are namespaces to grant or people to name.
const LIST_LENGTH_MAX: usize = 1000;

/// The file being read, and the problems found in it.
pub(super) struct Source<'i> {
    file: &'i Path,
    text: &'i str,
    /// The names of the Git remotes, once they are read: rules may name them.
    pub remotes: Vec<Box<str>>,
    /// What makes the configuration unusable.
    pub errors: Vec<Problem>,
    /// What closes a part of it, or can have no effect.
    pub warnings: Vec<Problem>,
}

/// One table, being read.
pub(super) struct Section<'s, 'i> {
    source: &'s mut Source<'i>,
    /// Its name with its place in the list: `git[0]`.
    name: String,
    span: Range<usize>,
    unread: DeTable<'i>,
    /// The keys asked for, and where they are written.
    asked: Vec<(Cow<'static, str>, Option<Range<usize>>)>,
    /// What was asked for, as the schema tells it.
    table: Table,
}

/// What is wrong with an entry of a table within a section.
pub(super) struct Wrong {
    /// Whether its key is, and not its value.
    pub is_key: bool,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

/// A setting's value and where it is written.
type Written<'i> = (Range<usize>, DeValue<'i>);

impl<'i> Source<'i> {
    pub(super) fn new(file: &'i Path, text: &'i str) -> Self {
        Self { file, text, remotes: Vec::new(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// Notes an error at a place of the text.
    pub(super) fn error(&mut self, span: &Range<usize>, key: &str, what: impl Display, advice: impl Display) {
        let problem = self.problem(span, key, &what, &advice);
        self.errors.push(problem);
    }

    fn problem(&self, span: &Range<usize>, key: &str, what: &dyn Display, advice: &dyn Display) -> Problem {
        Problem {
            file: self.file.to_owned(),
            at: Some(Position::of(self.text, span.start)),
            key: key.to_owned(),
            what: what.to_string(),
            advice: advice.to_string(),
        }
    }
}

impl<'s, 'i> Section<'s, 'i> {
    pub(super) fn new(source: &'s mut Source<'i>, name: String, span: Range<usize>, table: DeTable<'i>) -> Self {
        Self { source, name, span, unread: table, asked: Vec::new(), table: Table::default() }
    }

    /// What was asked for, of a section that was read to learn that.
    pub(super) fn into_table(self) -> Table {
        self.table
    }

    /// Every key that was not asked for is a mistake.
    pub(super) fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.unread) {
            let known = self.asked.iter().map(|(name, _)| name.as_ref());
            let advice = match nearest(key.get_ref(), known.clone()) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("known are: {}", known.collect::<Vec<_>>().join(", ")),
            };
            let path = format!("{}.{}", self.name, shown(key.get_ref()));
            self.source.error(&key.span(), &path, "there is no such setting", advice);
        }
    }

    // === noting what is wrong ===

    /// Notes an error at a key: where it is written, or at the section when it is not.
    pub(super) fn error(&mut self, key: &str, what: impl Display, advice: impl Display) {
        let span = self.place(key);
        self.source.error(&span, &format!("{}.{key}", self.name), what, advice);
    }

    /// Notes something that does not stop skeg.
    pub(super) fn warn(&mut self, key: &str, what: impl Display, advice: impl Display) {
        let problem = self.source.problem(&self.place(key), &format!("{}.{key}", self.name), &what, &advice);
        self.source.warnings.push(problem);
    }

    fn place(&self, key: &str) -> Range<usize> {
        let written = self.asked.iter().rev().find(|(name, _)| name == key).and_then(|(_, span)| span.clone());
        written.unwrap_or_else(|| self.span.clone())
    }

    // === plain values; `None` when absent, or wrong and noted ===

    fn take(&mut self, key: impl Into<Cow<'static, str>>, shape: Shape) -> Option<Written<'i>> {
        let key = key.into();
        self.table.add(&key, shape);
        self.find(key)
    }

    /// What stands at a key that is no setting, or none yet: so it is not in the schema.
    fn find(&mut self, key: impl Into<Cow<'static, str>>) -> Option<Written<'i>> {
        let key = key.into();
        let found = self.unread.remove(key.as_ref());
        self.asked.push((key, found.as_ref().map(toml::Spanned::span)));
        found.map(|value| (value.span(), value.into_inner()))
    }

    /// Whether the key is written. Does not read it.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.unread.contains_key(key) || self.asked.iter().any(|(name, span)| name == key && span.is_some())
    }

    /// The one of `keys` that is written; the first when none is.
    pub(super) fn written_of(&self, keys: &[&'static str; 2]) -> &'static str {
        let [first, second] = *keys;
        if !self.is_written(first) && self.is_written(second) { second } else { first }
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.text_of(key, Shape::Text)
    }

    fn text_of(&mut self, key: &'static str, shape: Shape) -> Option<String> {
        let (span, value) = self.take(key, shape)?;
        self.as_text(key, &span, value)
    }

    /// Notes an error when the key is not written. Does not read it.
    pub(super) fn require(&mut self, key: &'static str, advice: &str) {
        self.table.require(key);
        if !self.is_written(key) {
            self.error(key, "is missing", advice);
        }
    }

    /// A text that `parse` turns into something; its error is told with the text.
    pub(super) fn parsed<T, E: Display>(&mut self, key: &'static str, advice: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text(key)?;
        parse(&text).map_err(|error| self.error(key, format_args!("{}: {error}", quoted(&text)), advice)).ok()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text_of(key, Shape::word(words.iter().map(|(word, _)| *word)))?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|(word, _)| quoted(word)).collect();
            self.error(key, format_args!("{} is not known", quoted(&text)), format_args!("write {}", allowed.join(" or ")));
        }
        found
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let (span, value) = self.take(key, Shape::Flag)?;
        if let DeValue::Boolean(flag) = value {
            return Some(flag);
        }
        self.wrong_type(key, &span, &value, "true or false, without quotes");
        None
    }

    /// A whole number.
    pub(super) fn count(&mut self, key: &'static str, allowed: RangeInclusive<u32>) -> Option<u32> {
        let (span, value) = self.take(key, Shape::Count(allowed.clone()))?;
        let DeValue::Integer(integer) = &value else {
            self.wrong_type(key, &span, &value, "a whole number, without quotes");
            return None;
        };
        let count = u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|count| allowed.contains(count));
        if count.is_none() {
            let advice = format!("write a number from {} to {}", allowed.start(), allowed.end());
            self.error(key, format_args!("{integer} is out of range"), advice);
        }
        count
    }

    /// A length of time.
    pub(super) fn duration(&mut self, key: &'static str, allowed: RangeInclusive<Duration>) -> Option<Duration> {
        let (span, value) = self.take(key, Shape::Duration)?;
        if !matches!(value, DeValue::String(_)) {
            self.wrong_type(key, &span, &value, "a duration in quotes, such as \"5m\"");
            return None;
        }
        let text = self.as_text(key, &span, value)?;
        match duration::parse(&text) {
            Ok(duration) if allowed.contains(&duration) => return Some(duration),
            Ok(_) => {
                let advice = format!("write {} to {}", duration::write(*allowed.start()), duration::write(*allowed.end()));
                self.error(key, format_args!("{} is out of range", quoted(&text)), advice);
            }
            Err(error) => self.error(key, format_args!("{}: {error}", quoted(&text)), "write it as in \"5m\""),
        }
        None
    }

    /// A list of texts, each turned into something by `parse`. Mistakes in single values are noted where they are written.
    pub(super) fn list<T, E: Display>(&mut self, key: &'static str, advice: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<Vec<T>> {
        let (span, value) = self.take(key, Shape::List)?;
        let DeValue::Array(values) = value else {
            self.wrong_type(key, &span, &value, "a list of texts: [\"…\", \"…\"]");
            return None;
        };
        if values.len() > LIST_LENGTH_MAX {
            self.error(key, format_args!("has more than {LIST_LENGTH_MAX} values"), "write fewer");
            return None;
        }
        self.each(key, &values, advice, parse)
    }

    fn each<T, E: Display>(
        &mut self,
        key: &'static str,
        values: &DeArray<'i>,
        advice: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let mut parsed = Vec::with_capacity(values.len());
        for value in values {
            let Some(text) = self.as_text(key, &value.span(), value.get_ref().clone()) else { continue };
            match parse(&text) {
                Ok(one) => parsed.push(one),
                Err(error) => {
                    let path = format!("{}.{key}", self.name);
                    self.source.error(&value.span(), &path, format_args!("{}: {error}", quoted(&text)), advice);
                }
            }
        }
        (parsed.len() == values.len()).then_some(parsed)
    }

    /// A table of entries, each turned into something by `read`, which is given its key and its value as a text. Mistakes in single entries
    /// are noted where they are written.
    pub(super) fn entries<T>(
        &mut self,
        key: &'static str,
        shape: Shape,
        as_text: impl Fn(&mut Self, &str, &Range<usize>, DeValue<'i>) -> Option<String>,
        read: impl Fn(&Source<'i>, &str, &str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let (span, value) = self.take(key, shape)?;
        let DeValue::Table(table) = value else {
            self.wrong_type(key, &span, &value, "a table: { … = \"…\", … = \"…\" }");
            return None;
        };
        if table.len() > LIST_LENGTH_MAX {
            self.error(key, format_args!("has more than {LIST_LENGTH_MAX} entries"), "write fewer");
            return None;
        }
        let mut all = Vec::with_capacity(table.len());
        let count = table.len();
        for (name, value) in table {
            let (span, name_span, name) = (value.span(), name.span(), name.into_inner());
            let path = format!("{key}.{}", shown(&name));
            let Some(text) = as_text(self, &path, &span, value.into_inner()) else { continue };
            match read(self.source, &name, &text) {
                Ok(one) => all.push(one),
                Err(Wrong { is_key, what, advice }) => {
                    let path = format!("{}.{path}", self.name);
                    self.source.error(if is_key { &name_span } else { &span }, &path, what, advice);
                }
            }
        }
        (all.len() == count).then_some(all)
    }

    /// A text, and nothing else.
    pub(super) fn only_text(&mut self, key: &str, span: &Range<usize>, value: DeValue<'i>) -> Option<String> {
        self.as_text(key, span, value)
    }

    /// The text of a directive: what is a number, true or false, or a list elsewhere in the file may be written so here too.
    pub(super) fn directive_text(&mut self, key: &str, span: &Range<usize>, value: DeValue<'i>) -> Option<String> {
        match value {
            DeValue::Boolean(flag) => Some(flag.to_string()),
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().to_owned()),
            DeValue::Array(values) => {
                let texts: Vec<String> =
                    values.into_iter().map(|one| self.as_text(key, &one.span(), one.into_inner())).collect::<Option<_>>()?;
                Some(texts.join(";"))
            }
            value => self.as_text(key, span, value),
        }
    }

    /// Its number in the list of tables with its name, counted from 1.
    pub(super) fn number(&self) -> usize {
        let number = self.name.rsplit_once('[').and_then(|(_, number)| number.strip_suffix(']')?.parse::<usize>().ok());
        number.map_or(1, |number| number + 1)
    }

    /// A file or folder. A relative one is taken from the folder that the configuration is in.
    pub(super) fn path(&mut self, key: impl Into<Cow<'static, str>>) -> Option<PathBuf> {
        let key = key.into();
        let (span, value) = self.take(key.clone(), Shape::Text)?;
        let text = self.as_text(&key, &span, value)?;
        let folder = self.source.file.parent().unwrap_or(Path::new(""));
        Some(folder.join(text))
    }

    // === secrets ===

    /// The secret named by `<stem>_file` or `<stem>_env`. Writing it inline as `<stem>` is a mistake. One that cannot be read now closes
    /// what it guards: `closes` says what that is.
    pub(super) fn secret(&mut self, stem: &'static str, closes: &str) -> Option<Secret> {
        let (file_key, env_key) = (format!("{stem}_file"), format!("{stem}_env"));
        if self.unread.contains_key(stem) {
            self.find(stem);
            let advice = format!("put it in a file or an environment variable and name that with {file_key} or {env_key}");
            self.error(stem, "a secret is never written into the configuration", advice);
        }
        let (from_file, from_env) = (self.path(file_key.clone()).map(Secret::File), self.variable(&env_key));
        if from_file.is_some() && from_env.is_some() {
            self.error(&env_key, format_args!("{file_key} is set too"), "keep one of them");
        }
        let secret = from_file.or(from_env)?;
        if let Err(error) = secret.read() {
            let key = if matches!(secret, Secret::File(_)) { file_key } else { env_key };
            self.warn(&key, format_args!("{error}"), format_args!("{closes} stays closed until the secret is there"));
        }
        Some(secret)
    }

    fn variable(&mut self, key: &str) -> Option<Secret> {
        let (span, value) = self.take(key.to_owned(), Shape::Text)?;
        let name = self.as_text(key, &span, value)?;
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.bytes().all(is_word) && !name.starts_with(|first: char| first.is_ascii_digit()) {
            return Some(Secret::Env(name.into()));
        }
        // The text is not repeated: this is where a secret is written by mistake.
        self.error(key, "is not the name of an environment variable", "write letters, digits and underscores: the name, not the value");
        None
    }

    // === settings of other versions ===

    /// A setting that the documentation knows and this version does not have yet.
    pub(super) fn not_yet(&mut self, key: &'static str) {
        if self.find(key).is_some() {
            self.error(key, "is not available in this version", "remove it");
        }
    }

    // === types ===

    fn as_text(&mut self, key: &str, span: &Range<usize>, value: DeValue<'i>) -> Option<String> {
        let DeValue::String(text) = value else {
            self.wrong_type(key, span, &value, "a text in quotes");
            return None;
        };
        let what = match text.as_ref() {
            "" => "is empty",
            long if long.len() > TEXT_LENGTH_MAX => "is too long",
            odd if odd.contains(char::is_control) => "has control characters in it",
            _ => return Some(text.into_owned()),
        };
        self.source.error(span, &format!("{}.{key}", self.name), what, "write another value, or remove the line to take the default");
        None
    }

    fn wrong_type(&mut self, key: &str, span: &Range<usize>, value: &DeValue<'_>, expected: &str) {
        let path = format!("{}.{key}", self.name);
        self.source.error(span, &path, format_args!("is {}", kind(value)), format_args!("write {expected}"));
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A text in quotes, with everything unprintable escaped and cut to what a line holds. What may be a password is not shown.
fn quoted(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("\"***@{}\"", shown(host)),
        _ => format!("\"{}\"", shown(text)),
    }
}
