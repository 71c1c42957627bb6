//! `skeg webhook decode`: what skeg would read from a delivery, for those who set a webhook up.
//!
//! It asks nobody and proves nothing: who sent the delivery is not checked, and neither is whether the image exists.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use super::output::Form;
use crate::core::image::{Digest, Repository};
use crate::sources::webhook::{Delivery, Hinted, SOURCES, Settings, WebhookSource, source};

/// The delivery was read.
const DONE: u8 = 0;
/// The body is not of the source.
const NOT_DONE: u8 = 1;
/// The question itself is wrong.
const WRONG_USAGE: u8 = 2;
/// The longest body and the longest file of headers: what the daemon takes, so that the two agree on what is too long.
const BYTES_MAX: usize = 1 << 20;
/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Show what a webhook delivery would be read as
#[derive(clap::Args, Debug)]
pub struct WebhookDecode {
    /// The body format
    #[arg(long, value_name = "NAME", value_parser = source_named)]
    source: Named,
    /// A file with the request's headers, one `Name: value` in a line
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    /// One header more; may be repeated
    #[arg(long = "header", value_name = "K: V", value_parser = header)]
    more_headers: Vec<(HeaderName, HeaderValue)>,
    /// The registry of deliveries that do not name it, host and optional port
    #[arg(long, value_name = "HOST", value_parser = registry)]
    registry: Option<Box<str>>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// The body; standard input when it is `-` or absent
    #[arg(value_name = "FILE", default_value = STANDARD_INPUT)]
    body: PathBuf,
}

/// A source of the table, which is not printable itself.
#[derive(Clone, Copy)]
struct Named(&'static dyn WebhookSource);

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

/// `-o json`.
#[derive(Serialize)]
struct Printed<'a> {
    hints: Vec<PrintedHint<'a>>,
    ignored: Vec<PrintedIgnored>,
    reply: Option<&'a Value>,
}

#[derive(Serialize)]
struct PrintedHint<'a> {
    repository: &'a str,
    tag: &'a str,
    digest: Option<&'a str>,
}

#[derive(Serialize)]
struct PrintedIgnored {
    reason: &'static str,
}

impl WebhookDecode {
    /// Carries it out; returns the exit code, or why the answer cannot be shown.
    pub fn run(&self, input: &mut dyn Read, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
        let (headers, body) = match self.request(input) {
            Ok(request) => request,
            Err(problem) => {
                writeln!(err, "error: {problem}")?;
                return Ok(WRONG_USAGE);
            }
        };
        let source = self.source.0;
        if body.len() > BYTES_MAX {
            writeln!(err, "error: not a delivery of the source {}: the body is longer than {BYTES_MAX} bytes", source.name())?;
            return Ok(NOT_DONE);
        }
        let settings = Settings { registry: self.registry.clone() };
        match source.parse(&headers, &body, &settings) {
            Ok(delivery) => {
                match self.output {
                    Form::Text => print_text(&delivery, out)?,
                    Form::Json => print_json(&delivery, out)?,
                }
                out.flush()?;
                Ok(DONE)
            }
            Err(rejected) => {
                writeln!(err, "error: not a delivery of the source {}: {rejected}", source.name())?;
                Ok(NOT_DONE)
            }
        }
    }

    /// Headers and body as they are given; a body that is too long comes with one byte more than is allowed.
    fn request(&self, input: &mut dyn Read) -> Result<(HeaderMap, Vec<u8>), String> {
        let mut headers = match &self.headers {
            None => HeaderMap::new(),
            Some(file) => header_file(file)?,
        };
        headers.extend(self.more_headers.iter().cloned().map(|(name, value)| (Some(name), value)));
        let body = if self.body.as_os_str() == STANDARD_INPUT { bounded(input) } else { read(&self.body) };
        let body = body.map_err(|error| format!("{}: {error}", self.body.display()))?;
        Ok((headers, body))
    }
}

fn print_text(delivery: &Delivery, out: &mut dyn Write) -> io::Result<()> {
    for Hinted { repository, tag, digest, .. } in &delivery.hints {
        match digest {
            Some(digest) => writeln!(out, "{repository}:{tag}@{digest}")?,
            None => writeln!(out, "{repository}:{tag}")?,
        }
    }
    for ignored in &delivery.ignored {
        writeln!(out, "ignored: {}", ignored.reason)?;
    }
    if let Some(reply) = &delivery.reply {
        writeln!(out, "reply: {reply}")?;
    } else if delivery.hints.is_empty() && delivery.ignored.is_empty() {
        writeln!(out, "nothing: it tells of no event")?;
    }
    Ok(())
}

fn print_json(delivery: &Delivery, out: &mut dyn Write) -> io::Result<()> {
    let hints = delivery.hints.iter().map(|hinted| PrintedHint {
        repository: hinted.repository.as_str(),
        tag: hinted.tag.as_str(),
        digest: hinted.digest.as_ref().map(Digest::as_str),
    });
    let ignored = delivery.ignored.iter().map(|ignored| PrintedIgnored { reason: ignored.reason });
    let printed = Printed { hints: hints.collect(), ignored: ignored.collect(), reply: delivery.reply.as_ref() };
    serde_json::to_writer(&mut *out, &printed)?;
    writeln!(out)
}

fn source_named(name: &str) -> Result<Named, String> {
    let known = || SOURCES.map(WebhookSource::name).join(", ");
    source(name).map(Named).ok_or_else(|| format!("no such source; known are {}", known()))
}

