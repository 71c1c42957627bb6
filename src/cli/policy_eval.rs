//! `skeg policy eval`: what a policy makes of a list of tags, without cluster and registry.
//!
//! The list is data: each line is taken byte for byte up to the tab or the line's end, and need not be a legal tag.

mod keel;

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::tag_list::{Line, TagList, TagListError};
use crate::core::directives;
use crate::core::image::{Digest, Pin};
use crate::core::nearest::shown;
use crate::core::policy::{Asked, Evaluation, Filter, Patterns, Policy, Prerelease, Selection, evaluate};

/// Says what a policy makes of a list of tags.
#[derive(Args, Clone, Debug)]
pub struct PolicyEval {
    /// The policy, such as minor or semver:^1.4
    #[arg(long, value_name = "POLICY", allow_hyphen_values = true)]
    policy: String,
    /// The tag that runs, with its digest when that is known
    #[arg(long, value_name = "TAG[@DIGEST]", allow_hyphen_values = true)]
    current: Option<String>,
    /// The tags, one per line; after a tab the build time, after another the digest; - reads standard input
    #[arg(long, value_name = "FILE|-", allow_hyphen_values = true)]
    tags: PathBuf,
    /// Whether pre-releases count: same, no or yes
    #[arg(long, value_name = "WHICH")]
    prerelease: Option<String>,
    /// Which tags the policy may look at: glob:… or regexp:…, several with ;
    #[arg(long, value_name = "PATTERNS", allow_hyphen_values = true)]
    allow_tags: Option<String>,
    /// Which tags the policy may not look at
    #[arg(long, value_name = "PATTERNS", allow_hyphen_values = true)]
    ignore_tags: Option<String>,
    /// How old a tag must be, such as 2h, counted from its build time to now
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    min_age: Option<String>,
    /// Keel's own answers, faults included: yes or no to each tag that a webhook names, and what its poll picks
    #[arg(long)]
    keel: bool,
    /// Keel's matchTag: true or false
    #[arg(long, value_name = "BOOL")]
    match_tag: Option<String>,
    /// Keel's matchPreRelease: true or false
    #[arg(long, value_name = "BOOL")]
    match_prerelease: Option<String>,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// How the answer is written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Form {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PolicyEvalError {
    /// An option is wrong.
    #[error("--{option}: {problem}")]
    Option {
        /// Its name without the hyphens.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The list cannot be used.
    #[error(transparent)]
    List(#[from] TagListError),
    /// The answer cannot be written.
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl PolicyEvalError {
    /// The exit code of PRODUCT's contract: 2 for wrong usage, 1 when the answer could not be given.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Option { .. } | Self::List(_) => 2,
            Self::Output(_) => 1,
        }
    }
}

/// The answer as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    candidate: Option<&'a str>,
    reason: String,
    verdicts: Vec<TagAnswer<'a>>,
}

/// One tag's part of the answer.
#[derive(Serialize)]
struct TagAnswer<'a> {
    tag: &'a str,
    verdict: &'static str,
    reason: Cow<'static, str>,
}

impl PolicyEval {
    /// Evaluates and writes the answer to `out`. `stdin` is read when the list is `-`. Having no candidate is an answer, not an error.
    pub fn run(&self, stdin: &mut dyn Read, out: &mut dyn Write) -> Result<(), PolicyEvalError> {
        if self.keel {
            let list = TagList::read(&self.tags, stdin)?;
            let tags: Vec<_> = list.lines()?.into_iter().map(|line| line.tag).collect();
            write_answer(&self.keel_answer(&tags)?, self.output, out)?;
            return out.flush().map_err(PolicyEvalError::Output);
        }
        self.refuse_keels_options()?;
        let selection = self.selection()?;
        let (current, current_digest) = self.current()?;
        if current.is_none() && selection.policy.needs_current() {
            return Err(wrong("current", format!("policy `{}` is relative to the current tag: name it", selection.policy)));
        }
        let list = TagList::read(&self.tags, stdin)?;
        let lines = list.lines()?;
        let tags: Vec<_> = lines.iter().map(Line::listed).collect();
        let asked = Asked { current, digest: current_digest.as_ref(), now: Some(Timestamp::now()), ..Asked::default() };
        let evaluation = evaluate(&selection, &asked, &tags);
        write_answer(&answer(&evaluation), self.output, out)?;
        out.flush().map_err(PolicyEvalError::Output)
    }

