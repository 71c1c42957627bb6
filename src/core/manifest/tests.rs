//! What is declared, what may be changed, and that nothing else changes.

use super::*;

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n";

fn editor() -> &'static dyn ImageEditor {
    editor_for("apps/web.yaml").unwrap()
}

fn declarations(text: &str) -> Vec<Declared> {
    editor().declarations(text).unwrap()
}

/// `container` as the only container of a Deployment.
fn deployment(container: &str) -> String {
    format!("{WEB}{container}")
}

/// The text in which every declared image is `to`.
fn set_all(text: &str, to: &str) -> Result<String, ManifestError> {
    let declared = declarations(text);
    let changes: Vec<(usize, ImageRef)> = (0..declared.len()).map(|at| (at, to.parse().unwrap())).collect();
    set_images(editor(), text, &declared, &changes)
}

#[track_caller]
fn check_places(text: &str, places: &[&str]) {
    let found: Vec<String> = declarations(text)
        .iter()
        .map(|declared| format!("{declared}{} {}", if declared.place.init { " (init)" } else { "" }, declared.image.text().unwrap_or("-")))
        .collect();
    assert_eq!(found, places);
}

#[track_caller]
fn check_edit(before: &str, to: &str, after: &str) {
    assert_eq!(set_all(before, to).unwrap(), after);
}

#[track_caller]
fn check_fixed(text: &str, why: Uneditable) {
    let declared = declarations(text);
    assert_eq!(declared.first().and_then(|declared| declared.image.obstacle()), Some(why), "{text}");
}

#[track_caller]
fn check_error(text: &str, error: &str) {
    assert_eq!(editor().declarations(text).unwrap_err().to_string(), error, "{text}");
}

#[test]
fn every_kind_with_a_pod_template_is_read() {
    let object = |api_version: &str, kind: &str, path: &str| {
        format!(
            "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: a, namespace: n}}, {}}}",
            path.replace("POD", "{containers: [{name: c, image: i:1}]}")
        )
    };
    check_places(&object("v1", "Pod", "spec: POD"), &["n/Pod/a c i:1"]);
    for (api_version, kind) in [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("batch/v1", "Job"),
        ("argoproj.io/v1alpha1", "Rollout"),
        ("v1", "ReplicationController"),
    ] {
        let place = format!("n/{kind}/a c i:1");
        check_places(&object(api_version, kind, "spec: {template: {spec: POD}}"), &[&place]);
    }
    check_places(&object("batch/v1", "CronJob", "spec: {jobTemplate: {spec: {template: {spec: POD}}}}"), &["n/CronJob/a c i:1"]);
    check_places(&object("example.com/v1", "Deployment", "spec: {template: {spec: POD}}"), &[]);
    check_places(&object("v1", "ConfigMap", "data: POD"), &[]);
}

#[test]
fn init_containers_documents_and_lists_are_read() {
    check_places(
        "---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec:\n    initContainers: [{name: i, image: x:1}]\n    containers: [{name: c, image: x:2}]\n---\n# nothing\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec: {containers: [{name: c, image: x:3}]}\n",
        &["Pod/a i (init) x:1", "Pod/a c x:2", "Pod/b c x:3"],
    );
}

#[test]
fn what_has_no_name_or_no_image_declares_nothing() {
    check_places(&deployment("      - name: app\n        env: []\n"), &[]);
    check_places(&deployment("      - name: app\n        image:\n"), &[]);
    check_places(&deployment("      - image: x:1\n"), &[]);
    check_places(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-}\nspec: {template: {spec: {containers: [{name: c, image: x:1}]}}}",
        &[],
    );
    check_places("", &[]);
    check_places("just text", &[]);
    check_places("- a\n- b\n", &[]);
}

#[test]
fn only_the_bytes_of_the_value_change() {
    let check = |container: &str, after: &str| check_edit(&deployment(container), "x:2.0", &deployment(after));
    check("      - name: app\n        image: x:1   # keep\n", "      - name: app\n        image: x:2.0   # keep\n");
    check("      - {name: app, image: 'x:1'}", "      - {name: app, image: 'x:2.0'}");
    check("      - \"name\": app\n        \"image\": \"x:1\"\n", "      - \"name\": app\n        \"image\": \"x:2.0\"\n");
    check("      - name: app\n        image: !!str x:1\n", "      - name: app\n        image: !!str x:2.0\n");
    check("      - name: app\n        image: &here x:1\n", "      - name: app\n        image: &here x:2.0\n");
    check("      - name: app\n        image:\n            x:1\n", "      - name: app\n        image:\n            x:2.0\n");
    check(
        "      - ? name\n        : app\n        ? image\n        : x:1\n",
        "      - ? name\n        : app\n        ? image\n        : x:2.0\n",
    );
}

