//! Configuration: what the example promises, and what a broken file is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use skeg::config::{Config, Problem, load, parse};

const EXAMPLE: &str = include_str!("../config.example.toml");

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    parse(Path::new("/etc/skeg/skeg.toml"), text)
}

/// The problems of `text`, one line each without the file's folder.
fn problems(text: &str) -> Vec<String> {
    read(text).expect_err("the text has mistakes").iter().map(|problem| problem.to_string().replace("/etc/skeg/", "")).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected, "in {text}");
}

/// A record has room for so many, as the definition of `ImageUpdate` says.
#[test]
fn a_crowd_of_approvers_is_refused_at_load() {
    let crowd = |size: usize| {
        let names: Vec<String> = (0..size).map(|number| format!("\"user:u{number}\"")).collect();
        format!("[approvals]\napprovers = [{}]", names.join(", "))
    };
    assert!(read(&crowd(64)).is_ok());
    check(&crowd(65), &["skeg.toml:2:13: approvals.approvers: names more than 64; name fewer"]);
}

// === the example ===

/// The setting that a line shows, commented out or not.
fn setting(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(key)
}

fn header(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ").unwrap_or(line);
    line.starts_with('[').then(|| line.trim_matches(['[', ']']))
}

/// The example with everything switched on, its alternatives left out or taken in place of what they replace.
fn uncommented(with_alternatives: bool) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        match (setting(line).or(header(line)), bare.split_once(" # instead of ")) {
            (None, _) => {}
            (Some(_), None) => lines.push(bare),
            (Some(_), Some(_)) if !with_alternatives => {}
            (Some(_), Some((alternative, replaced))) => {
                let at = lines.iter().rposition(|line| setting(line) == Some(replaced)).unwrap();
                lines[at] = alternative;
            }
        }
    }
    lines.join("\n")
}

#[test]
fn the_example_as_it_is_equals_the_defaults() {
    assert_eq!(read(EXAMPLE).unwrap(), Config::default());
    assert_eq!(read("").unwrap(), Config::default());
}

#[test]
fn the_example_with_everything_switched_on_is_a_configuration() {
    for with_alternatives in [false, true] {
        let config = read(&uncommented(with_alternatives)).unwrap();
        assert_eq!((config.registries.len(), config.remotes.len(), config.rules.len(), config.receivers.len()), (3, 3, 2, 3));
        assert!(config.server.token.is_some());
        // Nobody has the example's secrets; each is told and closes something.
        assert_eq!(config.warnings.len(), 11, "{:?}", config.warnings);
    }
}

#[test]
fn optional_settings_of_the_example_show_their_defaults() {
    let bare = "[[registry]]\nhost = 'registry.example.com'\n[[git]]\nname = 'manifests'\nnamespaces = ['*']\n\
                url = 'https://git.example.com/team/manifests.git'\n[[webhook]]\nsource = 'registry'";
    let (shown, bare) = (read(&uncommented(false)).unwrap(), read(bare).unwrap());
    assert_eq!(shown.registries[0].insecure, bare.registries[0].insecure);
    assert_eq!(shown.registries[0].concurrency, bare.registries[0].concurrency);
    assert_eq!(shown.remotes[0].branch, bare.remotes[0].branch);
    assert_eq!(shown.remotes[0].insecure, bare.remotes[0].insecure);
    assert_eq!(shown.remotes[0].author_name, bare.remotes[0].author_name);
    assert_eq!(shown.remotes[0].author_email, bare.remotes[0].author_email);
    assert_eq!(shown.receivers[0].path, bare.receivers[0].path);
    assert!(!bare.receivers[0].insecure);
}

