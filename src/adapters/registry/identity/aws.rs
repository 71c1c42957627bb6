//! ECR: `GetAuthorizationToken`, signed, gives a user and a password for twelve hours.
//!
//! Sources: Amazon ECR and ECR Public API references; endpoints as `AWS_ENDPOINT_URL_…` of the AWS SDKs have them. Credentials and signatures
//! are reqsign's; what it sends goes through our own client. Helper programs of a profile are not run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use jiff::Timestamp;
use oci_distribution::secrets::RegistryAuth;
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner};
use reqsign_core::{Context, Env, FileRead, HttpSend, Signer};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{ANSWER_BYTES_MAX, Granted, IdentityError, Service, Surroundings, reach, url};
use crate::adapters::fetch::{Ask, Fetch};
use crate::adapters::registry::entries::Host;
use crate::core::one_line::one_line;
use crate::core::schedule::after;

/// The public gallery, and the one region its API is in.
const PUBLIC: (&str, &str) = ("public.ecr.aws", "us-east-1");
/// What the API asks for an answer is sent as.
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
/// What a token lasts at the most, whatever the answer says.
const LIFE_MAX: Duration = Duration::from_hours(12);
/// How much of an error of the credential chain is repeated.
const ERROR_CHARS_MAX: usize = 200;

/// The credentials of the process, and the API.
pub(super) struct Aws {
    fetch: Fetch,
    surroundings: Surroundings,
    context: Context,
    signer: Signer<Credential>,
}

/// Which API gives the token for a registry.
#[derive(Debug, PartialEq, Eq)]
struct Api {
    service: &'static str,
    region: String,
    endpoint: String,
    target: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: OneOrMany,
}

/// ECR answers with a list of one, the public gallery with the one.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Authorization),
    Many(Vec<Authorization>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: String,
    /// Seconds since 1970.
    expires_at: Option<f64>,
}

impl Aws {
    pub fn new(fetch: &Fetch, surroundings: &Surroundings) -> Self {
        let sends = Sends { fetch: fetch.clone(), surroundings: surroundings.clone() };
        let context = Context::new().with_http_send(sends).with_file_read(surroundings.clone()).with_env(surroundings.clone());
        let chain = DefaultCredentialProvider::builder().no_process().build();
        // The signer keeps the credentials; service and region are those of each call.
        let signer = Signer::new(context.clone(), chain, RequestSigner::new("ecr", "us-east-1"));
        Self { fetch: fetch.clone(), surroundings: surroundings.clone(), context, signer }
    }

    pub async fn login(&self, host: &Host, now: Timestamp) -> Result<Granted, IdentityError> {
        let api = self.api(&host.name)?;
        let endpoint: Url = url(&api.endpoint, "the address of ECR's API (AWS_ENDPOINT_URL)")?;
        let body = Bytes::from_static(b"{}");
        let headers = self.signed(&api, &endpoint, &body).await?;
        let mut ask = Ask::new(Method::POST, endpoint, ANSWER_BYTES_MAX);
        ask.authorization = headers.get(http::header::AUTHORIZATION).cloned();
        (ask.headers, ask.body, ask.reach) = (headers, Some(body), reach(&ask.url));
        let service = Service { fetch: &self.fetch, name: "ECR's API" };
        let answer = self.fetch.send(ask).await.map_err(|error| service.failed(format!("is not reached: {error}")))?;
        let answer: Answer = service.parsed(&answer)?;
        granted(answer, now).ok_or_else(|| service.failed("answered with what is no token"))
    }

    async fn signed(&self, api: &Api, endpoint: &Url, body: &[u8]) -> Result<HeaderMap, IdentityError> {
        let request = Request::post(endpoint.as_str()).header(CONTENT_TYPE, JSON).header("x-amz-target", api.target);
        let request = request.header("x-amz-content-sha256", hex::encode(Sha256::digest(body))).body(());
        let (mut parts, ()) = request.map_err(|_| IdentityError::Missing("ECR's API has no usable address".to_owned()))?.into_parts();
        let signer = self.signer.clone().with_context(self.context.clone());
        let signer = signer.with_request_signer(RequestSigner::new(api.service, &api.region));
        let outcome = signer.sign(&mut parts, None).await;
        outcome.map_err(|error| IdentityError::Missing(format!("no credentials: {}", one_line(&error.to_string(), ERROR_CHARS_MAX))))?;
        Ok(parts.headers)
    }