#[test]
fn line_ends_a_byte_order_mark_tabs_and_a_missing_last_line_end_stay() {
    let text = format!("\u{feff}{WEB}      - name: app\n        image: x:1\t# tab\there ä\n        env: []").replace('\n', "\r\n");
    check_edit(&text, "x:2.0", &text.replace("x:1", "x:2.0"));
}

#[test]
fn a_plain_image_that_would_read_as_a_number_gets_quotes() {
    check_edit(&deployment("      - {name: app, image: 5:1}"), "5:30", &deployment("      - {name: app, image: \"5:30\"}"));
    check_edit(
        &deployment("      - {name: app, image: \"[::1]:5000/a:1\"}"),
        "[::1]:5000/a:2",
        &deployment("      - {name: app, image: \"[::1]:5000/a:2\"}"),
    );
}

#[test]
fn what_would_change_another_place_or_is_not_the_image_itself_is_refused() {
    let check = |container: &str, why: Uneditable| check_fixed(&deployment(container), why);
    check("      - name: app\n        env: [&i x:1]\n        image: *i\n", Uneditable::Alias { line: 11 });
    check("      - name: app\n        image: &i x:1\n        env: [*i]\n", Uneditable::Repeated { line: 10 });
    check("      - &c {name: app, image: x:1}\n      - *c\n", Uneditable::Repeated { line: 9 });
    check("      - &c\n        name: app\n        image: x:1\n      - <<: *c\n        name: b\n", Uneditable::Repeated { line: 10 });
    check("      - name: app\n        image: x:1\n        image: x:1\n", Uneditable::DuplicateKey { line: 11 });
    check("      - name: app\n        name: api\n        image: x:1\n", Uneditable::DuplicateKey { line: 10 });
    check("      - name: app\n        image: >-\n          x:1\n", Uneditable::BlockScalar { line: 11 });
    check("      - name: app\n        image: {{ .Values.image }}\n", Uneditable::Template { line: 10 });
    check("      - name: app\n        image: \"x:{{ .Values.tag }}\"\n", Uneditable::Template { line: 10 });
    check("      - name: app\n        image: [x:1]\n", Uneditable::NotText { line: 10 });
    check("      - name: app\n        image: !!binary eDox\n", Uneditable::NotText { line: 10 });
    let text = format!("x-base: &base {{image: x:1}}\n{}", deployment("      - name: app\n        <<: *base\n"));
    check_fixed(&text, Uneditable::Merged { line: 10 });
    check_fixed(
        &deployment("      - {name: app, image: x:1}\n").replace("metadata:\n", "metadata:\n  name: api\n"),
        Uneditable::DuplicateKey { line: 5 },
    );
}

#[test]
fn what_a_refused_image_says_is_known_when_it_is_written_down() {
    let check = |container: &str, text: Option<&str>| assert_eq!(declarations(&deployment(container))[0].image.text(), text, "{container}");
    check("      - name: app\n        env: [&i x:1]\n        image: *i\n", Some("x:1"));
    check("      - name: app\n        image: &i x:1\n        env: [*i]\n", Some("x:1"));
    check("      - name: app\n        image: >-\n          x:1\n", Some("x:1"));
    check("      - name: app\n        image: \"x:{{ .Values.tag }}\"\n", None);
    check("      - name: app\n        image: [x:1]\n", None);
}

#[test]
fn an_own_image_goes_before_a_merged_one() {
    let text =
        format!("x-base: &base {{image: x:0, env: []}}\n{}", deployment("      - name: app\n        <<: *base\n        image: x:1\n"));
    check_edit(&text, "x:2.0", &text.replace("x:1", "x:2.0"));
}

#[test]
fn aliases_that_run_in_circles_end() {
    check_places("&l {apiVersion: v1, kind: List, items: [*l, *l]}", &[]);
    check_places(&deployment("      - &c {name: app, <<: *c}\n"), &[]);
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers: &c [{}]\n---\n",
        "{name: c, image: x:1},".repeat(9)
    );
    assert_eq!(declarations(&text).len(), 9);
}

