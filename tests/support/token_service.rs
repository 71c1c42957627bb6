//! A token service for a real registry: Docker's token flow (the distribution project's "Token Authentication
//! Specification"), with the JSON Web Tokens that `docker-registry` verifies (RS256, certificate in `x5c`).

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures::FutureExt as _;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use skeg::embedded::loopback::{Bound, Loopback, Request, Response, status};
use skeg::embedded::registry::Login;
use warp::Reply as _;
use warp::http::StatusCode;

/// How long a token lasts, where a test does not want it otherwise.
const TOKEN_SECONDS: i64 = 60;
/// How long registries take a token after its end.
const LEEWAY_SECONDS: i64 = 60;

/// A running token service that gives `login` whatever it asks for, everybody else nothing.
pub struct TokenService {
    server: Loopback,
    certificate: String,
    signer: Arc<Signer>,
}

/// A token that was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The scopes that it was asked for.
    pub scopes: Vec<String>,
    /// As it is sent.
    pub token: String,
}

/// How long tokens last.
#[derive(Clone, Copy)]
pub struct Life {
    /// In which the registry takes it.
    pub seconds: i64,
    /// Which the client is told.
    pub told_seconds: i64,
}

struct Signer {
    life: Mutex<Life>,
    given: Mutex<Vec<Given>>,
    login: Login,
    key: RsaKeyPair,
    /// The certificate as `x5c` wants it: DER in base64, which is PEM without its first and last line.
    certificate: String,
}

impl TokenService {
    /// Starts it with a new key.
    pub fn start(login: Login) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .current_dir(directory.path())
            .args(["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2", "-subj", "/CN=test"])
            .args(["-keyout", "tokens.key", "-out", "tokens.crt"])
            .output()
            .unwrap();
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        let key = std::fs::read_to_string(directory.path().join("tokens.key")).unwrap();
        let certificate = std::fs::read_to_string(directory.path().join("tokens.crt")).unwrap();
        let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(inside(&key)).unwrap()).unwrap();
        let life = Mutex::new(Life { seconds: TOKEN_SECONDS + LEEWAY_SECONDS, told_seconds: TOKEN_SECONDS });
        let signer = Arc::new(Signer { life, given: Mutex::default(), login, key, certificate: inside(&certificate) });
        let answering = Arc::clone(&signer);
        let server = Bound::new().unwrap().serve("token-service", move |request| {
            let answer = answering.answer(&request);
            async move { answer }.boxed()
        });
        Self { server: server.unwrap(), certificate, signer }
    }

    /// Gives tokens of this life from now on.
    pub fn give(&self, life: Life) {
        *self.signer.life.lock().unwrap() = life;
    }

    /// The tokens that were given so far.
    pub fn given(&self) -> Vec<Given> {
        self.signer.given.lock().unwrap().clone()
    }

    /// Where clients ask for tokens.
    pub fn realm(&self) -> String {
        let address: SocketAddr = self.server.address();
        format!("http://{address}/token")
    }

    /// The certificate of the key, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }
}

impl Signer {
    fn answer(&self, request: &Request) -> Response {
        let pair = STANDARD.encode(format!("{}:{}", self.login.user, self.login.password));
        if request.header("authorization") != Some(format!("Basic {pair}").as_str()) {
            return status(StatusCode::UNAUTHORIZED);
        }
        let scopes = url::form_urlencoded::parse(request.query.as_bytes()).filter(|(key, _)| key == "scope");
        let scopes: Vec<String> = scopes.map(|(_, scope)| scope.into_owned()).collect();
        let access: Vec<Value> = scopes.iter().filter_map(|scope| access(scope)).collect();
        let life = *self.life.lock().unwrap();
        let token = self.sign(&access, life.seconds);
        self.given.lock().unwrap().push(Given { scopes, token: token.clone() });
        warp::reply::json(&json!({ "token": token, "expires_in": life.told_seconds })).into_response()
    }

    fn sign(&self, access: &[Value], seconds: i64) -> String {
        let now = Timestamp::now().as_second();
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [self.certificate] });
        let claims = json!({
            "iss": "test", "aud": "test", "sub": self.login.user, "jti": format!("{:x}", fastrand::u64(..)),
            "iat": now, "nbf": now - 5, "exp": now + seconds - LEEWAY_SECONDS, "access": access,
        });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// `repository:<name>:<actions>` as a claim.
fn access(scope: &str) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let actions: Vec<&str> = actions.split(',').collect();
    Some(json!({ "type": kind, "name": name, "actions": actions }))
}

/// What is between the first and the last line of a PEM file.
fn inside(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}
