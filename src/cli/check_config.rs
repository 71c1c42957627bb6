//! `skeg check-config`: every problem of a configuration at once, and with `--connect` whether what it names can be reached.

use clap::Args;
use serde::Serialize;

use super::config_file::ConfigFile;
use super::output::{Form, complain, show};
use super::table::Table;
use super::{Failure, in_runtime};
use crate::wiring::connect::{Tried, try_all};

/// Check a configuration; tells every problem at once
#[derive(Args, Debug)]
pub struct CheckConfig {
    #[command(flatten)]
    config: ConfigFile,
    /// Try registries, cluster and Git remotes too
    #[arg(long)]
    connect: bool,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// The result as JSON. A configuration with problems has none: they are told on standard error.
#[derive(Serialize)]
struct Checked<'a> {
    file: Option<String>,
    warnings: Vec<String>,
    connections: &'a [Tried],
}

impl CheckConfig {
    /// Checks and prints. Problems of the file are wrong usage; something that cannot be reached is not done.
    pub fn run(&self) -> Result<(), Failure> {
        let config = self.config.read()?;
        for warning in &config.warnings {
            complain(&format!("warning: {warning}"));
        }
        let mut connections = Vec::new();
        if self.connect {
            in_runtime(async {
                connections = try_all(&config).await;
                Ok(())
            })?;
        }
        let file = self.config.path().map(|path| path.display().to_string());
        let warnings = config.warnings.iter().map(ToString::to_string).collect();
        show(self.output, &Checked { file: file.clone(), warnings, connections: &connections }, || {
            let verdict = format!("{}: ok\n", file.as_deref().unwrap_or("no file, every setting has its default"));
            if self.connect { verdict + &lines(&connections) } else { verdict }
        })?;
        if connections.iter().all(|tried| tried.ok) { Ok(()) } else { Err(Failure::Told(1)) }
    }
}

fn lines(connections: &[Tried]) -> String {
    let mut table = Table::new(["PART", "NAME", "STATE", "DETAIL"]);
    for tried in connections {
        table.row([tried.part, &tried.name, if tried.ok { "ok" } else { "failed" }, &tried.detail]);
    }
    table.lines("")
}
