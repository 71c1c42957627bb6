//! Each cloud's services, scripted: what they are asked, and what becomes of what they answer.

use std::path::Path;

use super::*;
use crate::adapters::fetch::scripted::{Scripted, answer};
use crate::adapters::registry::hand_clock::HandClock;

fn host(name: &str, base: &str) -> Host {
    Host {
        name: name.to_owned(),
        base: base.parse().unwrap(),
        prefix: String::new(),
        insecure: true,
        reach: Reach::Anywhere,
        concurrency: 1,
        rate: 25,
    }
}

struct Bench {
    clock: Arc<HandClock>,
    identities: Identities,
}

impl Bench {
    fn new<'a>(variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let clock = Arc::new(HandClock::default());
        let as_clock: Arc<dyn Clock> = clock.clone();
        let surroundings = Surroundings::made_up(variables);
        Self { identities: Identities::new(&Fetch::new().unwrap(), &surroundings, &as_clock), clock }
    }
}

fn basic(user: &str, password: &str) -> RegistryAuth {
    RegistryAuth::Basic(user.to_owned(), password.to_owned())
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The request lines and their heads, but for the registry's.
fn asked(server: &Scripted, path: &str) -> Vec<String> {
    server.heads().into_iter().filter(|head| head.split(' ').nth(1).is_some_and(|asked| asked.starts_with(path))).collect()
}

const ECR_ANSWER: &str = r#"{"authorizationData": [{"authorizationToken": "QVdTOnBhc3M=", "expiresAt": 1767268800}]}"#;

#[tokio::test]
async fn the_token_of_ecr_is_asked_for_with_a_signature_and_kept_for_its_time() {
    let server = Scripted::start(|_| answer("200 OK", &[], ECR_ANSWER)).await;
    let bench = Bench::new([
        ("AWS_ENDPOINT_URL_ECR", format!("http://{}/", server.address())),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "canary".to_owned()),
    ]);
    let registry = host("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "https://registry.test/");
    for _ in 0..3 {
        assert_eq!(bench.identities.login(Cloud::Aws, &registry).await, Ok(basic("AWS", "pass")));
    }
    let heads = server.heads();
    assert_eq!(heads.len(), 1, "twelve hours are twelve hours");
    assert!(heads[0].contains("x-amz-target: amazonec2containerregistry_v20150921.getauthorizationtoken"), "{}", heads[0]);
    assert!(heads[0].contains("/eu-west-1/ecr/aws4_request, signedheaders=") && !heads[0].contains("canary"), "{}", heads[0]);
    // The token ends at noon; twelve hours less the margin.
    bench.clock.advance(Duration::from_hours(12).saturating_sub(MARGIN));
    assert_eq!(bench.identities.login(Cloud::Aws, &registry).await, Ok(basic("AWS", "pass")));
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn the_public_gallery_of_ecr_has_an_api_of_its_own() {
    let server = Scripted::start(|_| answer("200 OK", &[], r#"{"authorizationData": {"authorizationToken": "QVdTOnBhc3M="}}"#)).await;
    let bench = Bench::new([
        ("AWS_ENDPOINT_URL_ECR_PUBLIC", format!("http://{}/", server.address())),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "canary".to_owned()),
    ]);
    assert_eq!(bench.identities.login(Cloud::Aws, &host("public.ecr.aws", "https://public.ecr.aws/")).await, Ok(basic("AWS", "pass")));
    let heads = server.heads();
    assert!(heads[0].contains("/us-east-1/ecr-public/aws4_request") && heads[0].contains("spencerfrontendservice"), "{}", heads[0]);
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_credentials_first() {
    let server = Scripted::start(|head| {
        if head.contains("x-amz-target") || head.contains("X-Amz-Target") {
            return answer("200 OK", &[], ECR_ANSWER);
        }
        let credentials = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
            <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>session</SessionToken>\
            <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
        answer("200 OK", &["Content-Type: text/xml"], credentials)
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new([
        ("AWS_ENDPOINT_URL", format!("http://{}/", server.address())),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/puller".to_owned()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file(folder.path(), "token", "token-of-kubernetes")),
    ]);
    let registry = host("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "https://registry.test/");
    assert_eq!(bench.identities.login(Cloud::Aws, &registry).await, Ok(basic("AWS", "pass")));
    let heads = server.heads();
    assert_eq!(heads.len(), 2);
    assert!(heads[1].contains("credential=asiaexample/") && heads[1].contains("x-amz-security-token: session"), "{}", heads[1]);
}

#[tokio::test]
async fn what_a_cloud_refuses_is_told_with_its_code_and_no_secret() {
    let refusal = r#"{"__type":"com.amazonaws#AccessDeniedException","message":"canary is not allowed"}"#;
    let server = Scripted::start(move |_| answer("400 Bad Request", &[], refusal)).await;
    let bench = Bench::new([
        ("AWS_ENDPOINT_URL_ECR", format!("http://{}/", server.address())),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "canary".to_owned()),
    ]);
    let told = bench.identities.login(Cloud::Aws, &host("registry.test", "https://registry.test/")).await.unwrap_err();
    assert_eq!(told, "the aws identity: the registry's name has no region in it: set AWS_REGION");
    let registry = host("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "https://registry.test/");
    let told = bench.identities.login(Cloud::Aws, &registry).await.unwrap_err();
    assert_eq!(told, "the aws identity: ECR's API answered 400 Bad Request (AccessDeniedException)");
    let none = Bench::new([("AWS_EC2_METADATA_DISABLED", "true".to_owned())]);
    let told = none.identities.login(Cloud::Aws, &registry).await.unwrap_err();
    assert!(told.starts_with("the aws identity: no credentials: "), "{told}");
}

#[tokio::test]
async fn the_metadata_server_of_google_gives_a_token() {
    let server = Scripted::start(|_| answer("200 OK", &[], r#"{"access_token":"ya29","expires_in":3599,"token_type":"Bearer"}"#)).await;
    let bench = Bench::new([("GCE_METADATA_HOST", server.address().to_string())]);
    let registry = host("europe-docker.pkg.dev", "https://europe-docker.pkg.dev/");
    for _ in 0..2 {
        assert_eq!(bench.identities.login(Cloud::Google, &registry).await, Ok(basic("oauth2accesstoken", "ya29")));
    }
    let heads = asked(&server, "/computemetadata/v1/instance/service-accounts/default/token");
    assert!(heads.len() == 1 && heads[0].contains("metadata-flavor: google"), "{heads:?}");
    bench.clock.advance(Duration::from_mins(55));
    assert!(bench.identities.login(Cloud::Google, &registry).await.is_ok());
    assert_eq!(server.heads().len(), 2, "five minutes before its end there is a new one");
}

#[tokio::test]
async fn a_key_file_of_google_signs_for_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]).arg(&key);
    assert!(openssl.output().unwrap().status.success(), "openssl makes a key");
    let server = Scripted::start(|_| answer("200 OK", &[], r#"{"access_token":"of-key","expires_in":3600}"#)).await;
    let text = serde_json::json!({
        "type": "service_account", "client_email": "puller@example.com", "private_key_id": "k1",
        "private_key": std::fs::read_to_string(&key).unwrap(), "token_uri": format!("http://{}/token", server.address()),
    });
    let bench = Bench::new([("GOOGLE_APPLICATION_CREDENTIALS", file(folder.path(), "key.json", &text.to_string()))]);
    let registry = host("gcr.io", "https://gcr.io/");
    assert_eq!(bench.identities.login(Cloud::Google, &registry).await, Ok(basic("oauth2accesstoken", "of-key")));
    assert_eq!(asked(&server, "/token").len(), 1);
    for (text, problem) in
        [("canary", "no credentials of Google Cloud"), (r#"{"type": "authorized_user", "x": "canary"}"#, "of a type that is not supported")]
    {
        let bench = Bench::new([("GOOGLE_APPLICATION_CREDENTIALS", file(folder.path(), "other.json", text))]);
        let told = bench.identities.login(Cloud::Google, &registry).await.unwrap_err();
        assert!(told.contains(problem) && !told.contains("canary"), "{told}");
    }
}

#[tokio::test]
async fn a_token_of_another_provider_is_exchanged_at_google() {
    let server = Scripted::start(|head| match head.split(' ').nth(1) {
        Some("/sts") => answer("200 OK", &[], r#"{"access_token":"federated","expires_in":3600}"#),
        _ => answer("200 OK", &[], r#"{"accessToken":"of-account","expireTime":"2026-01-01T01:00:00Z"}"#),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let text = serde_json::json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("http://{}/sts", server.address()),
        "service_account_impersonation_url": format!("http://{}/impersonate", server.address()),
        "credential_source": {"file": file(folder.path(), "token", "token-of-kubernetes")},
    });
    let bench = Bench::new([("GOOGLE_APPLICATION_CREDENTIALS", file(folder.path(), "federation.json", &text.to_string()))]);
    let login = bench.identities.login(Cloud::Google, &host("gcr.io", "https://gcr.io/")).await;
    assert_eq!(login, Ok(basic("oauth2accesstoken", "of-account")));
    assert!(asked(&server, "/impersonate")[0].contains("authorization: bearer federated"));
}

/// The directory and the registry of Azure in one.
async fn azure() -> Scripted {
    Scripted::start(|head| match head.split(' ').nth(1) {
        Some("/oauth2/exchange") => answer("200 OK", &[], r#"{"refresh_token":"refresh"}"#),
        _ => answer("200 OK", &[], r#"{"access_token":"directory","expires_in":"3599"}"#),
    })
    .await
}

#[tokio::test]
async fn a_workload_identity_of_azure_is_exchanged_at_the_registry() {
    let server = azure().await;
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new([
        ("AZURE_FEDERATED_TOKEN_FILE", file(folder.path(), "token", "token-of-kubernetes\n")),
        ("AZURE_CLIENT_ID", "client".to_owned()),
        ("AZURE_TENANT_ID", "tenant".to_owned()),
        ("AZURE_AUTHORITY_HOST", format!("http://{}/", server.address())),
    ]);
    let registry = host("shop.azurecr.io", &format!("http://{}/", server.address()));
    for _ in 0..2 {
        let login = bench.identities.login(Cloud::Azure, &registry).await;
        assert_eq!(login, Ok(basic("00000000-0000-0000-0000-000000000000", "refresh")));
    }
    let lines: Vec<String> = server.heads().iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["post /tenant/oauth2/v2.0/token http/1.1", "post /oauth2/exchange http/1.1"]);
}

#[tokio::test]
async fn a_managed_identity_of_azure_is_asked_for_at_its_endpoint() {
    let server = azure().await;
    let bench = Bench::new([
        ("IDENTITY_ENDPOINT", format!("http://{}/msi/token", server.address())),
        ("IDENTITY_HEADER", "of-the-platform".to_owned()),
    ]);
    let registry = host("shop.azurecr.io", &format!("http://{}/", server.address()));
    assert!(bench.identities.login(Cloud::Azure, &registry).await.is_ok());
    let head = &asked(&server, "/msi/token")[0];
    assert!(
        head.contains("resource=https%3a%2f%2fcontainerregistry.azure.net") && head.contains("x-identity-header: of-the-platform"),
        "{head}"
    );
    let gone = Bench::new([("IDENTITY_ENDPOINT", "no url".to_owned())]);
    assert_eq!(gone.identities.login(Cloud::Azure, &registry).await, Err("the azure identity: IDENTITY_ENDPOINT is no URL".to_owned()));
}