#[test]
fn the_example_misses_no_setting_and_explains_each_once() {
    let mut shown: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut explained = BTreeSet::new();
    let (mut section, mut above) = ("", "");
    for line in EXAMPLE.lines() {
        if let Some(name) = header(line) {
            section = name;
        } else if let Some(key) = setting(line) {
            shown.entry(section).or_default().insert(key);
            if above.starts_with("# ") && setting(above).is_none() && header(above).is_none() {
                explained.insert((section, key));
            }
        }
        above = line;
    }
    for (section, keys) in &shown {
        // An unknown key is told all the known ones.
        let element = EXAMPLE.contains(&format!("[[{section}]]"));
        let text = if element { format!("[[{section}]]\nqqqqqqqqqq = 1") } else { format!("[{section}]\nqqqqqqqqqq = 1") };
        let told = problems(&text).into_iter().find(|problem| problem.contains("known are: ")).unwrap();
        let known: BTreeSet<String> = told.split("known are: ").nth(1).unwrap().split(", ").map(str::to_owned).collect();
        let later = ["failures_per_hour"];
        let known: BTreeSet<&str> = known.iter().map(String::as_str).filter(|key| !later.contains(key)).collect();
        assert_eq!(known, *keys, "[{section}]");
        for key in keys {
            assert!(explained.contains(&(*section, *key)), "{section}.{key} has no comment");
        }
    }
    let sections = "approvals cluster git history keel limits poll registries registry rule server settle slack telemetry webhook";
    assert_eq!(shown.keys().copied().collect::<Vec<_>>().join(" "), sections);
}

// === mistakes ===

#[test]
fn what_a_registry_cannot_be_reached_by_is_told() {
    let of_registry = |line: &str| format!("[[registry]]\nhost = \"a.test\"\n{line}\nnamespaces = [\"*\"]\n");
    check(
        &of_registry("identity = \"gcp\""),
        &["skeg.toml:3:12: registry[0].identity: \"gcp\" is not known; write \"aws\" or \"google\" or \"azure\""],
    );
    check(
        &of_registry("identity = \"aws\"\ntoken_env = \"PATH\""),
        &["skeg.toml:3:12: registry[0].identity: stands beside a user name, password or token; keep one of them"],
    );
    check(
        &of_registry("client_cert = \"client.pem\""),
        &["skeg.toml:3:15: registry[0].client_cert: has no key; name its file with client_key"],
    );
    check(
        &of_registry("mirror = \"http://m.test\""),
        &["skeg.toml:3:10: registry[0].mirror: \"http://m.test\": not https, and the entry does not say insecure = true; \
           write the root of a registry, such as \"https://mirror.example.com\""],
    );
    check(
        "[[registry]]\nhost = \"a.test\"\nidentity = \"aws\"\n",
        &["skeg.toml:1:1: registry[0].namespaces: is missing; write the namespaces that may use it, or [\"*\"] for all of them"],
    );
}

#[test]
fn what_cannot_stand_in_a_rule_is_told_all_at_once() {
    check(
        "[[rule]]\nname = '2nd'\nkinds = ['Pod']\nnames = ['Web', 'web-*']\nimages = ['acme/*']\nlabels = { 'a b' = 'x', tier = 'a b' }\ncontainers = []\n\
         directives = { polcy = 'minor', 'policy.api' = 'minor', window = 'always', approvals = 1.5, pin = 'sha', git = 'infra' }\n",
        &[
            "skeg.toml:2:8: rule[0].name: \"2nd\": not a name; write letters, digits and hyphens, a letter first",
            "skeg.toml:3:10: rule[0].kinds: \"Pod\": not a kind that this version updates; write \"Deployment\"",
            "skeg.toml:4:10: rule[0].names: \"Web\": not a pattern for names: expected lower-case letters, digits, hyphens, dots, * and ?; write names, such as \"web\" or \"web-*\"",
            "skeg.toml:5:11: rule[0].images: \"acme/*\": not a pattern for repositories with their registry; write a repository with its registry, such as \"ghcr.io/acme/*\" or \"docker.io/library/nginx\"",
            "skeg.toml:6:12: rule[0].labels.a b: not the key of a label; write it as in \"app.kubernetes.io/part-of\" = \"shop\"",
            "skeg.toml:6:32: rule[0].labels.tier: not the value of a label; write it as in \"app.kubernetes.io/part-of\" = \"shop\"",
            "skeg.toml:7:14: rule[0].containers: selects nothing; remove the line to select all, or the rule",
            "skeg.toml:8:16: rule[0].directives.polcy: there is no such directive; did you mean policy?",
            "skeg.toml:8:33: rule[0].directives.policy.api: ends in a container, as only annotations do; select the container with containers = [\"…\"]",
            "skeg.toml:8:57: rule[0].directives.window: this version of skeg does not have this directive yet; remove it",
            "skeg.toml:8:88: rule[0].directives.approvals: is a number with a fraction; write a text in quotes",
            "skeg.toml:8:99: rule[0].directives.pin: `sha` is none of tag, digest; write it as in an annotation",
            "skeg.toml:8:112: rule[0].directives.git: no Git remote `infra` is configured; write it as in an annotation",
        ],
    );
    check("[[rule]]", &["skeg.toml:1:1: rule[0].directives: is missing; write what it says, such as { policy = \"semver:^1\" }"]);
    check(
        "[[rule]]\ndirectives = {}",
        &["skeg.toml:2:14: rule[0].directives: says nothing; write what it says, such as { policy = \"semver:^1\" }"],
    );
    check(
        "[[rule]]\nname = 'a'\ndirectives = { pause = true }\n[[rule]]\nname = 'a'\ndirectives = { pause = false }",
        &["skeg.toml:5:8: rule[1].name: another rule is called a too; give each rule its own name"],
    );
}

