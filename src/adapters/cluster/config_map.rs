//! One text in a `ConfigMap` of skeg's own namespace. What people keep beside it stays.

use serde_json::{Value, json};

use super::client::ApiServer;
use super::endpoint::Endpoint;
use crate::ports::cluster::ClusterError;

/// How often a write begins anew because somebody else wrote in between. Only skeg does, and by hand nobody does so three times in a second.
const TRIES_MAX: u32 = 3;

/// Where the text is.
pub(super) struct OwnText {
    api: ApiServer,
    namespace: Box<str>,
    name: &'static str,
    key: &'static str,
    /// What errors call it.
    pub object: String,
}

impl OwnText {
    /// The text under `key` of the `ConfigMap` called `name` in `namespace`, skeg's own.
    pub fn new(api: ApiServer, namespace: &str, name: &'static str, key: &'static str) -> Self {
        Self { api, namespace: namespace.into(), name, key, object: format!("ConfigMap {namespace}/{name}") }
    }

    /// The text; `None` where there is none.
    pub async fn read(&self) -> Result<Option<String>, ClusterError> {
        Ok(self.map().await?.as_ref().and_then(|map| text_in(map, self.key)).map(str::to_owned))
    }

    /// Puts what `change` makes of the text that is there in its place, and gives what `change` gives beside it; `None` for the text leaves
    /// it as it is. The write names the version that was read, so nothing newer is written over.
    pub async fn change<T>(
        &self,
        change: impl Fn(Option<&str>) -> Result<(Option<String>, T), ClusterError> + Send + Sync,
    ) -> Result<T, ClusterError> {
        let mut tries = 1;
        loop {
            let map = self.map().await?;
            let (text, given) = change(map.as_ref().and_then(|map| text_in(map, self.key)))?;
            let Some(text) = text else { return Ok(given) };
            match self.write(map, &text).await {
                Ok(()) => return Ok(given),
                Err(ClusterError::Conflict { .. } | ClusterError::Exists { .. } | ClusterError::NotFound { .. }) if tries < TRIES_MAX => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn map(&self) -> Result<Option<Value>, ClusterError> {
        self.api.get(&self.object, Endpoint::CONFIG_MAPS, &self.namespace, self.name).await
    }

    async fn write(&self, map: Option<Value>, text: &str) -> Result<(), ClusterError> {
        if let Some(map) = map {
            let map = with_text(map, self.key, text);
            return self.api.replace(&self.object, Endpoint::CONFIG_MAPS, (&self.namespace, self.name), &map).await.map(drop);
        }
        let labels = json!({"app.kubernetes.io/managed-by": "skeg"});
        let metadata = json!({"name": self.name, "namespace": self.namespace, "labels": labels});
        let map = with_text(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}), self.key, text);
        self.api.create(&self.object, Endpoint::CONFIG_MAPS, &self.namespace, &map).await.map(drop)
    }
}

fn text_in<'a>(map: &'a Value, key: &str) -> Option<&'a str> {
    map.get("data")?.get(key)?.as_str()
}

/// The `ConfigMap` with this text; its version, labels and other keys stay.
fn with_text(mut map: Value, key: &str, text: &str) -> Value {
    if let Some(fields) = map.as_object_mut() {
        let data = fields.entry("data").or_insert_with(|| json!({}));
        match data.as_object_mut() {
            Some(keys) => {
                keys.insert(key.to_owned(), text.into());
            }
            None => *data = json!({key: text}),
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_keys_of_the_config_map_stay() {
        let map = json!({"metadata": {"resourceVersion": "7"}, "data": {"notes": "mine", "a.json": "[]"}});
        let map = with_text(map, "a.json", "[1]");
        assert_eq!(map, json!({"metadata": {"resourceVersion": "7"}, "data": {"notes": "mine", "a.json": "[1]"}}));
        assert_eq!(text_in(&with_text(json!({}), "a.json", "[]"), "a.json"), Some("[]"));
        assert_eq!(text_in(&with_text(json!({"data": null}), "a.json", "[]"), "a.json"), Some("[]"));
    }
}
