//! Keel's keys: whatever is written there, skeg's guard keeps what is chosen from being lower, and what is told is fit to be read.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::directives::{annotations, containers, defaults};
use super::policy::check_choice;
use super::{Target, assert_told_well, text};
use crate::core::directives::keel::parse;
use crate::core::image::Tag;
use crate::core::policy::choose;

pub const TARGET: Target = Target {
    pieces: &[
        "keel.sh/",
        "keel.observer/",
        "keel.sh/policy=",
        "keel.sh/policy=all",
        "major",
        "minor",
        "patch",
        "force",
        "glob:",
        "regexp:",
        "never",
        "*",
        "\n",
        "=",
        "keel.sh/trigger=poll",
        "keel.sh/pollSchedule=@every 5m",
        "keel.sh/pollSchedule=0 0 3 * * *",
        "keel.sh/approvals=1",
        "keel.sh/approvalDeadline=5",
        "keel.sh/matchTag=true",
        "keel.sh/matchPreRelease=false",
        "keel.sh/notify=a,b",
        "keel.sh/monitorContainers=^api$",
        "keel.sh/initContainers=true",
        "keel.sh/imagePullSecret=x",
        "label ",
        "1.2.3",
        "-rc.1",
        "@every",
        "@daily",
        "1h",
        "ms",
        "-1",
        "999999999999",
        "(?i)",
        "\\d+",
        "[",
        "(",
    ],
    check,
    expected: &["not Keel's", "off", "acted on", "held"],
};

const TAGS: [&str; 12] =
    ["0.9.0", "1.0.0", "1.0.1", "1.1.0-rc.1", "1.1.0", "v1.2.0", "2.0.0-rc.1", "2.0.0", "latest", "master-1", "1.0.0-alpine", "20240131"];

/// Each line is `key=value`, of an annotation or, with `label ` before it, of a label.
fn check(input: &[u8]) -> String {
    let text = text(input);
    let (labels, others): (Vec<&str>, Vec<&str>) = text.split('\n').partition(|line| line.starts_with("label "));
    let labels: BTreeMap<String, String> = annotations(&labels.join("\n").replace("label ", ""));
    let Some(read) = parse(&labels, &annotations(&others.join("\n")), &TimeZone::UTC) else { return "not Keel's".to_owned() };
    for warning in &read.warnings {
        assert_told_well(&warning.to_string());
    }
    let directives = match read.directives([], &containers(), &defaults()) {
        Ok(None) => return "off".to_owned(),
        Ok(Some(directives)) => directives,
        Err(errors) => {
            for error in &errors {
                assert_told_well(&error.to_string());
            }
            return "held".to_owned();
        }
    };
    let tags: Vec<Tag> = TAGS.iter().map(|tag| tag.parse().unwrap()).collect();
    for container in containers() {
        let Some(selection) = directives.selection_of(&container) else { continue };
        for current in &tags {
            check_choice(selection, current, &tags, &choose(selection, Some(current), &tags));
        }
    }
    "acted on".to_owned()
}