#[test]
fn only_what_is_more_or_less_can_be_enforced() {
    let rule = |directives: &str| format!("[[rule]]\nenforce = true\ndirectives = {{ {directives} }}");
    let aged = read(&rule("min-age = '2h'")).unwrap();
    assert_eq!(aged.rules[0].bounds.as_ref().unwrap().min_age, Some(std::time::Duration::from_hours(2)));
    check(
        &rule("policy = 'minor', approvals = 2"),
        &[
            "skeg.toml:3:16: rule[0].directives.policy: cannot be enforced: only approvals, approvers, min-age can; write it into a rule without enforce",
        ],
    );
    let config = read(&rule("approvals = 2, approvers = ['user:ann', 'user:bob']")).unwrap();
    let bounds = config.rules[0].bounds.as_ref().unwrap();
    assert_eq!((bounds.approvals, bounds.approvers.as_ref().unwrap().len(), &*config.rules[0].place), (2, 2, "1"));
    let warned = |text: &str| read(text).unwrap().warnings.iter().map(|problem| problem.key.clone()).collect::<Vec<_>>();
    assert_eq!(warned(&rule("approvers = 'slack:U1'")), ["rule[0].directives.approvers"]);
    assert_eq!(warned(&rule("approvers = 'group:leads'")), ["rule[0].directives"]);
    assert_eq!(warned(&rule("approvals = 2, approvers = ['user:ann']")), ["rule[0].directives"]);
    assert_eq!(warned(&rule("approvals = 1, approvers = ['user:ann']")), [""; 0]);
    assert_eq!(warned(&rule("approvals = 2, approvers = ['slack-channel']")), ["rule[0].directives.approvers"], "there is no [slack]");
    let by_label = rule("approvals = 1").replace("enforce", "labels = { tier = 'prod' }\nenforce");
    assert_eq!(warned(&by_label), ["rule[0].enforce"], "whoever writes the workload writes its labels");
}

/// A remote may be declared below the rules that name it.
#[test]
fn a_rule_may_name_any_remote_of_the_file() {
    let text =
        "[[rule]]\ndirectives = { git = 'infra:apps' }\n[[git]]\nname = 'infra'\nurl = 'https://git.example.com/x'\nnamespaces = ['*']";
    assert_eq!(read(text).unwrap().rules.len(), 1);
}

#[test]
fn a_syntax_error_is_told_with_line_and_column() {
    check("[poll]\ninterval = \"5m\n", &["skeg.toml:2:15: invalid basic string, expected `\"`"]);
    check("[poll]\ninterval = \"5m\"\ninterval = \"6m\"", &["skeg.toml:3:1: duplicate key"]);
    check("[poll\n[settle]\nwindow 10", &["skeg.toml:1:6: unclosed table, expected `]`", "skeg.toml:3:8: key with no value, expected `=`"]);
}

#[test]
fn every_mistake_is_told_at_once_in_the_order_of_the_file() {
    check(
        "[server]\nlistn = \":1\"\nlisten = 9300\n\n[poll]\ninterval = \"5 minutes\"\n\n[limits]\nin_flight = 0\n\n[nonsense]\n\n[signer]\n",
        &[
            "skeg.toml:2:1: server.listn: there is no such setting; did you mean listen?",
            "skeg.toml:3:10: server.listen: is a whole number; write a text in quotes",
            "skeg.toml:6:12: poll.interval: \"5 minutes\": not a duration: expected whole numbers with a unit each, longest unit first, such as 10s, 5m, 1h30m or 30d; write it as in \"5m\"",
            "skeg.toml:9:13: limits.in_flight: 0 is out of range; write a number from 1 to 1000",
            "skeg.toml:11:2: nonsense: there is no such section; known are: server, cluster, keel, poll, settle, limits, registries, registry, approvals, slack, git, rule, webhook, history, telemetry",
            "skeg.toml:13:2: signer: is not available in this version; remove the section",
        ],
    );
}

