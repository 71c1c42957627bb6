//! First sights, in the `ConfigMap` `skeg-first-seen` of skeg's own namespace.
//!
//! ```text
//! data:
//!   first-seen.json: |
//!     {"ghcr.io/acme/web": {"1.4.2": {"digest": "sha256:…", "at": "2026-11-28T10:00:00Z"}}}
//! ```
//!
//! Nobody but skeg writes it. What somebody has edited so that it does not parse is told and left out, entry by entry: those tags are seen anew.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::client::ApiServer;
use super::config_map::OwnText;
use crate::core::first_sight::{Record, Seen};
use crate::core::image::{Repository, Tag};
use crate::core::nearest::shown;
use crate::ports::cluster::ClusterError;
use crate::ports::first_seen::{FirstSeen, Kept};

/// The name of the `ConfigMap`.
const NAME: &str = "skeg-first-seen";
/// The key of its data.
const KEY: &str = "first-seen.json";

/// First sights kept in a `ConfigMap`.
pub struct ConfigMapFirstSeen(OwnText);

/// A sight as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    digest: String,
    at: Timestamp,
}

impl ConfigMapFirstSeen {
    /// First sights kept in `namespace`, skeg's own.
    pub fn new(api: ApiServer, namespace: &str) -> Self {
        Self(OwnText::new(api, namespace, NAME, KEY))
    }
}

#[async_trait]
impl FirstSeen for ConfigMapFirstSeen {
    async fn load(&self) -> Result<Kept, ClusterError> {
        Ok(self.0.read().await?.as_deref().map(parse).unwrap_or_default())
    }

    async fn save(&self, record: &Record) -> Result<(), ClusterError> {
        let text = text_of(record);
        self.0.change(|found| Ok(((found != Some(&text)).then(|| text.clone()), ()))).await
    }
}

fn text_of(record: &Record) -> String {
    let tags = |(tag, seen): (&Tag, &Seen)| (tag.to_string(), json!(Written { digest: seen.digest.to_string(), at: seen.at }));
    let repositories = record.iter().map(|(repository, seen)| (repository.to_string(), seen.iter().map(tags).collect::<Value>()));
    repositories.collect::<Value>().to_string()
}

fn parse(text: &str) -> Kept {
    let mut kept = Kept::default();
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(repositories) => repositories.into_iter().for_each(|(name, tags)| read_repository(&name, tags, &mut kept)),
        Err(error) => kept.unreadable.push(format!("{KEY}: {error}").into()),
    }
    kept
}

fn read_repository(name: &str, tags: Value, kept: &mut Kept) {
    let (Ok(repository), Value::Object(tags)) = (name.parse::<Repository>(), tags) else {
        kept.unreadable.push(format!("`{}` is no repository with its tags", shown(name)).into());
        return;
    };
    for (tag, written) in tags {
        match read_sight(&tag, written) {
            Ok((tag, seen)) => {
                kept.record.entry(repository.clone()).or_default().insert(tag, seen);
            }
            Err(problem) => kept.unreadable.push(format!("{repository}, `{}`: {problem}", shown(&tag)).into()),
        }
    }
}

fn read_sight(tag: &str, written: Value) -> Result<(Tag, Seen), String> {
    let tag = tag.parse().map_err(|_| "no tag".to_owned())?;
    let Written { digest, at } = serde_json::from_value(written).map_err(|error| error.to_string())?;
    let digest = digest.parse().map_err(|_| format!("`{}` is no digest", shown(&digest)))?;
    Ok((tag, Seen { digest, at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn record() -> Record {
        let seen = |second| Seen { digest: DIGEST.parse().unwrap(), at: Timestamp::from_second(second).unwrap() };
        let tags = [("1.0.0", 1_700_000_000), ("main", 1_700_000_001)].map(|(tag, second)| (tag.parse().unwrap(), seen(second)));
        [("ghcr.io/acme/web".parse().unwrap(), tags.into()), ("docker.io/library/nginx".parse().unwrap(), [].into())].into()
    }

    #[test]
    fn sights_are_read_back_as_they_were_written() {
        let Kept { record: read, unreadable } = parse(&text_of(&record()));
        let mut written = record();
        written.retain(|_, seen| !seen.is_empty());
        assert_eq!((read, unreadable), (written, vec![]));
        assert_eq!(parse("{}"), Kept::default());
    }

    #[test]
    fn what_somebody_has_mistyped_is_told_and_the_rest_kept() {
        let sight = json!({"digest": DIGEST, "at": "2026-11-28T10:00:00Z"});
        let text = json!({
            "ghcr.io/acme/web": {
                "1.0.0": sight,
                "1.0.1": {"digest": DIGEST, "at": "yesterday"},
                "1.0.2": {"digest": "latest", "at": "2026-11-28T10:00:00Z"},
                "1.0.3": {"digest": DIGEST, "at": "2026-11-28T10:00:00Z", "by": "me"},
                "no tag": sight,
            },
            "NOT A NAME": {},
            "ghcr.io/acme/api": [],
        });
        let Kept { record, unreadable } = parse(&text.to_string());
        assert_eq!(record.values().flatten().map(|(tag, _)| tag.as_str()).collect::<Vec<_>>(), ["1.0.0"]);
        assert_eq!(unreadable.len(), 6, "{unreadable:#?}");
        assert!(unreadable.iter().any(|problem| problem.contains("ghcr.io/acme/web, `1.0.2`: `latest` is no digest")), "{unreadable:#?}");
        for broken in ["", "[]", "{\"a\": ", "null"] {
            let kept = parse(broken);
            assert!(kept.record.is_empty() && kept.unreadable.len() == 1, "{broken}: {kept:?}");
        }
    }
}
