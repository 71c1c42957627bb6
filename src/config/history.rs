//! `[history]`: how many closed updates are kept in the cluster. Those that bind are kept anyway.

use std::time::Duration;

use super::load::Single;
use super::section::Section;

/// More records of one workload than anybody reads.
const PER_WORKLOAD_MAX: u32 = 100;
/// More objects than an API server should hold for this.
const TOTAL_MAX: u32 = 50_000;
/// Younger records than a minute are still looked at.
const AGE_MIN: Duration = Duration::from_mins(1);
/// Ten years.
const AGE_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// The section `[history]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// Closed updates kept for each workload. Default 3.
    pub per_workload: u32,
    /// How long a closed update is kept. Default `"30d"`.
    pub age: Duration,
    /// Closed updates kept in all. Default 5000.
    pub total: u32,
}

impl Default for History {
    fn default() -> Self {
        Self { per_workload: 3, age: Duration::from_hours(30 * 24), total: 5000 }
    }
}

impl Single for History {
    const NAME: &'static str = "history";

    fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            per_workload: section.count("per_workload", 1..=PER_WORKLOAD_MAX).unwrap_or(default.per_workload),
            age: section.duration("age", AGE_MIN..=AGE_MAX).unwrap_or(default.age),
            total: section.count("total", 1..=TOTAL_MAX).unwrap_or(default.total),
        }
    }
}