    fn selection(&self) -> Result<Selection, PolicyEvalError> {
        let patterns = |option, text: &Option<String>| {
            let read = |text| Patterns::parse(text).map_err(|error| wrong(option, error.to_string()));
            text.as_deref().map(read).transpose()
        };
        Ok(Selection {
            policy: Policy::parse(&self.policy).map_err(|error| wrong("policy", error.to_string()))?,
            filter: Filter {
                allow: patterns("allow-tags", &self.allow_tags)?,
                ignore: patterns("ignore-tags", &self.ignore_tags)?,
                min_age: self.min_age.as_deref().map(min_age).transpose()?.filter(|age| !age.is_zero()),
            },
            prerelease: self.prerelease.as_deref().map(prerelease).transpose()?,
            pin: Pin::Tag,
        })
    }

    /// The current tag, which may be empty, and its digest.
    fn current(&self) -> Result<(Option<&str>, Option<Digest>), PolicyEvalError> {
        let Some((tag, digest)) = self.current.as_deref().and_then(|current| current.split_once('@')) else {
            return Ok((self.current.as_deref(), None));
        };
        let digest = digest.parse().map_err(|error| wrong("current", format!("`{}`: {error}", shown(digest))))?;
        Ok((Some(tag), Some(digest)))
    }
}

fn wrong(option: &'static str, problem: String) -> PolicyEvalError {
    PolicyEvalError::Option { option, problem }
}

fn prerelease(text: &str) -> Result<Prerelease, PolicyEvalError> {
    Prerelease::parse(text).ok_or_else(|| {
        let names = Prerelease::NAMES.map(|(_, name)| name).join(", ");
        wrong("prerelease", format!("`{}` is none of {names}", shown(text)))
    })
}

fn min_age(text: &str) -> Result<Duration, PolicyEvalError> {
    directives::skeg::min_age(text).map_err(|problem| wrong("min-age", problem))
}

fn answer<'a>(evaluation: &Evaluation<'a>) -> Answer<'a> {
    let verdicts = evaluation.verdicts().map(|(tag, verdict, reason)| TagAnswer { tag, verdict: verdict.as_str(), reason }).collect();
    Answer { candidate: evaluation.candidate(), reason: evaluation.reason(), verdicts }
}

fn write_answer(answer: &Answer<'_>, form: Form, out: &mut dyn Write) -> io::Result<()> {
    match form {
        Form::Text => write_text(answer, out),
        Form::Json => {
            serde_json::to_writer(&mut *out, answer)?;
            writeln!(out)
        }
    }
}

/// Lines for people. Tags are escaped here: the list may hold what a terminal would obey.
fn write_text(answer: &Answer<'_>, out: &mut dyn Write) -> io::Result<()> {
    let width = answer.verdicts.iter().map(|one| shown(one.tag).chars().count()).max().unwrap_or(0);
    writeln!(out, "candidate  {}", answer.candidate.map_or_else(|| "none".to_owned(), shown))?;
    writeln!(out, "reason     {}\n", shown_whole(&answer.reason))?;
    for TagAnswer { tag, verdict, reason } in &answer.verdicts {
        let (tag, reason) = (shown(tag), shown_whole(reason));
        writeln!(out, "{verdict:<8}  {tag:<width$}  {reason}")?;
    }
    Ok(())
}