fn registry(host: &str) -> Result<Box<str>, &'static str> {
    let repository = Repository::new(host, "any/any").map_err(|_| "not a host with an optional port")?;
    Ok(repository.registry().into())
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let (name, value) = line.split_once(':').ok_or("not of the form `Name: value`")?;
    let name = name.trim().parse().map_err(|_| "not the name of a header")?;
    let value = value.trim().parse().map_err(|_| "not the value of a header")?;
    Ok((name, value))
}

/// The headers of a file. Lines that begin with a colon are of the request line (`:method`), which no source here looks at.
fn header_file(file: &Path) -> Result<HeaderMap, String> {
    let shown = file.display();
    let text = read(file).map_err(|error| format!("{shown}: {error}"))?;
    let text = String::from_utf8(text).map_err(|_| format!("{shown}: not text"))?;
    if text.len() > BYTES_MAX {
        return Err(format!("{shown}: longer than {BYTES_MAX} bytes"));
    }
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with(':') {
            continue;
        }
        let (name, value) = header(line).map_err(|problem| format!("{shown}:{}: {problem}", number + 1))?;
        headers.try_append(name, value).map_err(|_| format!("{shown}: too many headers"))?;
    }
    Ok(headers)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    bounded(&mut File::open(file)?)
}

/// What there is, and at most one byte more than is allowed.
fn bounded(input: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        decode: WebhookDecode,
    }

    const NATIVE: &str = r#"{"name":"nginx","tag":"1.27.0"}"#;

    fn run(arguments: &[&str], input: &str) -> (u8, String, String) {
        let line = Line::try_parse_from(["decode"].iter().chain(arguments)).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = line.decode.run(&mut input.as_bytes(), &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[track_caller]
    fn check(arguments: &[&str], input: &str, expected: (u8, &str, &str)) {
        let (code, out, err) = run(arguments, input);
        assert_eq!((code, out.as_str(), err.as_str()), expected, "{arguments:?}");
    }

    #[test]
    fn a_delivery_is_shown_to_people_and_to_programs() {
        check(&["--source", "native"], NATIVE, (0, "docker.io/library/nginx:1.27.0\n", ""));
        let json =
            "{\"hints\":[{\"repository\":\"docker.io/library/nginx\",\"tag\":\"1.27.0\",\"digest\":null}],\"ignored\":[],\"reply\":null}\n";
        check(&["--source", "native", "-o", "json", "-"], NATIVE, (0, json, ""));
        let pull = r#"{"events":[{"action":"pull"}]}"#;
        check(&["--source", "registry"], pull, (0, "ignored: a pull\n", ""));
        let json = "{\"hints\":[],\"ignored\":[{\"reason\":\"a pull\"}],\"reply\":null}\n";
        check(&["--source", "registry"], r#"{"events":[]}"#, (0, "nothing: it tells of no event\n", ""));
        check(&["--source", "registry", "-o", "json"], pull, (0, json, ""));
    }

    #[test]
    fn a_body_of_another_source_is_one_line_of_error() {
        let message = "error: not a delivery of the source registry: the body has no list of events\n";
        check(&["--source", "registry"], NATIVE, (1, "", message));
        check(&["--source", "registry", "-o", "json"], NATIVE, (1, "", message));
        let long = " ".repeat(BYTES_MAX + 10);
        let message = format!("error: not a delivery of the source native: the body is longer than {BYTES_MAX} bytes\n");
        check(&["--source", "native"], &long, (1, "", &message));
        check(&["--source", "native"], "", (1, "", "error: not a delivery of the source native: the body is empty\n"));
    }

    #[test]
    fn the_registry_may_be_named_where_the_body_does_not() {
        let push = r#"{"events":[{"action":"push","target":{"repository":"team/app","tag":"1.0.0"}}]}"#;
        check(&["--source", "registry", "--registry", "Registry.Test:5000"], push, (0, "registry.test:5000/team/app:1.0.0\n", ""));
    }

    #[test]
    fn files_are_read_and_their_mistakes_are_placed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let body = write("body.json", NATIVE);
        let good = write("good.headers", ":method: PUT\nContent-Type: application/json\r\n\nX-Any: a: b");
        check(&["--source", "native", "--headers", &good, "--header", "X-More: 1", &body], "", (0, "docker.io/library/nginx:1.27.0\n", ""));
        let wrong = write("wrong.headers", "Content-Type: application/json\nnonsense\n");
        let message = format!("error: {wrong}:2: not of the form `Name: value`\n");
        check(&["--source", "native", "--headers", &wrong, &body], "", (2, "", &message));
        let missing = folder.path().join("missing").to_str().unwrap().to_owned();
        let (code, out, err) = run(&["--source", "native", &missing], "");
        assert!(code == 2 && out.is_empty() && err.starts_with(&format!("error: {missing}: ")), "{code} {err}");
    }

    #[test]
    fn wrong_usage_names_what_is_known() {
        let problem = |arguments: &[&str]| Line::try_parse_from(["decode"].iter().chain(arguments)).err().unwrap().to_string();
        assert!(problem(&["--source", "nonsense"]).contains("known are native, registry"));
        assert!(problem(&[]).contains("--source"));
        assert!(problem(&["--source", "native", "--registry", "a/b"]).contains("not a host"));
        assert!(problem(&["--source", "native", "--header", "x"]).contains("Name: value"));
    }
}
