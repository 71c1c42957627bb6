//! ACR: a token of the directory, exchanged at the registry for one that its token server takes as a password.
//!
//! Sources: Microsoft, "Azure Container Registry authentication" (the exchange, and the user of all zeros), "Workload identity" and "Managed
//! identities: how to use an access token". A federated token of Kubernetes comes first, then the managed identity of the machine.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use oci_distribution::secrets::RegistryAuth;
use serde::Deserialize;
use url::Url;

use super::{Granted, IdentityError, Service, Surroundings, url};
use crate::adapters::fetch::Fetch;
use crate::adapters::registry::entries::Host;
use crate::core::schedule::after;

/// What the directory's token is for.
const AUDIENCE: &str = "https://containerregistry.azure.net";
/// The user whose password is a refresh token of the registry.
const USER: &str = "00000000-0000-0000-0000-000000000000";
/// The directory unless `AZURE_AUTHORITY_HOST` says otherwise.
const AUTHORITY: &str = "https://login.microsoftonline.com/";
/// The metadata service of virtual machines unless `IDENTITY_ENDPOINT` names another.
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// The longest a refresh token is used; they last three hours.
const LIFE_MAX: Duration = Duration::from_hours(3);
/// How long one is used that does not say.
const LIFE_DEFAULT: Duration = Duration::from_mins(30);

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

#[derive(Deserialize)]
struct Exchanged {
    refresh_token: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
}

pub(super) async fn login(fetch: &Fetch, surroundings: &Surroundings, host: &Host, now: Timestamp) -> Result<Granted, IdentityError> {
    let token = match surroundings.variable("AZURE_FEDERATED_TOKEN_FILE") {
        Some(path) => of_workload(fetch, surroundings, &path).await?,
        None => of_machine(fetch, surroundings).await?,
    };
    exchanged(fetch, surroundings, host, &token, now).await
}

async fn of_workload(fetch: &Fetch, surroundings: &Surroundings, path: &str) -> Result<String, IdentityError> {
    let needed = |name: &str| surroundings.variable(name).ok_or_else(|| IdentityError::Missing(format!("{name} is not set")));
    let (client, tenant) = (needed("AZURE_CLIENT_ID")?, needed("AZURE_TENANT_ID")?);
    let authority = surroundings.variable("AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.to_owned());
    let mut address = url(&authority, "AZURE_AUTHORITY_HOST")?;
    let no_path = || IdentityError::Missing("AZURE_AUTHORITY_HOST is no address of a directory".to_owned());
    address.path_segments_mut().map_err(|()| no_path())?.pop_if_empty().extend([&tenant, "oauth2", "v2.0", "token"]);
    let assertion = surroundings.text(path).await?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &client),
        ("scope", &format!("{AUDIENCE}/.default")),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ];
    let token: Token = Service { fetch, name: "Azure's directory" }.post(address, &form).await?;
    Ok(token.access_token)
}

async fn of_machine(fetch: &Fetch, surroundings: &Surroundings) -> Result<String, IdentityError> {
    let service = Service { fetch, name: "Azure's managed identity" };
    let place = surroundings.variable("IDENTITY_ENDPOINT");
    let (version, secret) = match &place {
        Some(_) => ("2019-08-01", surroundings.variable("IDENTITY_HEADER").unwrap_or_default()),
        None => ("2018-02-01", String::new()),
    };
    let mut address = url(place.as_deref().unwrap_or(METADATA), "IDENTITY_ENDPOINT")?;
    address.query_pairs_mut().append_pair("api-version", version).append_pair("resource", AUDIENCE);
    if let Some(client) = surroundings.variable("AZURE_CLIENT_ID") {
        address.query_pairs_mut().append_pair("client_id", &client);
    }
    let header = if place.is_some() { ("x-identity-header", secret.as_str()) } else { ("metadata", "true") };
    let token: Token = service.get(address, &[header]).await?;
    Ok(token.access_token)
}

async fn exchanged(fetch: &Fetch, surroundings: &Surroundings, host: &Host, token: &str, now: Timestamp) -> Result<Granted, IdentityError> {
    let service = Service { fetch, name: "the registry's token exchange" };
    let address: Url = host.base.join("oauth2/exchange").map_err(|_| service.failed("has no address"))?;
    let tenant = surroundings.variable("AZURE_TENANT_ID");
    let mut form = vec![("grant_type", "access_token"), ("service", host.name.as_str()), ("access_token", token)];
    form.extend(tenant.as_deref().map(|tenant| ("tenant", tenant)));
    let Exchanged { refresh_token } = service.post(address, &form).await?;
    let ends = ends(&refresh_token, now);
    Ok(Granted { login: RegistryAuth::Basic(USER.to_owned(), refresh_token), ends })
}

/// The end that the token itself names (RFC 7519). It is only used sooner for it, so nobody has to vouch for it.
fn ends(token: &str, now: Timestamp) -> Timestamp {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Claims> = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let said = claims.and_then(|claims| Timestamp::from_second(claims.exp).ok());
    said.unwrap_or_else(|| after(now, LIFE_DEFAULT)).min(after(now, LIFE_MAX))
}