/// A sentence of ours that may quote a tag.
fn shown_whole(sentence: &str) -> String {
    sentence
        .chars()
        .flat_map(|character| if character.is_control() { character.escape_debug().collect() } else { vec![character] })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        eval: PolicyEval,
    }

    /// Exit code, standard output or error.
    fn run(arguments: &[&str], list: &[u8]) -> (u8, String) {
        let line = ["skeg"].iter().chain(arguments);
        let mut out = Vec::new();
        match Command::try_parse_from(line) {
            Err(error) => (u8::try_from(error.exit_code()).unwrap(), error.to_string()),
            Ok(line) => match line.eval.run(&mut &*list, &mut out) {
                Ok(()) => (0, String::from_utf8(out).unwrap()),
                Err(error) => (error.exit_code(), error.to_string()),
            },
        }
    }

    #[track_caller]
    fn check_wrong(arguments: &[&str], list: &[u8], expected: &str) {
        let (code, error) = run(&[&["--tags=-", "-o", "json"], arguments].concat(), list);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }

    #[test]
    fn the_answer_is_one_json_object() {
        let (code, answer) = run(&["--policy=minor", "--current", "1.0.0", "--tags", "-", "-o", "json"], b"1.1.0\n\nlatest\n1.0.5");
        assert_eq!(code, 0);
        let expected = concat!(
            r#"{"candidate":"1.1.0","reason":"1.1.0 is the highest of 2 tags that qualify","verdicts":["#,
            r#"{"tag":"1.1.0","verdict":"chosen","reason":"the highest of 2 tags that qualify"},"#,
            r#"{"tag":"latest","verdict":"refused","reason":"no version"},"#,
            r#"{"tag":"1.0.5","verdict":"eligible","reason":"ranks below 1.1.0"}]}"#,
            "\n"
        );
        assert_eq!(answer, expected);
    }

    #[test]
    fn no_candidate_is_an_answer() {
        for list in ["", "\n\n", "0.9.0\n"] {
            let (code, answer) = run(&["--policy=minor", "--current=1.0.0", "--tags=-", "--output=json"], list.as_bytes());
            assert_eq!(code, 0);
            assert!(answer.starts_with(r#"{"candidate":null,"reason":""#), "{answer}");
        }
    }

    #[test]
    fn people_read_a_table_that_obeys_no_escape() {
        let (code, answer) = run(&["--policy=semver:^1", "--tags=-"], b"1.0.0\n\x1b[31m\n1.0.0\r\n");
        assert_eq!(code, 0);
        let expected = [
            "candidate  1.0.0",
            "reason     1.0.0 is the only one of 3 tags that qualifies",
            "",
            "chosen    1.0.0       the only one of 3 tags that qualifies",
            r"refused   \u{1b}[31m  no version",
            r"refused   1.0.0\r     no version",
            "",
        ];
        assert_eq!(answer, expected.join("\n"));
    }

    #[test]
    fn an_empty_current_tag_is_not_an_absent_one() {
        assert_eq!(run(&["--policy=minor", "--current=", "--tags=-"], b"1.0.0\n").0, 0);
        check_wrong(&["--policy=minor"], b"1.0.0\n", "--current: policy `minor` is relative to the current tag");
        check_wrong(&["--policy=digest"], b"", "--current: policy `digest` is relative");
    }

    #[test]
    fn the_digests_of_current_and_listed_tag_are_compared() {
        let (a, b) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
        let candidate = |current: &str, list: &str| {
            let (code, answer) = run(&["--policy=digest", &format!("--current={current}"), "--tags=-", "-ojson"], list.as_bytes());
            assert_eq!(code, 0, "{answer}");
            answer.starts_with(r#"{"candidate":"latest""#)
        };
        assert!(candidate("latest", "latest"));
        assert!(candidate(&format!("latest@{a}"), &format!("latest\t2024-01-31T12:00:00Z\t{b}\n")));
        assert!(!candidate(&format!("latest@{a}"), &format!("latest\t\t{a}\n")));
        assert!(!candidate("other", "latest"));
    }

    #[test]
    fn wrong_usage_is_told_with_the_place() {
        check_wrong(&["--policy=minr", "--current=1.0.0"], b"", "--policy: no policy is called `minr`, did you mean `minor`?");
        check_wrong(&["--policy=semver:latest"], b"", "--policy: wrong range: `latest` is no version");
        check_wrong(&["--policy=commit:infra#main"], b"", "this version of skeg does not have the policy `commit` yet");
        check_wrong(&["--policy=never", "--min-age=soon"], b"", "--min-age: ");
        check_wrong(&["--policy=never", "--min-age=-2h"], b"", "--min-age: ");
        check_wrong(&["--policy=never", "--prerelease=maybe"], b"", "--prerelease: `maybe` is none of same, no, yes");
        check_wrong(&["--policy=never", "--allow-tags=none:"], b"", "--allow-tags: item 1: `none:` does not begin");
        check_wrong(&["--policy=never", "--ignore-tags=regexp:("], b"", "--ignore-tags: item 1: not a regular expression");
        check_wrong(&["--policy=never", "--current=a@sha256:1"], b"", "--current: `sha256:1`: not a digest");
        check_wrong(&["--policy=never"], b"ok\n\xff\n", "--tags -: line 2: not UTF-8");
        check_wrong(&["--policy=never"], b"ok\tyesterday\n", "--tags -: line 1: the second column is no RFC 3339 time");
        check_wrong(&["--policy=never"], b"ok\t\tsha256:1\n", "line 1: the third column is no digest");
        check_wrong(&["--policy=never"], b"ok\t\t\tx\n", "line 1: more than three columns");
        check_wrong(&[], b"", "--policy");
        let missing = run(&["--policy=never", "--tags=/nowhere/at/all"], b"");
        assert_eq!((missing.0, missing.1.starts_with("--tags /nowhere/at/all: ")), (2, true));
        for option in ["--match-tag=true", "--match-prerelease=false"] {
            check_wrong(&["--policy=never", option], b"", "is an option of Keel's: add --keel");
        }
        check_wrong(&["--keel", "--policy=minor"], b"", "--current: Keel's policy `minor` is relative to the current tag");
        check_wrong(&["--keel", "--policy=force", "--match-tag=yes"], b"", "--match-tag: `yes` is neither true nor false");
        for option in ["--prerelease=no", "--allow-tags=glob:*", "--ignore-tags=glob:*", "--min-age=2h"] {
            check_wrong(&["--keel", "--policy=force", option], b"", "Keel has no such thing");
        }
    }
}