#[test]
fn aliases_that_make_much_of_little_are_refused_after_a_bounded_number_of_steps() {
    // Lists of lists: a billion objects in three kilobytes.
    let list = |items: &str| format!("{{apiVersion: v1, kind: List, items: [{items}]}}");
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}}";
    let levels = [("&a ", pod.to_owned()), ("&b ", list(&"*a,".repeat(1000))), ("&c ", list(&"*b,".repeat(1000)))];
    let levels = levels.map(|(anchor, object)| format!("{anchor}{object},")).concat();
    check_error(&list(&format!("{levels}{}", list(&"*c,".repeat(1000)))), "the file's aliases repeat too much to be followed");
    // One list of containers without images, in thousands of objects: nothing is declared that could be counted.
    let containers = "{name: c},".repeat(3000);
    let deployment = format!(
        "&d {{apiVersion: apps/v1, kind: Deployment, metadata: {{name: a}}, spec: {{template: {{spec: {{containers: [{containers}]}}}}}}}}"
    );
    check_error(&list(&format!("{deployment},{}", "*d,".repeat(3000))), "the file's aliases repeat too much to be followed");
    // One mapping with thousands of keys in thousands of objects.
    let keys: Vec<String> = (0..3000).map(|number| format!("k{number}: v")).collect();
    check_error(
        &list(&format!("&d {{{}, kind: Pod}},{}", keys.join(", "), "*d,".repeat(3000))),
        "the file's aliases repeat too much to be followed",
    );
}

#[test]
fn the_largest_file_of_plain_objects_is_read() {
    let object = |number: usize| {
        format!(
            "- {{apiVersion: v1, kind: Pod, metadata: {{name: p{number}}}, spec: {{containers: [{{name: a, image: x:1}}, {{name: b, image: y:1}}]}}}}\n"
        )
    };
    let mut text = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    let mut objects = 0;
    while text.len() + 200 < FILE_BYTES_MAX {
        text.push_str(&object(objects));
        objects += 1;
    }
    assert_eq!(declarations(&text).len(), 2 * objects);
}

#[test]
fn a_file_that_does_not_parse_says_where() {
    check_error("a:\n\t- b\n", "line 2, column 2: tabs disallowed within this context (block indentation)");
    check_error("{{- if .Values.on }}\na: b\n{{- end }}\n", "line 1, column 3: \"-\" is only valid inside a block");
    check_error("a: *nowhere\n", "line 1, column 4: while parsing node, found unknown anchor");
    assert!(matches!(editor().declarations(&"[".repeat(100_000)), Err(ManifestError::Syntax { line: 1, .. })));
    assert!(matches!(editor().declarations(&"- ".repeat(100_000)), Err(ManifestError::Syntax { line: 1, .. })));
}

#[test]
fn bytes_that_are_no_text_or_too_many_are_refused() {
    assert_eq!(text(b"a\nb\xff"), Err(ManifestError::NotUtf8 { line: 2 }));
    assert_eq!(text(&vec![b' '; FILE_BYTES_MAX + 1]), Err(ManifestError::TooLarge));
    let many = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{}]}}}}",
        "{name: c, image: x:1},".repeat(60_000)
    );
    assert_eq!(editor().declarations(&many), Err(ManifestError::TooMany));
}

#[test]
fn several_images_of_one_file_are_set_at_once_and_the_others_stay() {
    let before = deployment("      - {name: a, image: x:1}\n      - {name: b, image: y:1}\n      - {name: c, image: z:1}\n");
    let declared = declarations(&before);
    let changes = [(2, "z:2".parse().unwrap()), (0, "x:200".parse().unwrap())];
    let after = set_images(editor(), &before, &declared, &changes).unwrap();
    assert_eq!(after, before.replace("x:1", "x:200").replace("z:1", "z:2"));
}

#[test]
fn a_fixed_image_is_never_written() {
    assert_eq!(set_all(&deployment("      - {name: app, image: \"{{ x }}\"}"), "x:2"), Err(ManifestError::Inexact));
}

#[test]
fn names_decide_which_editor_reads_a_file() {
    for path in ["a.yaml", "deep/b.yml"] {
        assert!(editor_for(path).is_some(), "{path}");
    }
    for path in ["a.json", "a.yaml.bak", "Makefile", "a.yaml/readme"] {
        assert!(editor_for(path).is_none(), "{path}");
    }
}
