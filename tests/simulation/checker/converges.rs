//! When nothing is disturbed any more, everything comes to its end: decisions are closed, Git shows what runs, and what is due runs.

use std::collections::{BTreeMap, BTreeSet};

use skeg::core::image::ImageRef;
use skeg::core::update::{Outcome, Phase, Update, UpdateId};

use super::Promise;
use super::past::{Past, Seen, version};
use crate::history::{By, Fact, Process, Told, short};

/// Every decision ends.
pub struct Converges;

impl Promise for Converges {
    fn words(&self) -> &'static str {
        "every decision comes to its end"
    }

    fn see(&mut self, _: &Told, _: &Past) -> Result<(), String> {
        Ok(())
    }

    fn end(&mut self, past: &Past) -> Result<(), String> {
        match past.records.values().find(|update| update.is_open()) {
            Some(open) => Err(format!("{} is still {}", open.id.name, open.phase.as_str())),
            None => Ok(()),
        }
    }
}

/// Git shows what runs, or the update that runs says why not.
pub struct GitShowsWhatRuns;

impl Promise for GitShowsWhatRuns {
    fn words(&self) -> &'static str {
        "Git shows what runs, or it is said why not"
    }

    fn see(&mut self, _: &Told, _: &Past) -> Result<(), String> {
        Ok(())
    }

    fn end(&mut self, past: &Past) -> Result<(), String> {
        let done = past.records.values().filter_map(|update| match &update.phase {
            Phase::Closed(closed) if closed.outcome == Outcome::Done && !update.spec.rules.write_back.is_empty() => Some((update, closed)),
            _ => None,
        });
        for (update, closed) in done {
            let Some(commit) = &closed.commit else {
                return Err(format!("{} is done without a commit", update.id.name));
            };
            let Some(seen) = past.workloads.get(&update.spec.workload).filter(|seen| seen.uid == update.spec.uid) else { continue };
            for change in &update.spec.changes {
                let runs = seen.images.get(&change.container).is_some_and(|(image, by)| *image == change.to && matches!(by, By::Skeg(..)));
                let place = (commit.remote.clone(), update.spec.workload.clone(), change.container.clone());
                match past.files.get(&place) {
                    Some((image, By::Skeg(..))) if runs && !is_same(image, &change.to) => {
                        return Err(format!("{} runs by {}, and Git shows {}", short(&change.to), update.id.name, short(image)));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one == other || one.parse::<ImageRef>().ok().is_some_and(|one| other.parse::<ImageRef>().is_ok_and(|other| one == other))
}

/// What nobody holds back and no vote is needed for is applied.
///
/// A record that a person spoils or removes binds on as long as a process runs that has read it before: what skeg remembers counts. Only
/// where a person has undone the rollout, mark and all, nothing else tells that from outside.
#[derive(Default)]
pub struct Moves {
    running: BTreeSet<Process>,
    /// Records that were spoilt or removed, and who had read them before.
    remembered: BTreeMap<UpdateId, BTreeSet<Process>>,
}

impl Moves {
    fn is_remembered(&self, update: &UpdateId) -> bool {
        self.remembered.get(update).is_some_and(|by| !by.is_disjoint(&self.running))
    }
}

impl Promise for Moves {
    fn words(&self) -> &'static str {
        "what is due is applied in the end"
    }

    fn see(&mut self, told: &Told, _: &Past) -> Result<(), String> {
        match &told.fact {
            Fact::Replica { process, what } if what == "starts" => drop(self.running.insert(*process)),
            Fact::Replica { process, what } if what == "is killed" || what.starts_with("has stopped") => drop(self.running.remove(process)),
            Fact::Tampered { id, is_readable: false } | Fact::Removed { id, by: By::Person(_) } => {
                self.remembered.entry(id.clone()).or_insert_with(|| self.running.clone());
            }
            Fact::Written { update, .. } => drop(self.remembered.remove(&update.id)),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, past: &Past) -> Result<(), String> {
        for (id, seen) in &past.workloads {
            let Some((_, asked)) = seen.annotations.last() else { continue };
            let says = |key: &str| asked.get(key).map(String::as_str);
            if says("skeg.dev/approvals") != Some("0") || !matches!(says("skeg.dev/policy"), Some("patch" | "minor" | "all" | "semver:^1"))
            {
                continue;
            }
            let is_patch = says("skeg.dev/policy") == Some("patch");
            for (container, (image, _)) in &seen.images {
                let (Some(current), Ok(parsed)) = (version(image), image.parse::<ImageRef>()) else { continue };
                let tags = past.tags.iter().filter(|((repository, _), all)| {
                    repository == parsed.repository() && all.last().is_some_and(|(_, digest)| digest.is_some())
                });
                let versions = tags.filter_map(|((_, tag), _)| semver::Version::parse(tag.as_str()).ok());
                let due = versions.filter(|version| *version > current && (!is_patch || version.minor == current.minor)).max();
                let Some(due) = due else { continue };
                let binds = |update: &&std::sync::Arc<Update>| is_reason(update, seen, container);
                let mut remembered = past.ever.values().filter(|update| self.is_remembered(&update.id));
                if !past.records.values().any(|update| binds(&update)) && !remembered.any(|update| binds(&update)) && !is_marked(seen) {
                    return Err(format!("{} {container} still shows {}, and {due} is due", id.name, short(image)));
                }
            }
        }
        Ok(())
    }
}

/// Whether a record says why a container stays as it is.
fn is_reason(update: &Update, seen: &Seen, container: &str) -> bool {
    let changes = || update.spec.changes.iter().any(|change| *change.container == *container);
    update.spec.uid == seen.uid && changes() && (update.binding().is_some() || update.phase.rollout().is_some())
}

/// Whether the mark alone may hold something back: its record is lost.
fn is_marked(seen: &Seen) -> bool {
    seen.mark.is_some()
}
