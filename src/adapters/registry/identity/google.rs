//! Artifact Registry and gcr.io: an access token of Google Cloud, as the password of `oauth2accesstoken`.
//!
//! Sources: Google Cloud, "Authenticate to Artifact Registry for Docker", "Application Default Credentials", AIP-4112 (key files), AIP-4117
//! (identity federation) and "Access VM metadata". `GOOGLE_APPLICATION_CREDENTIALS` names a file; without it the metadata server is asked, which
//! also answers for workload identity on GKE.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use oci_distribution::secrets::RegistryAuth;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Granted, IdentityError, Service, Surroundings, url};
use crate::adapters::fetch::Fetch;
use crate::core::schedule::after;

/// The user whose password is an access token.
const USER: &str = "oauth2accesstoken";
/// Where the metadata server is unless `GCE_METADATA_HOST` says otherwise.
const METADATA_HOST: &str = "metadata.google.internal";
/// The narrowest scope that reads both registries: access is bounded by the account's own rights.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform.read-only";
/// How long an assertion may be taken for; also the longest life of a token.
const LIFE_MAX: Duration = Duration::from_hours(1);
/// The file that is used in place of the metadata server.
const FILE_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// A file with credentials, as far as it is understood.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CredentialFile {
    ServiceAccount(Key),
    ExternalAccount(External),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Key {
    client_email: String,
    #[serde(rename = "private_key")]
    pem: String,
    #[serde(rename = "private_key_id")]
    id: Option<String>,
    token_uri: String,
}

#[derive(Deserialize)]
struct External {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: Source,
}

/// Only files are read: a URL or a program would be a way around what the configuration allows.
#[derive(Deserialize)]
struct Source {
    file: Option<String>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<u64>,
}

/// Impersonation answers in its own spelling.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: Option<Timestamp>,
}

pub(super) async fn login(fetch: &Fetch, surroundings: &Surroundings, now: Timestamp) -> Result<Granted, IdentityError> {
    let Some(path) = surroundings.variable(FILE_VARIABLE) else { return of_metadata(fetch, surroundings, now).await };
    let unusable = |problem: &str| IdentityError::File { path: path.clone(), problem: problem.to_owned() };
    let file = serde_json::from_slice(&surroundings.file(&path).await?);
    match file.map_err(|_| unusable("no credentials of Google Cloud"))? {
        CredentialFile::ServiceAccount(key) => {
            of_key(fetch, &key, now).await.map_err(|error| error.unwrap_or_else(|| unusable("its private key cannot be used")))
        }
        CredentialFile::ExternalAccount(external) => of_federation(fetch, surroundings, &external, now).await,
        CredentialFile::Other => Err(unusable("of a type that is not supported: service_account and external_account are")),
    }
}

async fn of_metadata(fetch: &Fetch, surroundings: &Surroundings, now: Timestamp) -> Result<Granted, IdentityError> {
    let host = surroundings.variable("GCE_METADATA_HOST").unwrap_or_else(|| METADATA_HOST.to_owned());
    let address = url(&format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token"), "GCE_METADATA_HOST")?;
    let service = Service { fetch, name: "Google Cloud's metadata server" };
    Ok(granted(service.get(address, &[("metadata-flavor", "Google")]).await?, now))
}

/// An assertion signed with the key is exchanged for a token (RFC 7523). `None` for a key that cannot be used.
async fn of_key(fetch: &Fetch, key: &Key, now: Timestamp) -> Result<Granted, Option<IdentityError>> {
    let assertion = assertion(key, now).ok_or(None)?;
    let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
    let service = Service { fetch, name: "Google's token server" };
    let token = service.post(url(&key.token_uri, "token_uri").map_err(Some)?, &form).await;
    Ok(granted(token.map_err(Some)?, now))
}

fn assertion(key: &Key, now: Timestamp) -> Option<String> {
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let (Some(id), Some(fields)) = (&key.id, header.as_object_mut()) {
        fields.insert("kid".to_owned(), id.as_str().into());
    }
    let claims = json!({
        "iss": key.client_email, "scope": SCOPE, "aud": key.token_uri,
        "iat": now.as_second(), "exp": after(now, LIFE_MAX).as_second(),
    });
    let unsigned = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let pair = RsaKeyPair::from_pkcs8(&unarmoured(&key.pem)?).ok()?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), unsigned.as_bytes(), &mut signature).ok()?;
    Some(format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The bytes in PEM (RFC 7468).
fn unarmoured(text: &str) -> Option<Vec<u8>> {
    let lines = text.lines().skip_while(|line| !line.starts_with("-----BEGIN ")).skip(1).take_while(|line| !line.starts_with("-----END "));
    STANDARD.decode(lines.map(str::trim).collect::<String>()).ok()
}

/// A token of another identity provider is exchanged for one of Google (RFC 8693), and that for one of a service account if it is to act as one.
async fn of_federation(fetch: &Fetch, surroundings: &Surroundings, external: &External, now: Timestamp) -> Result<Granted, IdentityError> {
    let subject = subject_token(surroundings, &external.credential_source).await?;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", &external.audience),
        ("scope", SCOPE),
        ("subject_token_type", &external.subject_token_type),
        ("subject_token", &subject),
    ];
    let service = Service { fetch, name: "Google's token exchange" };
    let token: Token = service.post(url(&external.token_url, "token_url")?, &form).await?;
    let Some(account) = &external.service_account_impersonation_url else { return Ok(granted(token, now)) };
    let service = Service { fetch, name: "Google's service account" };
    let mut ask = super::Ask::new(http::Method::POST, url(account, "service_account_impersonation_url")?, super::ANSWER_BYTES_MAX);
    ask.authorization = http::HeaderValue::from_str(&format!("Bearer {}", token.access_token)).ok();
    ask.headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    ask.body = Some(json!({"scope": [SCOPE]}).to_string().into());
    let token: Impersonated = service.read(ask).await?;
    let latest = after(now, LIFE_MAX);
    Ok(Granted { login: RegistryAuth::Basic(USER.to_owned(), token.access_token), ends: token.expire_time.unwrap_or(latest).min(latest) })
}

async fn subject_token(surroundings: &Surroundings, source: &Source) -> Result<String, IdentityError> {
    let no_file = || IdentityError::Missing("the identity federation of Google Cloud takes its token from no file".to_owned());
    let path = source.file.as_ref().ok_or_else(no_file)?;
    let text = surroundings.text(path).await?;
    let Some(field) = &source.format.subject_token_field_name else { return Ok(text) };
    let parsed: Value = serde_json::from_str(&text).unwrap_or_default();
    let token = parsed.get(field).and_then(Value::as_str);
    token.map(str::to_owned).ok_or_else(|| IdentityError::File { path: path.clone(), problem: "no token under the field named".to_owned() })
}

fn granted(token: Token, now: Timestamp) -> Granted {
    let life = token.expires_in.map_or(Duration::from_mins(5), Duration::from_secs).min(LIFE_MAX);
    Granted { login: RegistryAuth::Basic(USER.to_owned(), token.access_token), ends: after(now, life) }
}
