//! `[telemetry]`: how skeg logs.

use tracing_subscriber::EnvFilter;

use super::load::Single;
use super::section::Section;

/// The section `[telemetry]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Telemetry {
    /// The form of the log on standard error. Default `"text"`.
    pub log: LogFormat,
    /// What is logged, in the syntax of tracing's `EnvFilter`: a level, and levels for targets. Default `"info"`.
    pub filter: Box<str>,
}

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: LogFormat::default(), filter: "info".into() }
    }
}

impl Single for Telemetry {
    const NAME: &'static str = "telemetry";

    fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let filter = |text: &str| EnvFilter::builder().parse(text).map(|_| text.into());
        Self {
            log: section.word("log", &[("text", LogFormat::Text), ("json", LogFormat::Json)]).unwrap_or_default(),
            filter: section.parsed("filter", "write a level, such as \"info\" or \"info,skeg=debug\"", filter).unwrap_or(default.filter),
        }
    }
}
