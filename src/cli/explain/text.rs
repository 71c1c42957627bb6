//! The explanation for people: one block for each container, no longer than a screen.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::cli::age::age;
use crate::cli::table::{Table, plain};
use crate::http::view::{DirectiveView, ExplainView, ExplainedView, GateView, GroupView, ImageOfTagView, OriginView, WaitingView};

/// How many tags of a group are shown.
const TAGS_SHOWN: usize = 5;

/// The whole text.
pub fn lines(view: &ExplainView, now: Timestamp) -> String {
    let mut out = String::new();
    let workload = &view.workload;
    let place = if workload.namespace.is_empty() { String::new() } else { format!("{}/", workload.namespace) };
    line(&mut out, &format!("{place}{}/{}", workload.kind, workload.name));
    for error in &view.errors {
        line(&mut out, &format!("  wrong      {error}"));
    }
    said(&mut out, &view.directives);
    for container in &view.containers {
        line(&mut out, "");
        block(&mut out, container, now);
    }
    for note in &view.notes {
        line(&mut out, "");
        line(&mut out, &format!("note: {note}"));
    }
    out
}

/// The directives that somebody has written; what is built in is in the JSON.
fn said(out: &mut String, directives: &[DirectiveView]) {
    let written = directives.iter().filter(|directive| directive.origin.key.is_some());
    written.for_each(|one| line(out, &format!("  {:<9}  {}   ({})", one.name, one.value, origin(&one.origin))));
}

fn origin(OriginView { kind, key }: &OriginView) -> String {
    key.as_ref().map_or_else(|| kind.clone(), |key| format!("{kind} {key}"))
}

fn block(out: &mut String, view: &ExplainedView, now: Timestamp) {
    let kind = if view.init { "init container" } else { "container" };
    line(out, &format!("{kind} {}", view.container));
    if let Some(policy) = &view.policy {
        line(out, &format!("  policy     {}   ({})", policy.value, origin(&policy.origin)));
    }
    said(out, &view.directives);
    line(out, &format!("  runs       {}", runs(view)));
    match &view.candidate {
        Some(candidate) => line(out, &format!("  candidate  {}: {}", image_of(candidate), view.reason)),
        None => line(out, &format!("  candidate  none: {}", view.reason)),
    }
    for WaitingView { tag, built, first_seen, old_enough_at, .. } in &view.waiting {
        let time = |what: &str, time: &Option<Timestamp>| time.map(|time| format!("   {what} {time:.0}")).unwrap_or_default();
        let times = [time("built", built), time("first seen", first_seen), time("old enough at", old_enough_at)].concat();
        line(out, &format!("  waits      {tag}{times}"));
    }
    if let Some(update) = &view.update {
        line(out, &format!("  update     {} to {}, {}: {}", update.name, update.tag, update.phase, update.reason.message));
    }
    for error in &view.errors {
        line(out, &format!("  error      {error}"));
    }
    if let Some(last) = view.last.as_ref().filter(|_| view.listed.is_none()) {
        let found = last.candidate.as_ref().map_or_else(|| "no candidate".to_owned(), |tag| format!("candidate {tag}"));
        let reason = last.reason.as_ref().map(|reason| format!(": {}", reason.message)).unwrap_or_default();
        line(out, &format!("  last look  {} ago, {found}{reason}", age(last.at, now)));
    }
    gates(out, &view.gates);
    tags(out, view, now);
}

/// The image, and what its tag points at where it does not say a digest itself.
fn runs(view: &ExplainedView) -> String {
    let runs = &view.runs;
    let tag = runs.tag.as_deref().unwrap_or("its tag");
    let digest = runs.digest.as_ref().filter(|_| !runs.pinned).map(|digest| format!("   {tag} is {digest} now"));
    let built = runs.built.map(|built| format!("   built {built:.0}"));
    format!("{}{}{}", runs.image, digest.unwrap_or_default(), built.unwrap_or_default())
}

fn image_of(ImageOfTagView { tag, digest, built }: &ImageOfTagView) -> String {
    let digest = digest.as_ref().map(|digest| format!("   {digest}")).unwrap_or_default();
    let built = built.map(|built| format!("   built {built:.0}")).unwrap_or_default();
    format!("{tag}{digest}{built}")
}

fn gates(out: &mut String, gates: &[GateView]) {
    if gates.is_empty() {
        return;
    }
    let mut table = Table::new(["  GATE", "ANSWER", "WHY", "OPENS WITH"]);
    for gate in gates {
        let why = gate.reason.as_ref().map_or("-", |reason| &reason.message);
        table.row([&format!("  {}", gate.gate), &gate.answer, why, gate.opens.as_deref().unwrap_or("-")]);
    }
    out.push_str(&table.lines(""));
}

