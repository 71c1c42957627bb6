//! `[slack]`: where people are asked, and the tokens for it.

use url::{Host, Url};

use super::load::Single;
use super::secret::Secret;
use super::section::Section;

/// The section `[slack]`, where it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slack {
    /// The bot token, `xoxb-…`: `bot_token_file` or `bot_token_env`. Required.
    pub bot_token: Secret,
    /// The app token, `xapp-…`, for Socket Mode: `app_token_file` or `app_token_env`. Required.
    pub app_token: Secret,
    /// The channel to ask in, by its id. Required.
    pub channel: Box<str>,
    /// The Web API. Default `"https://slack.com/api"`.
    pub api_url: Url,
}

impl Single for Option<Slack> {
    const NAME: &'static str = "slack";

    fn read(section: &mut Section<'_, '_>) -> Self {
        const CHANNEL: &str = "write the channel's id, such as \"C0123456789\": it is at the end of the channel's details";
        section.require("channel", CHANNEL);
        let channel = section.parsed("channel", CHANNEL, channel);
        let api_url = section.parsed("api_url", "write an https address without a query", api_url);
        let bot_token = token(section, "bot_token", ["bot_token_file", "bot_token_env"]);
        let app_token = token(section, "app_token", ["app_token_file", "app_token_env"]);
        Some(Slack { bot_token: bot_token?, app_token: app_token?, channel: channel?, api_url: api_url.unwrap_or_else(default_api_url) })
    }
}

fn token(section: &mut Section<'_, '_>, stem: &'static str, keys: [&'static str; 2]) -> Option<Secret> {
    let [file, env] = keys;
    if ![stem, file, env].into_iter().any(|key| section.is_written(key)) {
        section.error(file, "is missing", format_args!("name the token with {file} or {env}"));
    }
    section.secret(stem, "Slack")
}

fn default_api_url() -> Url {
    const ADDRESS: &str = "https://slack.com/api";
    Url::parse(ADDRESS).expect("a constant that is an address")
}

/// Why a text cannot be used in one of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum SlackError {
    #[error("not the id of a channel")]
    Channel,
    #[error("not an address")]
    Url,
    #[error("only https is spoken with other machines")]
    NotEncrypted,
}

/// Names change and may be taken by others; ids stay.
fn channel(text: &str) -> Result<Box<str>, SlackError> {
    let is_id = text.starts_with(['C', 'G'])
        && (9..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_id { Ok(text.into()) } else { Err(SlackError::Channel) }
}

/// Tokens go there: by TLS, or to this machine.
fn api_url(text: &str) -> Result<Url, SlackError> {
    let url = Url::parse(text).map_err(|_| SlackError::Url)?;
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(SlackError::Url),
    };
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        _ if !is_plain => Err(SlackError::Url),
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        "http" => Err(SlackError::NotEncrypted),
        _ => Err(SlackError::Url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_named_by_its_id() {
        for good in ["C0123456789", "G0123456789"] {
            assert!(channel(good).is_ok(), "{good}");
        }
        for bad in ["#deploys", "deploys", "C1", "c0123456789", "D0123456789", "C01234567 9"] {
            assert!(channel(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_go_to_other_machines_by_tls_only() {
        for good in ["https://slack.com/api", "https://slack-gov.com/api", "http://127.0.0.1:8080/api", "http://[::1]/api"] {
            assert!(api_url(good).is_ok(), "{good}");
        }
        for bad in ["http://slack.com/api", "http://127.example.com/api", "ftp://127.0.0.1/", "slack.com", "https://a:b@slack.com/api"] {
            assert!(api_url(bad).is_err(), "{bad}");
        }
    }
}
