//! `[keel]`: whether skeg acts on Keel's keys.

use super::Mode;
use super::load::Single;
use super::section::Section;

/// The section `[keel]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keel {
    /// Whether workloads with Keel's keys are updated, or only observed. Default `"observe"`.
    pub mode: Mode,
}

impl Default for Keel {
    fn default() -> Self {
        Self { mode: Mode::Observe }
    }
}

impl Single for Keel {
    const NAME: &'static str = "keel";

    fn read(section: &mut Section<'_, '_>) -> Self {
        Self { mode: section.word("mode", &[("observe", Mode::Observe), ("act", Mode::Act)]).unwrap_or(Self::default().mode) }
    }
}
