//! `[settle]`: how long skeg waits for more changes of a workload before it decides.

use std::time::Duration;

use super::load::Single;
use super::section::Section;

/// A longer wait delays every update without bringing more together.
const WINDOW_MAX: Duration = Duration::from_hours(1);

/// The section `[settle]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settle {
    /// Everything that becomes due for one workload within this time is one update. Default `"10s"`.
    pub window: Duration,
}

impl Default for Settle {
    fn default() -> Self {
        Self { window: Duration::from_secs(10) }
    }
}

impl Single for Settle {
    const NAME: &'static str = "settle";

    fn read(section: &mut Section<'_, '_>) -> Self {
        Self { window: section.duration("window", Duration::ZERO..=WINDOW_MAX).unwrap_or(Self::default().window) }
    }
}
