//! `skeg run`: the daemon.

use clap::Args;

use super::Failure;
use super::config_file::ConfigFile;
use crate::shutdown;
use crate::telemetry::{self, Audit};
use crate::wiring::Skeg;

/// Run the daemon until it is told to stop
#[derive(Args, Debug)]
pub struct Run {
    #[command(flatten)]
    config: ConfigFile,
}

impl Run {
    /// Runs until SIGTERM or SIGINT. What no retry can mend, such as an address in use, is an error at once; an end with something decided
    /// but not recorded is one too.
    pub async fn run(&self) -> Result<(), Failure> {
        let config = self.config.read()?;
        telemetry::start(&config.telemetry, Audit::Written).map_err(|error| Failure::NotDone(error.to_string()))?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let stop = shutdown::on_signal().map_err(|error| Failure::NotDone(format!("signals: {error}")))?;
        let skeg = Skeg::start(config, None, stop).await.map_err(|error| Failure::NotDone(format!("{error:#}")))?;
        skeg.ended().await.map_err(|error| Failure::NotDone(format!("{error:#}")))
    }
}
