//! What clients ask before they know which types there are: versions, groups, resources.
//!
//! The unaggregated form; clients that ask for the aggregated one understand this answer too.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::catalog::ResourceType;

/// `/version`. The release whose answers this API imitates.
pub fn version() -> Value {
    json!({
        "major": "1",
        "minor": "34",
        "gitVersion": "v1.34.0+skeg.embedded",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// `/api`
pub fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`
pub fn groups(types: &[Arc<ResourceType>]) -> Value {
    let groups: Vec<Value> = versions_by_group(types).into_iter().map(|(group, versions)| group_of(group, &versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`
pub fn group(types: &[Arc<ResourceType>], name: &str) -> Option<Value> {
    let versions = versions_by_group(types).remove(name)?;
    let mut group = group_of(name, &versions);
    super::object::set(&mut group, &["kind"], "APIGroup");
    super::object::set(&mut group, &["apiVersion"], "v1");
    Some(group)
}

/// `/api/v1`, `/apis/{group}/{version}`
pub fn resources(types: &[Arc<ResourceType>], group: &str, version: &str) -> Option<Value> {
    let resources: Vec<Value> = types
        .iter()
        .filter(|resource| resource.group == group && resource.version == version)
        .flat_map(|resource| resource_entries(resource))
        .collect();
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources});
    (!resources.is_empty()).then_some(list)
}

fn versions_by_group(types: &[Arc<ResourceType>]) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in types.iter().filter(|resource| !resource.group.is_empty()) {
        let versions = groups.entry(&resource.group).or_default();
        if !versions.contains(&resource.version.as_str()) {
            versions.push(&resource.version);
        }
    }
    groups
}

fn group_of(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> =
        versions.iter().map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version})).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

fn resource_entries(resource: &ResourceType) -> Vec<Value> {
    let whole = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "shortNames": resource.short_names,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    });
    let status = json!({
        "name": format!("{}/status", resource.plural),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["get", "patch", "update"],
    });
    if resource.status_subresource { vec![whole, status] } else { vec![whole] }
}
