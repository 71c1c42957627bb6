//! `[limits]`: how much skeg does at once.

use super::load::Single;
use super::section::Section;

/// More rollouts at once than any cluster should see.
const IN_FLIGHT_MAX: u32 = 1000;

/// The section `[limits]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Updates that may roll out at the same time. Default 10.
    pub in_flight: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 10 }
    }
}

impl Single for Limits {
    const NAME: &'static str = "limits";

    fn read(section: &mut Section<'_, '_>) -> Self {
        let limits = Self { in_flight: section.count("in_flight", 1..=IN_FLIGHT_MAX).unwrap_or(Self::default().in_flight) };
        section.not_yet("failures_per_hour");
        limits
    }
}
