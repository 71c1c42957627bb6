use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{Discovery, Scope};
use serde_json::json;

use super::*;

#[tokio::test]
async fn without_the_token_nothing_is_answered() {
    let kube = start_with(Options { token: Some("secret".into()), ..Options::default() });
    deployments(&kube).list(&ListParams::default()).await.unwrap();
    let answer = async |token: Option<&str>| {
        let mut config = kube::Config::new(kube.url().parse().unwrap());
        config.auth_info.token = token.map(Into::into);
        let api: Api<Deployment> = Api::default_namespaced(kube::Client::try_from(config).unwrap());
        refusal(api.list(&ListParams::default()).await)
    };
    assert_eq!(answer(None).await, (403, "Forbidden".into()));
    assert_eq!(answer(Some("guess")).await, (401, "Unauthorized".into()));
}

#[tokio::test]
async fn the_kubeconfig_leads_here() {
    let kube = start_with(Options { token: Some("secret".into()), ..Options::default() });
    let kubeconfig = Kubeconfig::from_yaml(&kube.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
}

#[tokio::test]
async fn discovery_finds_built_in_and_custom_types() {
    let kube = start();
    let discovery = Discovery::new(kube.client()).run().await.unwrap();
    let update = GroupVersionKind::gvk("skeg.dev", "v1alpha1", "ImageUpdate");
    let (resource, capabilities) = discovery.resolve_gvk(&update).unwrap();
    assert_eq!((resource.plural.as_str(), capabilities.scope), ("imageupdates", Scope::Namespaced));
    assert!(discovery.resolve_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment")).is_some());
    assert!(discovery.resolve_gvk(&GroupVersionKind::gvk("", "v1", "Pod")).is_some());
}

#[tokio::test]
async fn admission_changes_what_is_stored() {
    let admission: super::super::Admission = std::sync::Arc::new(|object| {
        if object["kind"] == "Deployment" {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("mirror.local/nginx:1");
        }
    });
    let kube = start_with(Options { admission: Some(admission), ..Options::default() });
    kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})).unwrap();
    let created = deployments(&kube).create(&PostParams::default(), &typed(deployment("web", "nginx:1"))).await.unwrap();
    assert_eq!(image_of(&created), "mirror.local/nginx:1");
}

#[tokio::test]
async fn a_stopped_api_refuses_connections_and_ends_its_watches() {
    let kube = start();
    let api = deployments(&kube);
    let mut events = Box::pin(api.watch(&kube::api::WatchParams::default(), "0").await.unwrap());
    kube.stop();
    let rest = soon(futures::StreamExt::next(&mut events)).await;
    assert!(!matches!(rest, Some(Ok(_))), "no event after the end");
    assert!(api.list(&ListParams::default()).await.is_err());
}
