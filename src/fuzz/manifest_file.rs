//! Files of manifests: an image that is set is the only thing that changes, and a file that cannot be changed so is left.

use super::{Target, assert_told_well, text, variant};
use crate::core::image::ImageRef;
use crate::core::manifest::{Declared, Image, ManifestError, editor_for, set_images};

pub const TARGET: Target = Target {
    pieces: &[
        "\n",
        "  ",
        "    ",
        "- ",
        ": ",
        ":",
        "#",
        " # keep",
        "'",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        "|",
        ">",
        "|-",
        "&a ",
        "*a",
        "<<: *a",
        "!!str ",
        "!x ",
        "? ",
        "---",
        "---\n",
        "...",
        "%YAML 1.2",
        "\t",
        "\r\n",
        "\u{feff}",
        "image",
        "image: x:1",
        "image:",
        "name: app",
        "containers:",
        "initContainers:",
        "spec:",
        "template:",
        "metadata:",
        "kind: Deployment",
        "kind: List",
        "items:",
        "apiVersion: apps/v1",
        "{{ .Values.image }}",
        "${IMAGE}",
        "\\n",
        "\\x41",
        "x:2@sha256:",
        "~",
        "null",
        "1.2",
        "0x1f",
    ],
    check,
    expected: &["set", "nothing declared", "left alone", "Syntax"],
};

const NEW: &str = "registry.example.com/team/app:9.9.9";

fn check(input: &[u8]) -> String {
    let text = text(input);
    let editor = editor_for("apps/web.yaml").unwrap();
    let declared = match editor.declarations(&text) {
        Ok(declared) => declared,
        Err(error) => {
            assert_told_well(&error.to_string());
            return variant(&error);
        }
    };
    // One by one, and all of them.
    let editable: Vec<usize> = (0..declared.len()).filter(|at| declared[*at].image.obstacle().is_none()).take(20).collect();
    let image: ImageRef = NEW.parse().unwrap();
    for at in &editable {
        check_set(&text, &declared, &[*at], &image);
    }
    let set = check_set(&text, &declared, &editable, &image);
    match (declared.len(), editable.len(), set) {
        (0, ..) => "nothing declared",
        (_, 0, _) | (.., false) => "left alone",
        (.., true) => "set",
    }
    .to_owned()
}

/// Sets the images at these places; `false` when the file is left.
fn check_set(text: &str, declared: &[Declared], places: &[usize], image: &ImageRef) -> bool {
    let editor = editor_for("apps/web.yaml").unwrap();
    let changes: Vec<(usize, ImageRef)> = places.iter().map(|at| (*at, image.clone())).collect();
    let edited = match set_images(editor, text, declared, &changes) {
        Ok(edited) => edited,
        Err(ManifestError::Inexact) => return false,
        Err(error) => panic!("a file that was read: {error}"),
    };
    let after = editor.declarations(&edited).unwrap();
    assert_eq!(after.len(), declared.len());
    // What stands between the values is the same, byte for byte.
    let outside = |text: &str, declared: &[Declared]| {
        let mut spans: Vec<_> = places
            .iter()
            .map(|at| match &declared[*at].image {
                Image::Text { span, .. } => span.clone(),
                Image::Fixed { why, .. } => panic!("was editable: {why}"),
            })
            .collect();
        spans.sort_by_key(|span| span.start);
        let ends = spans.iter().map(|span| span.start).chain([text.len()]);
        let begins = [0].into_iter().chain(spans.iter().map(|span| span.end));
        begins.zip(ends).map(|(begin, end)| text[begin..end].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(outside(&edited, &after), outside(text, declared));
    for (at, (before, after)) in declared.iter().zip(&after).enumerate() {
        assert_eq!(before.place, after.place);
        let expected = if places.contains(&at) { Some(NEW) } else { before.image.text() };
        assert_eq!(after.image.text(), expected, "{before}");
    }
    // The second time there is nothing to do.
    assert_eq!(set_images(editor, &edited, &after, &changes).as_deref(), Ok(edited.as_str()));
    true
}