#[test]
fn slack_is_named_by_ids_and_reached_by_tls_and_its_tokens_are_never_inline() {
    check(
        "[slack]",
        &[
            "skeg.toml:1:2: slack.channel: is missing; write the channel's id, such as \"C0123456789\": it is at the end of the channel's details",
            "skeg.toml:1:2: slack.bot_token_file: is missing; name the token with bot_token_file or bot_token_env",
            "skeg.toml:1:2: slack.app_token_file: is missing; name the token with app_token_file or app_token_env",
        ],
    );
    check(
        "[slack]\nchannel = '#deploys'\nbot_token = 'xoxb-1'\napp_token_env = 'T'\napi_url = 'http://slack.example.com/api'",
        &[
            "skeg.toml:2:11: slack.channel: \"#deploys\": not the id of a channel; write the channel's id, such as \"C0123456789\": it is at the end of the channel's details",
            "skeg.toml:3:13: slack.bot_token: a secret is never written into the configuration; put it in a file or an environment variable and name that with bot_token_file or bot_token_env",
            "skeg.toml:5:11: slack.api_url: \"http://slack.example.com/api\": only https is spoken with other machines; write an https address without a query",
        ],
    );
}

#[test]
fn approvers_whom_nobody_can_hear_are_told() {
    let warned = |text: &str| read(text).unwrap().warnings.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; ");
    assert!(warned("[approvals]\napprovers = ['slack:U1']").contains("without [slack]"));
    assert!(warned("[approvals]\napprovers = ['group:ops', 'user:ann']").contains("members of groups"));
    assert_eq!(warned("[approvals]\napprovers = ['user:ann']"), "");
}

#[test]
fn values_of_the_wrong_type_are_told_what_to_write() {
    check("server = 3", &["skeg.toml:1:1: server: is a whole number; write [server] once, above its settings"]);
    check("[[server]]", &["skeg.toml:1:3: server: is a list; write [server] once, above its settings"]);
    check("[registry]\nhost = 'a.b'", &["skeg.toml:1:2: registry: is a table; write [[registry]] above the settings of each"]);
    check("git = [1]", &["skeg.toml:1:8: git[0]: is a whole number; write [[git]] above the settings of each"]);
    check("[cluster]\nnamespaces = 'shop'", &["skeg.toml:2:14: cluster.namespaces: is a text; write a list of texts: [\"…\", \"…\"]"]);
    check("[cluster]\nmode = 'dry-run'", &["skeg.toml:2:8: cluster.mode: \"dry-run\" is not known; write \"act\" or \"observe\""]);
    check("[poll]\ninterval = 300", &["skeg.toml:2:12: poll.interval: is a whole number; write a duration in quotes, such as \"5m\""]);
    check("[poll]\ninterval = '0s'", &["skeg.toml:2:12: poll.interval: \"0s\" is out of range; write 1s to 7d"]);
    check(
        "[telemetry]\nlog = ''",
        &["skeg.toml:2:7: telemetry.log: is empty; write another value, or remove the line to take the default"],
    );
}

#[test]
fn a_secret_written_inline_is_refused_and_not_repeated() {
    let text = "[server]\ntoken = 'hunter2'\n[[git]]\nname = 'a'\nurl = 'https://bob:hunter2@git.example.com/x'\nnamespaces = ['*']\n\
                [[registry]]\nhost = 'a.b'\nnamespaces = ['*']\ntoken_env = 'hunter2!'";
    let told = problems(text);
    assert_eq!(
        told[0],
        "skeg.toml:2:9: server.token: a secret is never written into the configuration; put it in a file or an environment variable and name that with token_file or token_env"
    );
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|line| !line.contains("hunter2")), "{told:?}");
}

