//! What is named on the command line: an update, a workload, a namespace, everything.

use clap::Args;
use serde::Serialize;

use super::Failure;
use crate::core::nearest::shown;
use crate::core::workload::WorkloadKind;
use crate::http::is_name;

/// An update by name.
#[derive(Args, Clone, Debug)]
pub struct UpdateName {
    /// The update: NAMESPACE/NAME, or NAME with -n
    #[arg(value_name = "UPDATE")]
    update: String,
    /// Its namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
}

impl UpdateName {
    /// Its path in the API.
    pub fn path(&self) -> Result<String, Failure> {
        let (namespace, name) = match (self.update.split_once('/'), self.namespace.as_deref()) {
            (Some((namespace, name)), None) => (namespace, name),
            (Some((namespace, name)), Some(other)) if namespace == other => (namespace, name),
            (Some(_), Some(_)) => return Err(Failure::WrongUsage(format!("{} names another namespace than -n", self.update))),
            (None, Some(namespace)) => (namespace, self.update.as_str()),
            (None, None) => {
                let name = &self.update;
                return Err(Failure::WrongUsage(format!("which namespace? write NAMESPACE/{name}, or add -n NAMESPACE")));
            }
        };
        if !is_name(namespace) || !is_name(name) {
            return Err(Failure::WrongUsage(format!("{} is not the name of an update; `skeg updates` lists them", self.update)));
        }
        Ok(format!("v1/updates/{namespace}/{name}"))
    }
}

/// What a pause covers.
#[derive(Args, Clone, Debug)]
pub struct ScopeName {
    /// One workload; needs -n
    #[arg(value_name = "KIND/NAME", conflicts_with = "all")]
    workload: Option<String>,
    /// The namespace: all of it, unless a workload is named
    #[arg(short, long, value_name = "NS", conflicts_with = "all")]
    namespace: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
}

/// A scope as the API takes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ScopeBody {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl ScopeName {
    /// As the API takes it.
    pub fn body(&self) -> Result<ScopeBody, Failure> {
        let body = |namespace: Option<&String>, kind, name| ScopeBody { all: self.all, namespace: namespace.cloned(), kind, name };
        match (&self.workload, &self.namespace, self.all) {
            (None, None, true) => Ok(body(None, None, None)),
            (None, Some(namespace), false) => Ok(body(Some(namespace), None, None)),
            (Some(workload), Some(namespace), false) => {
                let (kind, name) = kind_and_name(workload)?;
                Ok(body(Some(namespace), Some(kind.as_str()), Some(name.to_owned())))
            }
            (Some(workload), None, false) => Err(Failure::WrongUsage(format!("which namespace is {workload} in? add -n NAMESPACE"))),
            (None, None, false) | (_, _, true) => Err(Failure::WrongUsage("what? name KIND/NAME with -n NS, -n NS, or --all".to_owned())),
        }
    }
}

/// A namespace as it may stand in a query.
pub fn namespace(text: &str) -> Result<&str, Failure> {
    if is_name(text) { Ok(text) } else { Err(Failure::WrongUsage(format!("-n: {} is not the name of a namespace", shown(text)))) }
}

/// A workload as `KIND/NAME`.
pub fn kind_and_name(text: &str) -> Result<(WorkloadKind, &str), Failure> {
    let wrong = || Failure::WrongUsage(format!("{} is not KIND/NAME, such as Deployment/web", shown(text)));
    let (kind, name) = text.split_once('/').filter(|(kind, _)| !kind.is_empty()).ok_or_else(wrong)?;
    let no_kind = || {
        let kinds = WorkloadKind::ALL.map(WorkloadKind::as_str).join(", ");
        Failure::WrongUsage(format!("{} is no kind that this version of skeg updates; they are: {kinds}", shown(kind)))
    };
    let kind = WorkloadKind::parse(kind).ok_or_else(no_kind)?;
    if is_name(name) { Ok((kind, name)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_update(update: &str, namespace: Option<&str>, expected: Option<&str>) {
        let name = UpdateName { update: update.to_owned(), namespace: namespace.map(str::to_owned) };
        assert_eq!(name.path().ok().as_deref(), expected, "{update} {namespace:?}");
    }

    #[test]
    fn an_update_is_named_with_its_namespace() {
        check_update("shop/web-0123456789", None, Some("v1/updates/shop/web-0123456789"));
        check_update("web-0123456789", Some("shop"), Some("v1/updates/shop/web-0123456789"));
        check_update("shop/web", Some("shop"), Some("v1/updates/shop/web"));
        check_update("shop/web", Some("other"), None);
        check_update("web", None, None);
        for odd in ["../x", "shop/../x", "shop/a?b", "shop/", "/web"] {
            check_update(odd, None, None);
        }
    }

    #[track_caller]
    fn check_scope(workload: Option<&str>, namespace: Option<&str>, all: bool, expected: Option<&str>) {
        let name = ScopeName { workload: workload.map(str::to_owned), namespace: namespace.map(str::to_owned), all };
        assert_eq!(name.body().ok().map(|body| serde_json::to_string(&body).unwrap()).as_deref(), expected);
    }

    #[test]
    fn a_scope_is_everything_a_namespace_or_a_workload() {
        check_scope(None, None, true, Some(r#"{"all":true}"#));
        check_scope(None, Some("shop"), false, Some(r#"{"namespace":"shop"}"#));
        check_scope(Some("deploy/web"), Some("shop"), false, Some(r#"{"namespace":"shop","kind":"Deployment","name":"web"}"#));
        check_scope(Some("deploy/web"), None, false, None);
        check_scope(Some("web"), Some("shop"), false, None);
        check_scope(Some("job/web"), Some("shop"), false, None);
        check_scope(None, None, false, None);
    }
}
