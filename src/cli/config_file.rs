//! Which configuration a command reads.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::output::complain;
use crate::config::{Config, Problem, load};

/// Where the configuration is when nothing is said. It may be absent there: every setting has a default.
const DEFAULT: &str = "/etc/skeg/skeg.toml";

/// The option that names the configuration.
#[derive(Args, Clone, Debug)]
pub struct ConfigFile {
    /// The configuration [default: /etc/skeg/skeg.toml if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads it. Every problem is told, one line each on standard error; warnings are left to the caller.
    pub fn read(&self) -> Result<Config, Failure> {
        self.load().map_err(|problems| {
            for problem in problems {
                complain(&format!("error: {problem}"));
            }
            Failure::Told(2)
        })
    }

    /// Reads it; every problem is left to the caller.
    pub fn load(&self) -> Result<Config, Vec<Problem>> {
        self.path().map_or_else(|| Ok(Config::default()), load)
    }

    /// This file.
    pub fn named(config: PathBuf) -> Self {
        Self { config: Some(config) }
    }

    /// The file that is read; `None` when none is named and none is at the usual place.
    pub fn path(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT);
        self.config.as_deref().or_else(|| default.exists().then_some(default))
    }
}