#[test]
fn credentials_and_remotes_are_granted_to_namespaces() {
    check(
        "[[registry]]\nhost = 'a.b'\nusername = 'u'\npassword_env = 'HOME'",
        &["skeg.toml:1:1: registry[0].namespaces: is missing; write the namespaces that may use it, or [\"*\"] for all of them"],
    );
    check(
        "[[git]]\nname = 'a'\nurl = 'https://git.example.com/x'",
        &["skeg.toml:1:1: git[0].namespaces: is missing; write the namespaces that may use it, or [\"*\"] for all of them"],
    );
    check(
        "[[git]]\nname = 'a'\nurl = 'https://git.example.com/x'\nnamespaces = ['Shop', '*', 'b']",
        &[
            "skeg.toml:4:15: git[0].namespaces: \"Shop\": not a namespace: expected at most 63 lower-case letters, digits and inner hyphens; write the namespaces that may use it, or [\"*\"] for all of them",
        ],
    );
    assert!(read("[[registry]]\nhost = 'a.b'\ninsecure = true").is_ok());
}

#[test]
fn names_paths_and_grants_that_collide_are_told() {
    let remote = |name: &str| format!("[[git]]\nname = '{name}'\nurl = 'https://git.example.com/x'\nnamespaces = ['*']\n");
    check(&(remote("a") + &remote("a")), &["skeg.toml:6:8: git[1].name: another remote is called a too; give each remote its own name"]);
    check(
        "[[webhook]]\nsource = 'native'\ninsecure = true\n[[webhook]]\nsource = 'native'\ninsecure = true",
        &["skeg.toml:4:1: webhook[1].path: another receiver has the path /v1/webhooks/native; give each receiver its own path"],
    );
    check(
        "[[registry]]\nhost = 'docker.io'\n[[registry]]\nhost = 'index.docker.io'\nnamespaces = ['shop']",
        &[
            "skeg.toml:4:8: registry[1].host: docker.io has another entry for some of the same namespaces; merge them, or grant them to different namespaces",
        ],
    );
    check(
        "[[registry]]\nhost = 'a.b'\nnamespaces = ['shop']\ninsecure = true\n[[registry]]\nhost = 'a.b'\nnamespaces = ['billing']",
        &["skeg.toml:5:1: registry[1].insecure: another entry of a.b says insecure = true; write the same in every entry of a host"],
    );
    check(
        "[[registry]]\nhost = 'a.b'\nnamespaces = ['shop']\nconcurrency = 8\n[[registry]]\nhost = 'a.b'\nnamespaces = ['billing']\nconcurrency = 2",
        &["skeg.toml:8:15: registry[1].concurrency: another entry of a.b has concurrency = 8; write the same in every entry of a host"],
    );
    check("[server]\nprivate_listen = ':9300'", &["skeg.toml:2:18: server.private_listen: is the same as listen; write another port"]);
}

#[test]
fn half_a_credential_is_a_mistake() {
    let with = |lines: &str| format!("[[registry]]\nhost = 'a.b'\nnamespaces = ['*']\n{lines}");
    check(&with("username = 'u'"), &["skeg.toml:4:12: registry[0].username: has no password; name it with password_file or password_env"]);
    check(
        &with("password_env = 'HOME'"),
        &["skeg.toml:4:16: registry[0].password_env: a password has no user name; write username = \"…\""],
    );
    check(
        &with("username = 'u'\npassword_env = 'HOME'\ntoken_env = 'HOME'"),
        &["skeg.toml:6:13: registry[0].token_env: a token stands beside a user name or password; keep one of the two credentials"],
    );
    check(
        &with("token_env = 'HOME'\ntoken_file = '/etc/hostname'"),
        &["skeg.toml:4:13: registry[0].token_env: token_file is set too; keep one of them"],
    );
}

