//! A registry of the suite: how it is started, written to and read, and what it does otherwise than others.

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use skeg::adapters::clock::SystemClock;
use skeg::adapters::registry::{CredentialProvider, Observer, RegistryAuth, RegistryClient, RegistryEntry, Seen, Surroundings};
use skeg::core::image::Repository;
use skeg::embedded::registry::Login;
use skeg::ports::clock::Clock;
use skeg::ports::registry::Cloud;

use super::push::{self, Files, Http, Writer};
use crate::support::needs::{Program, all_there, made_there};
use crate::support::registry::{Auth, MADE_BY, RealRegistry, Version};
use crate::support::server::Server;
use crate::support::token_service::TokenService;

/// The namespace that the login is granted to.
pub const TEAM: &str = "team";
/// What moto's tokens are made of.
const ECR_USER: &str = "AWS";
const ECR_PASSWORD: &str = "123456789012-auth-token";
/// The tags that every registry gets in its larger repository: no page and no sum of pages.
const TAGS: usize = 256;

/// A running registry.
pub struct Far {
    /// The registry part of an image reference.
    pub host: String,
    /// Who may read it.
    pub reader: Reader,
    /// The way to put something into it.
    pub writer: Writer,
    /// How many tags a repository gets that has many, and the requests that listing them takes.
    pub tags_in_requests: (usize, usize),
    /// Whether it marks lists, so that one that is unchanged need not be sent.
    pub marks_lists: bool,
    /// The folder of a repository's tags, where a name can be put that no client may push.
    pub tag_folders: Option<PathBuf>,
    /// Who gives tokens for it.
    pub tokens: Option<Arc<TokenService>>,
    running: Box<dyn Any>,
}

/// Who may read a registry.
pub enum Reader {
    /// Everybody.
    Anybody,
    /// Who has this login.
    Login(Login),
    /// Who the cloud says this is, there.
    Identity(Surroundings),
}

/// A client, and the statuses that its requests to anybody were answered with.
pub struct Client {
    pub client: RegistryClient,
    answers: Arc<Mutex<Vec<String>>>,
}

impl Client {
    /// The client that this entry makes.
    pub fn of(entry: RegistryEntry, clock: Arc<dyn Clock>) -> Self {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&answers);
        let observer: Observer = Arc::new(move |_, seen| {
            if let Seen::Answer(status) = seen {
                notes.lock().unwrap().push(status.to_owned());
            }
        });
        Self { client: RegistryClient::new(vec![entry], clock, observer).unwrap(), answers }
    }

    /// The statuses since this was asked last.
    pub fn answers(&self) -> Vec<String> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }
}

/// An entry for a registry on loopback, with this login for one namespace.
pub fn entry(host: &str, login: Option<&Login>) -> RegistryEntry {
    let credential = login.cloned().map(|login| {
        let read = move || Ok(RegistryAuth::Basic(login.user.clone(), login.password.clone()));
        Arc::new(read) as CredentialProvider
    });
    RegistryEntry { insecure: true, namespaces: vec![TEAM.to_owned()], credential, ..RegistryEntry::new(host) }
}

impl Far {
    /// Docker's registry, old or new.
    #[track_caller]
    pub fn distribution(version: Version, auth: &Auth) -> Option<Self> {
        let registry = RealRegistry::start_of(version, auth.clone(), None)?;
        let requests = match version {
            Version::Two => 1,
            Version::Three { page_tags } => TAGS.div_ceil(page_tags),
        };
        Some(Self {
            host: registry.host(),
            reader: auth.login().map_or(Reader::Anybody, |login| Reader::Login(login.clone())),
            writer: Writer::Http(Http::new(registry.host(), auth, registry.tokens().as_deref())),
            tags_in_requests: (TAGS, requests),
            marks_lists: false,
            tag_folders: Some(registry.tag_folders(push::ODD)),
            tokens: registry.tokens(),
            running: Box::new(registry),
        })
    }

    /// `crane registry serve`.
    #[track_caller]
    pub fn crane() -> Option<Self> {
        let crane = made_there("crane", MADE_BY)?.join("crane").display().to_string();
        let (server, ()) = Server::start("crane.sh", &[("CRANE", crane)], |_| ());
        let host = server.address().to_string();
        Some(Self {
            writer: Writer::Http(Http::new(host.clone(), &Auth::Anonymous, None)),
            host,
            reader: Reader::Anybody,
            // More than are asked for at once.
            tags_in_requests: (1_103, 2),
            marks_lists: false,
            tag_folders: None,
            tokens: None,
            running: Box::new(server),
        })
    }

    /// Files that nginx serves.
    #[track_caller]
    pub fn files() -> Option<Self> {
        if !all_there(&[Program("nginx", "nginx")]) {
            return None;
        }
        let (tag, digest) = push::index();
        let variables = [("INDEX", tag.to_owned()), ("INDEX_DIGEST", digest)];
        let (server, folder) = Server::start("static_registry.sh", &variables, |folder| folder.join("registry"));
        Some(Self {
            host: server.address().to_string(),
            reader: Reader::Anybody,
            writer: Writer::Files(Files::below(folder)),
            tags_in_requests: (TAGS, 1),
            marks_lists: true,
            tag_folders: None,
            tokens: None,
            running: Box::new(server),
        })
    }

    /// Docker's registry with the password that moto gives out in place of AWS.
    #[track_caller]
    pub fn ecr() -> Option<Self> {
        made_there("moto", "tests/servers/moto.sh")?;
        let registry = Self::distribution(Version::Two, &Auth::Basic(Login::new(ECR_USER, ECR_PASSWORD)))?;
        let (moto, ()) = Server::start("moto.sh", &[], |_| ());
        let surroundings = Surroundings::made_up([
            ("AWS_ENDPOINT_URL_ECR", format!("http://{}/", moto.address())),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "canary".to_owned()),
        ]);
        Some(Self { reader: Reader::Identity(surroundings), running: Box::new((registry.running, moto)), ..registry })
    }

    /// A repository of it.
    pub fn repository(&self, path: &str) -> Repository {
        Repository::new(&self.host, path).unwrap()
    }

    /// Whether it wants to know who reads.
    pub fn asks(&self) -> bool {
        !matches!(self.reader, Reader::Anybody)
    }

    /// A client that may read it, for the namespace that is granted to.
    pub fn client(&self) -> Client {
        match &self.reader {
            Reader::Anybody => self.client_with(None),
            Reader::Login(login) => self.client_with(Some(login)),
            Reader::Identity(surroundings) => {
                let entry = RegistryEntry { identity: Some(Cloud::Aws), ..entry(&self.host, None) };
                let Client { client, answers } = Client::of(entry, Arc::new(SystemClock));
                Client { client: client.with_surroundings(surroundings), answers }
            }
        }
    }

    /// A client with this login for it.
    pub fn client_with(&self, login: Option<&Login>) -> Client {
        Client::of(entry(&self.host, login), Arc::new(SystemClock))
    }
}
