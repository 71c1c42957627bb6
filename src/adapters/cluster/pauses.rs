//! Pauses, in the `ConfigMap` `skeg-pauses` of skeg's own namespace.
//!
//! ```text
//! data:
//!   pauses.json: |
//!     [{"scope": {"namespace": "shop"}, "by": "user:ann", "at": "2026-11-23T10:00:00Z", "reason": "release freeze"}]
//! ```
//!
//! What does not parse is an error and not "no pauses": a person who mistyped one wants nothing to be applied.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::ApiServer;
use super::config_map::OwnText;
use crate::core::pause::{Change, Pause, Scope};
use crate::core::workload::{WorkloadId, WorkloadKind};
use crate::ports::cluster::ClusterError;
use crate::ports::pauses::Pauses;

/// The name of the `ConfigMap`.
const NAME: &str = "skeg-pauses";
/// The key of its data.
const KEY: &str = "pauses.json";

/// Pauses kept in a `ConfigMap`.
pub struct ConfigMapPauses(OwnText);

/// A pause as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    scope: WrittenScope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    by: Box<str>,
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum WrittenScope {
    All,
    Namespace(Box<str>),
    Workload { namespace: Box<str>, kind: Box<str>, name: Box<str> },
}

impl ConfigMapPauses {
    /// Pauses kept in `namespace`, skeg's own.
    pub fn new(api: ApiServer, namespace: &str) -> Self {
        Self(OwnText::new(api, namespace, NAME, KEY))
    }

    fn read(&self, text: Option<&str>) -> Result<Vec<Pause>, ClusterError> {
        let mend = |problem| format!("{KEY}: {problem}; mend it with `kubectl edit`");
        parse(text.unwrap_or("[]")).map_err(|problem| ClusterError::Refused { object: self.0.object.clone(), detail: mend(problem) })
    }
}

#[async_trait]
impl Pauses for ConfigMapPauses {
    async fn load(&self) -> Result<Vec<Pause>, ClusterError> {
        self.read(self.0.read().await?.as_deref())
    }

    async fn save(&self, change: &Change) -> Result<Vec<Pause>, ClusterError> {
        let made = |text: Option<&str>| {
            let before = self.read(text)?;
            let after = change.made(before.clone());
            let text = (after != before).then(|| json!(after.iter().map(Written::from).collect::<Vec<_>>()).to_string());
            Ok((text, after))
        };
        self.0.change(made).await
    }
}

fn parse(text: &str) -> Result<Vec<Pause>, String> {
    let written: Vec<Written> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    written.into_iter().map(Pause::try_from).collect()
}

impl From<&Pause> for Written {
    fn from(pause: &Pause) -> Self {
        let scope = match &pause.scope {
            Scope::All => WrittenScope::All,
            Scope::Namespace(namespace) => WrittenScope::Namespace(namespace.clone()),
            Scope::Workload(id) => {
                WrittenScope::Workload { namespace: id.namespace.clone(), kind: id.kind.as_str().into(), name: id.name.clone() }
            }
        };
        Self { scope, until: pause.until, by: pause.by.clone(), at: pause.at, reason: pause.reason.clone() }
    }
}

impl TryFrom<Written> for Pause {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let scope = match written.scope {
            WrittenScope::All => Scope::All,
            WrittenScope::Namespace(namespace) => Scope::Namespace(namespace),
            WrittenScope::Workload { namespace, kind, name } => {
                let kind = WorkloadKind::parse(&kind).ok_or_else(|| format!("no kind of workload is called {kind}"))?;
                Scope::Workload(WorkloadId { namespace, kind, name })
            }
        };
        Ok(Self { scope, until: written.until, by: written.by, at: written.at, reason: written.reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(scope: Scope, until: Option<i64>, reason: Option<&str>) -> Pause {
        let at = |second| Timestamp::from_second(second).unwrap();
        Pause { scope, until: until.map(at), by: "user:ann".into(), at: at(1_700_000_000), reason: reason.map(Into::into) }
    }

    #[test]
    fn pauses_are_read_back_as_they_were_written() {
        let web = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        let pauses = [
            pause(Scope::All, None, None),
            pause(Scope::Namespace("shop".into()), Some(1_800_000_000), Some("release \"freeze\"\n")),
            pause(Scope::Workload(web), None, Some("")),
        ];
        let text = json!(pauses.iter().map(Written::from).collect::<Vec<_>>()).to_string();
        assert_eq!(parse(&text).unwrap(), pauses);
    }

    #[test]
    fn what_a_person_mistyped_is_an_error_and_not_no_pauses() {
        for text in [
            "",
            "{}",
            "[{}]",
            r#"[{"scope": "everything", "by": "a", "at": "2026-11-23T10:00:00Z"}]"#,
            r#"[{"scope": "all", "by": "a", "at": "yesterday"}]"#,
            r#"[{"scope": "all", "by": "a", "at": "2026-11-23T10:00:00Z", "untill": "2026-11-24T10:00:00Z"}]"#,
            r#"[{"scope": {"workload": {"namespace": "a", "kind": "Job", "name": "b"}}, "by": "a", "at": "2026-11-23T10:00:00Z"}]"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("[]").unwrap(), []);
    }
}
