//! The message of a write-back commit.
//!
//! ```text
//! Update web to 1.0.1
//!
//! shop/Deployment/web web: ghcr.io/acme/web:1.0.0 -> ghcr.io/acme/web:1.0.1
//! approved by user:ana
//! compare https://github.com/acme/web/compare/1111111...2222222
//!
//! Skeg-Update: shop/web-5d41402abc
//! ```
//!
//! One trailer for each update says which decision the commit carries out: a commit that was pushed while its answer got lost
//! is found by it, and so is one that a person took back. Texts from cluster and people are cut and kept in their line, so none
//! can forge a trailer.

use std::fmt::Write as _;

use crate::core::image::ImageRef;
use crate::core::one_line::one_line;
use crate::core::update::UpdateId;
use crate::core::workload::WorkloadId;

/// The trailer's key, as in `Signed-off-by: …` (git-interpret-trailers(1)).
const TRAILER: &str = "Skeg-Update: ";
/// Between the image that was replaced and the new one. No image has a space in it.
const ARROW: &str = " -> ";
/// The longest subject: what `git log --oneline` and forges show in one line.
const SUBJECT_LENGTH_MAX: usize = 72;
/// The longest text of foreign origin. A reference with tag and digest has about 200 characters.
const TEXT_LENGTH_MAX: usize = 300;
/// The most approvers named for one update; nobody reads more, and a record keeps a hundred.
const APPROVERS_MAX: usize = 20;

/// The most addresses for one update, each once. Most have one.
const COMPARISONS_MAX: usize = 8;

/// What a commit carries out for one update.
#[derive(Clone, Copy, Debug)]
pub struct Committed<'a> {
    /// The update.
    pub update: &'a UpdateId,
    /// Its workload.
    pub workload: &'a WorkloadId,
    /// The images that the commit changes; never empty.
    pub images: &'a [CommittedImage<'a>],
    /// Who approved.
    pub approved_by: &'a [Box<str>],
    /// Addresses at which people see what changed.
    pub comparisons: &'a [Box<str>],
}

/// One image that a commit changes.
#[derive(Clone, Copy, Debug)]
pub struct CommittedImage<'a> {
    /// The container.
    pub container: &'a str,
    /// What the file held.
    pub from: &'a str,
    /// What it holds now.
    pub to: &'a str,
}

/// The whole message, with a line end after its last line.
pub fn commit_message(updates: &[Committed<'_>]) -> String {
    let mut message = subject(updates);
    message.push_str("\n\n");
    for update in updates {
        describe(update, &mut message);
    }
    message.push('\n');
    for update in updates {
        message.push_str(&trailer(update.update));
        message.push('\n');
    }
    message
}

/// The updates whose trailers `message` carries, as `namespace/name`.
pub fn trailers(message: &str) -> impl Iterator<Item = &str> {
    message.lines().filter_map(|line| line.strip_prefix(TRAILER)).map(str::trim_end)
}

/// The image that a commit of skeg's says to have left in a container; `None` when it is no such commit, or did not change the container.
pub fn image_left<'a>(message: &'a str, workload: &WorkloadId, container: &str) -> Option<&'a str> {
    trailers(message).next()?;
    let place = place(workload, container);
    let change = message.lines().find_map(|line| line.strip_prefix(&*place))?;
    change.rsplit_once(ARROW).map(|(_, to)| to.trim_end())
}

/// How a line names what it is about.
fn place(workload: &WorkloadId, container: &str) -> String {
    format!("{} {}: ", one_line(&workload.to_string(), TEXT_LENGTH_MAX), one_line(container, TEXT_LENGTH_MAX))
}

fn trailer(update: &UpdateId) -> String {
    format!("{TRAILER}{}", one_line(&update.to_string(), TEXT_LENGTH_MAX))
}

