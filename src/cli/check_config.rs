//! `skeg check-config`: every problem of a configuration at once, and with `--connect` whether what it names can be reached.

use clap::Args;
use serde::Serialize;

use super::config_file::ConfigFile;
use super::output::{Form, complain, show};
use super::table::Table;
use super::{Failure, in_runtime};
use crate::config::{self, Config, Problem};
use crate::wiring::connect::{Tried, try_all};

/// Check a configuration; tells every problem at once
#[derive(Args, Debug)]
pub struct CheckConfig {
    #[command(flatten)]
    config: ConfigFile,
    /// Try registries, cluster, Git remotes and Slack too
    #[arg(long)]
    connect: bool,
    /// Print what a configuration may hold, as a JSON Schema for editors, and check nothing
    #[arg(long, conflicts_with = "connect")]
    schema: bool,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// The result as JSON.
#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    file: Option<String>,
    problems: Vec<Told<'a>>,
    warnings: Vec<Told<'a>>,
    connections: &'a [Tried],
}

/// A problem as JSON.
#[derive(Serialize)]
struct Told<'a> {
    line: Option<usize>,
    column: Option<usize>,
    key: &'a str,
    what: &'a str,
    advice: &'a str,
}

impl<'a> Told<'a> {
    fn all(problems: &'a [Problem]) -> Vec<Self> {
        let told = |problem: &'a Problem| Self {
            line: problem.at.map(|at| at.line),
            column: problem.at.map(|at| at.column),
            key: &problem.key,
            what: &problem.what,
            advice: &problem.advice,
        };
        problems.iter().map(told).collect()
    }
}

impl CheckConfig {
    /// Checks and prints. Problems of the file are wrong usage; something that cannot be reached is not done.
    pub fn run(&self) -> Result<(), Failure> {
        if self.schema {
            return show(Form::Json, &config::schema(), String::new);
        }
        match self.config.load() {
            Ok(config) => self.connect(&config),
            Err(problems) => self.refuse(&problems),
        }
    }

    fn refuse(&self, problems: &[Problem]) -> Result<(), Failure> {
        for problem in problems {
            complain(&format!("error: {problem}"));
        }
        if self.output == Form::Json {
            let checked = Checked { ok: false, file: self.file(), problems: Told::all(problems), warnings: Vec::new(), connections: &[] };
            show(Form::Json, &checked, String::new)?;
        }
        Err(Failure::Told(2))
    }

    fn connect(&self, config: &Config) -> Result<(), Failure> {
        for warning in &config.warnings {
            complain(&format!("warning: {warning}"));
        }
        let mut connections = Vec::new();
        if self.connect {
            in_runtime(async {
                connections = try_all(config).await;
                Ok(())
            })?;
        }
        let ok = connections.iter().all(|tried| tried.ok);
        let file = self.file();
        let verdict = format!("{}: ok\n", file.as_deref().unwrap_or("no file, every setting has its default"));
        let checked = Checked { ok, file, problems: Vec::new(), warnings: Told::all(&config.warnings), connections: &connections };
        show(self.output, &checked, || if self.connect { verdict + &lines(&connections) } else { verdict })?;
        if ok { Ok(()) } else { Err(Failure::Told(1)) }
    }

    fn file(&self) -> Option<String> {
        self.config.path().map(|path| path.display().to_string())
    }
}

fn lines(connections: &[Tried]) -> String {
    let mut table = Table::new(["PART", "NAME", "STATE", "DETAIL"]);
    for tried in connections {
        table.row([tried.part, &tried.name, if tried.ok { "ok" } else { "failed" }, &tried.detail]);
    }
    table.lines("")
}