#[test]
fn a_remote_has_the_login_of_its_transport_and_no_other() {
    let with = |lines: &str| format!("[[git]]\nname = 'a'\nnamespaces = ['*']\n{lines}");
    check(
        &with("url = 'git@git.example.com:x.git'\npassword_env = 'HOME'\nusername = 'u'"),
        &[
            "skeg.toml:1:1: git[0].ssh_key_file: is missing; name the file with the private key",
            "skeg.toml:1:1: git[0].known_hosts_file: is missing; name a file with the server's host key, one line as in ~/.ssh/known_hosts",
            "skeg.toml:4:7: git[0].url: a remote by SSH takes no password or token; remove it, or write the address with https://",
        ],
    );
    check(
        &with("url = 'https://git.example.com/x'\nssh_key_file = '/etc/hostname'"),
        &["skeg.toml:5:16: git[0].ssh_key_file: is only for a remote by SSH; remove it, or write the address with ssh://"],
    );
    check(
        &with("url = 'ssh://git@git.example.com/x'\nssh_key_file = '/etc/$(id)'\nknown_hosts_file = '/etc/hostname'"),
        &["skeg.toml:5:16: git[0].ssh_key_file: ssh cannot be given the file /etc/$(id); use a name without quotes, backslashes, $ and %"],
    );
    let files = "ssh_key_file = '/etc/hostname'\nknown_hosts_file = '/nowhere'";
    let config = read(&with(&format!("url = 'ssh://git@git.example.com/x'\n{files}"))).unwrap();
    let told: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    let warning = "git[0].known_hosts_file: /nowhere: entity not found; the remote stays closed until the file is there";
    assert_eq!(told, [format!("/etc/skeg/skeg.toml:6:20: {warning}")]);
}

/// GI-17.
#[test]
fn an_address_or_a_branch_that_reads_as_an_option_or_a_helper_is_told_and_refused() {
    for (url, what) in [
        ("--upload-pack=x", "not an address of the form"),
        ("-oProxyCommand=x@host:path", "not an address of the form"),
        ("ssh://-oProxyCommand=x/path", "the address names no user"),
        ("ssh://git@-oProxyCommand=x/path", "not an address of the form"),
        ("git@host:--upload-pack=x", "not an address of the form"),
        ("ext::sh", "only https:// and ssh:// are spoken"),
        ("file::/etc", "only https:// and ssh:// are spoken"),
        ("file:///etc", "only https:// and ssh:// are spoken"),
        ("http://git.example.com/x", "http is not encrypted"),
        ("ssh://git:hunter2@host/x", "a credential does not belong into the address"),
    ] {
        let told = problems(&format!("[[git]]\nname = 'a'\nnamespaces = ['*']\nurl = '{url}'"));
        assert!(told.len() == 1 && told[0].starts_with("skeg.toml:4:7: git[0].url: ") && told[0].contains(what), "{told:?}");
        assert!(!told[0].contains("hunter2"), "{told:?}");
    }
    let told = problems("[[git]]\nname = 'a'\nnamespaces = ['*']\nurl = 'https://h/x'\nbranch = '--force'");
    assert!(told[0].contains("git[0].branch: \"--force\": not a branch that git accepts"), "{told:?}");
}

#[test]
fn a_missing_secret_is_told_and_only_closes_what_it_guards() {
    let config = read("[[webhook]]\nsource = 'native'\ntoken_env = 'SKEG_TEST_UNSET'\n[[webhook]]\nsource = 'registry'").unwrap();
    let told: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "/etc/skeg/skeg.toml:3:13: webhook[0].token_env: the environment variable SKEG_TEST_UNSET is not set; the receiver stays closed until the secret is there",
            "/etc/skeg/skeg.toml:5:10: webhook[1].source: the receiver has no credential and stays closed; name one with token_file or token_env, or write insecure = true",
        ]
    );
}

#[test]
fn relative_paths_are_taken_from_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skeg.toml");
    std::fs::write(folder.path().join("token"), "s3cret\n").unwrap();
    std::fs::write(&file, "[server]\ntoken_file = 'token'\n").unwrap();
    let config = load(&file).unwrap();
    assert_eq!(config.server.token.unwrap().read().unwrap().expose(), "s3cret");
    assert_eq!(config.warnings, []);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let gone = load(Path::new("/nowhere/skeg.toml")).unwrap_err();
    assert_eq!(gone[0].to_string(), "/nowhere/skeg.toml: cannot be read: there is no such file; name another file with --config");
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.toml");
    std::fs::write(&large, "#".repeat(1024 * 1024 + 1)).unwrap();
    assert!(load(&large).unwrap_err()[0].to_string().contains("is larger than 1048576 bytes"));
    std::fs::write(&large, b"\xff\xfe").unwrap();
    assert!(load(&large).unwrap_err()[0].to_string().contains("is not UTF-8 text"));
}

#[test]
fn hostile_files_end_in_problems_and_not_in_a_crash() {
    for text in ["[".repeat(100_000), "a=".to_owned() + &"[".repeat(100_000), "a.".repeat(100_000), "[[git]]\n".repeat(100_000)] {
        assert!(read(&text).is_err());
    }
}