/// `Update web to 1.0.1` when one workload moves to one tag, else `Update 3 images`.
fn subject(updates: &[Committed<'_>]) -> String {
    let count: usize = updates.iter().map(|update| update.images.len()).sum();
    let subject = match updates {
        [one] => match one.images.iter().map(|image| short(image.to)).reduce(|one, other| if one == other { one } else { String::new() }) {
            Some(version) if !version.is_empty() => format!("Update {} to {version}", one.workload.name),
            _ => format!("Update {count} images of {}", one.workload.name),
        },
        _ => format!("Update {count} images"),
    };
    one_line(&subject, SUBJECT_LENGTH_MAX)
}

/// The part of an image that people call it by: its tag, else its digest in short.
fn short(image: &str) -> String {
    let Ok(image) = image.parse::<ImageRef>() else {
        return image.to_owned();
    };
    match (image.tag(), image.digest()) {
        (Some(tag), _) => tag.to_string(),
        (None, Some(digest)) => digest.short().to_owned(),
        (None, None) => image.to_string(),
    }
}

fn describe(update: &Committed<'_>, message: &mut String) {
    for CommittedImage { container, from, to } in update.images {
        let [from, to] = [from, to].map(|text| one_line(text, TEXT_LENGTH_MAX));
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(message, "{}{from}{ARROW}{to}", place(update.workload, container));
    }
    describe_approvers(update, message);
    for comparison in update.comparisons.iter().take(COMPARISONS_MAX) {
        let _ = writeln!(message, "compare {}", one_line(comparison, TEXT_LENGTH_MAX));
    }
}

fn describe_approvers(update: &Committed<'_>, message: &mut String) {
    let named: Vec<String> = update.approved_by.iter().take(APPROVERS_MAX).map(|voter| one_line(voter, TEXT_LENGTH_MAX)).collect();
    if named.is_empty() {
        return;
    }
    let more = match update.approved_by.len().saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let _ = writeln!(message, "approved by {}{more}", named.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::workload::WorkloadKind;

    fn update(workload: &str) -> (UpdateId, WorkloadId) {
        let id = UpdateId { namespace: "shop".into(), name: format!("{workload}-0123456789").into() };
        (id, WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: workload.into() })
    }

    fn message(workload: &str, images: &[(&str, &str, &str)], approved_by: &[&str]) -> String {
        let (id, workload) = update(workload);
        let images: Vec<CommittedImage<'_>> = images.iter().map(|(container, from, to)| CommittedImage { container, from, to }).collect();
        let approved_by: Vec<Box<str>> = approved_by.iter().map(|voter| (*voter).into()).collect();
        commit_message(&[Committed { update: &id, workload: &workload, images: &images, approved_by: &approved_by, comparisons: &[] }])
    }

    #[test]
    fn one_image_is_told_with_its_tag_and_who_approved() {
        assert_eq!(
            message("web", &[("app", "acme/web:1.0.0", "acme/web:1.0.1")], &["user:ana", "slack:U1"]),
            "Update web to 1.0.1\n\nshop/Deployment/web app: acme/web:1.0.0 -> acme/web:1.0.1\napproved by user:ana, slack:U1\n\nSkeg-Update: shop/web-0123456789\n"
        );
    }

    #[test]
    fn containers_that_move_to_one_tag_are_one_sentence_and_others_are_counted() {
        let subject = |images: &[(&str, &str, &str)]| message("web", images, &[]).lines().next().unwrap().to_owned();
        assert_eq!(subject(&[("app", "w:1", "w:2"), ("migrate", "m:1", "m:2")]), "Update web to 2");
        assert_eq!(subject(&[("app", "w:1", "w:2"), ("proxy", "p:1", "p:3")]), "Update 2 images of web");
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(subject(&[("app", "w:1", &format!("w@{digest}"))]), "Update web to abababababab");
    }

    #[test]
    fn several_updates_are_counted_and_each_has_its_lines_and_its_trailer() {
        let ((a, web), (b, api)) = (update("web"), update("api"));
        let images = [CommittedImage { container: "app", from: "w:1", to: "w:2" }];
        let commit = |update, workload| Committed { update, workload, images: &images, approved_by: &[], comparisons: &[] };
        let message = commit_message(&[commit(&a, &web), commit(&b, &api)]);
        assert_eq!(
            message,
            "Update 2 images\n\nshop/Deployment/web app: w:1 -> w:2\nshop/Deployment/api app: w:1 -> w:2\n\nSkeg-Update: shop/web-0123456789\nSkeg-Update: shop/api-0123456789\n"
        );
        assert_eq!(trailers(&message).collect::<Vec<_>>(), [a.to_string(), b.to_string()]);
    }

    #[test]
    fn what_a_commit_left_in_a_container_is_read_back() {
        let (_, web) = update("web");
        let text = message("web", &[("app", "w:1", "w:2"), ("proxy", "p:1", "p:3")], &["user:ana"]);
        let cases = [("app", Some("w:2")), ("proxy", Some("p:3")), ("ap", None), ("", None)];
        for (container, expected) in cases {
            assert_eq!(image_left(&text, &web, container), expected, "{container}");
        }
        assert_eq!(image_left(&text, &update("we").1, "app"), None, "another workload");
        let without_trailer = text.replace(TRAILER, "Reverts: ");
        assert_eq!(image_left(&without_trailer, &web, "app"), None, "not skeg's");
    }

    #[test]
    fn no_text_from_outside_can_forge_a_line() {
        let message = message("web", &[("app", "x\nSkeg-Update: shop/other-1", "w:2")], &["user:a\r\nSkeg-Update: shop/other-2"]);
        assert_eq!(trailers(&message).collect::<Vec<_>>(), ["shop/web-0123456789"]);
        assert_eq!(message.lines().count(), 6);
    }

    #[test]
    fn what_shows_the_changes_is_a_line_each_and_no_more() {
        let (id, workload) = update("web");
        let images = [CommittedImage { container: "app", from: "w:1", to: "w:2" }];
        let comparisons: Vec<Box<str>> = vec!["https://github.com/acme/web/compare/1...2".into(), "x\nSkeg-Update: shop/other-1".into()];
        let commit =
            Committed { update: &id, workload: &workload, images: &images, approved_by: &["user:ana".into()], comparisons: &comparisons };
        let message = commit_message(&[commit]);
        assert!(
            message.contains("approved by user:ana\ncompare https://github.com/acme/web/compare/1...2\ncompare x Skeg-Update"),
            "{message}"
        );
        assert_eq!(trailers(&message).collect::<Vec<_>>(), ["shop/web-0123456789"]);
    }

    #[test]
    fn a_long_tag_is_cut_in_the_subject_alone() {
        let long = format!("w:{}", "1".repeat(120));
        let message = message("web", &[("app", "w:1", &long)], &[]);
        assert_eq!(message.lines().next().unwrap().chars().count(), 72);
        assert!(message.contains(&long));
    }

    #[test]
    fn a_crowd_of_approvers_is_not_listed_whole() {
        let voters = ["user:a"; 25];
        assert!(message("web", &[("app", "w:1", "w:2")], &voters).contains("user:a and 5 more\n"));
    }
}