fn tags(out: &mut String, view: &ExplainedView, now: Timestamp) {
    if view.groups.is_empty() {
        return;
    }
    let listed = view.listed.map(|listed| format!(", listed {} ago", age(listed, now))).unwrap_or_default();
    let count = if view.tags == 1 { "1 tag".to_owned() } else { format!("{} tags", view.tags) };
    line(out, &format!("  {count}{listed}"));
    let mut table = Table::new(["  VERDICT", "TAGS", "WHY", "SUCH AS"]);
    for group in &view.groups {
        table.row([&format!("  {}", group.verdict), &group.count.to_string(), &group.reason, &some(group)]);
    }
    out.push_str(&table.lines(""));
}

fn some(group: &GroupView) -> String {
    let shown: Vec<&str> = group.tags.iter().take(TAGS_SHOWN).map(String::as_str).collect();
    let more = if group.count > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// One line, with nothing in it that a terminal would obey, nor anything that makes two lines of it.
fn line(out: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{}", plain(text).trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::hold::Gate;
    use crate::core::policy::{Asked, Listed, Policy, Selection, evaluate};
    use crate::core::update::{Reason, UpdateId};
    use crate::core::workload::{Container, WorkloadId, WorkloadKind};

    fn container(image: &str) -> ExplainedView {
        ExplainedView::of(&Container { name: "web".into(), image: image.into(), init: false })
    }

    fn judged(tags: &[String]) -> ExplainedView {
        let list: Vec<_> = tags.iter().map(|tag| Listed::named(tag)).collect();
        let selection = Selection::of(Policy::parse("minor").unwrap());
        let mut view = container("acme/web:1.0.0");
        view.judged(&evaluate(&selection, &Asked { current: Some("1.0.0"), ..Asked::default() }, &list), false);
        view
    }

    fn written(container: ExplainedView) -> String {
        let web = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        lines(&ExplainView { containers: vec![container], ..ExplainView::new(&web, Vec::new()) }, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_container_is_one_block_with_gates_and_grouped_tags() {
        let web = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        let update = UpdateId { namespace: "shop".into(), name: "web-0123456789".into() };
        let waits = Gate::Waits(Reason::Approval { given: 0, needed: 1 });
        let mut view = judged(&["1.1.0", "1.2.0", "latest"].map(str::to_owned));
        view.candidate = Some(ImageOfTagView { tag: "1.2.0".into(), digest: None, built: Some(Timestamp::UNIX_EPOCH) });
        view.gates = vec![GateView::new("pause", &Gate::Open, &web, None), GateView::new("approval", &waits, &web, Some(&update))];
        view.listed = Some(Timestamp::UNIX_EPOCH);
        let expected = "\
shop/Deployment/web

container web
  runs       acme/web:1.0.0
  candidate  1.2.0   built 1970-01-01T00:00:00Z: 1.2.0 is the highest of 2 tags that qualify
  GATE       ANSWER   WHY                                        OPENS WITH
  pause      open     -                                          -
  approval   closed   waits for approval, 0 of 1 votes given     1 more vote: `skeg approve shop/web-0123456789`
  3 tags, listed 0s ago
  VERDICT    TAGS   WHY                              SUCH AS
  chosen     1      the highest of 2 tags that qualify   1.2.0
  eligible   1      ranks below 1.2.0                    1.1.0
  refused    1      no version                           latest
";
        let squeezed = |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
        assert_eq!(squeezed(&written(view)), squeezed(expected));
    }

    #[test]
    fn twenty_thousand_tags_take_few_lines() {
        let tags: Vec<String> = (0..20_000).map(|number| format!("build-{number}")).collect();
        let text = written(judged(&tags));
        assert!(text.contains("20000   no version   build-19999, build-19998, build-19997, build-19996, build-19995, …"), "{text}");
        assert!(text.lines().count() < 12, "{text}");
    }

    #[test]
    fn texts_from_elsewhere_cannot_steer_the_terminal() {
        let mut view = container("\u{1b}[2Jweb:1\n  candidate  9.9.9\u{202e}");
        view.errors = vec!["\u{1b}[31mred\nline".to_owned()];
        let text = written(view);
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
        assert!(!text.lines().any(|line| line.starts_with("  candidate  9") || line == "line"), "{text}");
    }
}