    fn api(&self, registry: &str) -> Result<Api, IdentityError> {
        let variable = |name: &str| self.surroundings.variable(name);
        if registry == PUBLIC.0 {
            let endpoint = variable("AWS_ENDPOINT_URL_ECR_PUBLIC").or_else(|| variable("AWS_ENDPOINT_URL"));
            let endpoint = endpoint.unwrap_or_else(|| format!("https://api.ecr-public.{}.amazonaws.com/", PUBLIC.1));
            let target = "SpencerFrontendService.GetAuthorizationToken";
            return Ok(Api { service: "ecr-public", region: PUBLIC.1.to_owned(), endpoint, target });
        }
        let named = region_of(registry);
        let region =
            named.map(|(region, _)| region.to_owned()).or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.ok_or_else(|| IdentityError::Missing("the registry's name has no region in it: set AWS_REGION".to_owned()))?;
        let suffix = named.map_or("amazonaws.com", |(_, suffix)| suffix);
        let endpoint = variable("AWS_ENDPOINT_URL_ECR").or_else(|| variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.unwrap_or_else(|| format!("https://api.ecr.{region}.{suffix}/"));
        Ok(Api { service: "ecr", region, endpoint, target: "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" })
    }
}

/// Region and domain in the name of a private registry: `<account>.dkr.ecr.<region>.amazonaws.com` and its variants.
fn region_of(registry: &str) -> Option<(&str, &str)> {
    let (account, rest) = registry.split_once('.')?;
    let rest = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."].iter().find_map(|start| rest.strip_prefix(start))?;
    let (region, domain) = rest.split_once('.')?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let suffix = match domain {
        "amazonaws.com" | "on.aws" => "amazonaws.com",
        "amazonaws.com.cn" | "on.amazonwebservices.com.cn" => "amazonaws.com.cn",
        _ => return None,
    };
    is_account.then_some((region, suffix))
}

fn granted(answer: Answer, now: Timestamp) -> Option<Granted> {
    let authorization = match answer.authorization_data {
        OneOrMany::One(one) => one,
        OneOrMany::Many(many) => many.into_iter().next()?,
    };
    let text = String::from_utf8(STANDARD.decode(authorization.authorization_token).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    let latest = after(now, LIFE_MAX);
    let said = authorization.expires_at.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    let said = said.and_then(|seconds| Timestamp::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?).ok());
    Some(Granted { login: RegistryAuth::Basic(user.to_owned(), password.to_owned()), ends: said.unwrap_or(latest).min(latest) })
}

/// Carries what the credential chain asks.
#[derive(Debug)]
struct Sends {
    fetch: Fetch,
    surroundings: Surroundings,
}

impl HttpSend for Sends {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let failed = |problem: String| reqsign_core::Error::unexpected(problem);
        let mut url: Url = parts.uri.to_string().parse().map_err(|_| failed("an address that is no URL".to_owned()))?;
        let sts = || self.surroundings.variable("AWS_ENDPOINT_URL_STS").or_else(|| self.surroundings.variable("AWS_ENDPOINT_URL"));
        if let Some(endpoint) = url.host_str().is_some_and(|host| host.starts_with("sts.")).then(sts).flatten() {
            let query = url.query().map(str::to_owned);
            url = endpoint.parse().map_err(|_| failed("AWS_ENDPOINT_URL_STS is no URL".to_owned()))?;
            url.set_query(query.as_deref());
        }
        let mut ask = Ask::new(parts.method, url, ANSWER_BYTES_MAX);
        ask.authorization = parts.headers.get(http::header::AUTHORIZATION).cloned();
        (ask.headers, ask.body, ask.reach) = (parts.headers, Some(body).filter(|body| !body.is_empty()), reach(&ask.url));
        let answer = self.fetch.send(ask).await.map_err(|error| failed(error.to_string()))?;
        let mut response = Response::new(answer.body);
        (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
        Ok(response)
    }
}

impl FileRead for Surroundings {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        self.file(path).await.map_err(|error| reqsign_core::Error::config_invalid(error.to_string()))
    }
}

impl Env for Surroundings {
    fn var(&self, key: &str) -> Option<String> {
        self.variable(key)
    }

    fn vars(&self) -> HashMap<String, String> {
        self.variables()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(registry: &str, expected: Option<(&str, &str)>) {
        assert_eq!(region_of(registry), expected, "{registry}");
    }

    #[test]
    fn the_region_is_in_the_name_of_a_private_registry() {
        check("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some(("eu-west-1", "amazonaws.com")));
        check("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some(("us-gov-west-1", "amazonaws.com")));
        check("123456789012.dkr-ecr.eu-west-1.on.aws", Some(("eu-west-1", "amazonaws.com")));
        check("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some(("cn-north-1", "amazonaws.com.cn")));
        for other in
            ["1.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.test", "ecr.test", "docker.io"]
        {
            check(other, None);
        }
    }

    #[test]
    fn both_forms_of_an_answer_are_read() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let read = |text: &str| serde_json::from_str(text).ok().and_then(|answer| granted(answer, now));
        // AWS:pass
        let list = read(r#"{"authorizationData": [{"authorizationToken": "QVdTOnBhc3M=", "expiresAt": 1767236400.5}]}"#).unwrap();
        assert_eq!(list.login, RegistryAuth::Basic("AWS".to_owned(), "pass".to_owned()));
        assert_eq!(list.ends.as_second(), 1_767_236_400);
        let one = read(r#"{"authorizationData": {"authorizationToken": "QVdTOnBhc3M=", "expiresAt": 9e99}}"#).unwrap();
        assert_eq!(one.ends, after(now, LIFE_MAX));
        for none in [r#"{"authorizationData": []}"#, r#"{"authorizationData": [{"authorizationToken": "QVdT"}]}"#, "{}"] {
            assert!(read(none).is_none(), "{none}");
        }
    }
}
