//! A token service for a real registry: Docker's token flow (the distribution project's "Token Authentication
//! Specification"), with the JSON Web Tokens that `docker-registry` verifies (RS256, certificate in `x5c`).

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

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

/// How long a token lasts. `docker-registry` knows no shorter way to say "soon".
const TOKEN_SECONDS: i64 = 60;

/// A running token service that gives `login` whatever it asks for, everybody else nothing.
pub struct TokenService {
    server: Loopback,
    certificate: String,
}

struct Signer {
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
        let signer = Arc::new(Signer { login, key, certificate: inside(&certificate) });
        let server = Bound::new().unwrap().serve("token-service", move |request| {
            let answer = signer.answer(&request);
            async move { answer }.boxed()
        });
        Self { server: server.unwrap(), certificate }
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
        let access: Vec<Value> = scopes.filter_map(|(_, scope)| access(&scope)).collect();
        let token = self.sign(&access);
        warp::reply::json(&json!({ "token": token, "expires_in": TOKEN_SECONDS })).into_response()
    }

    fn sign(&self, access: &[Value]) -> String {
        let now = Timestamp::now().as_second();
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [self.certificate] });
        let claims = json!({
            "iss": "test", "aud": "test", "sub": self.login.user, "jti": format!("{:x}", fastrand::u64(..)),
            "iat": now, "nbf": now - 5, "exp": now + TOKEN_SECONDS, "access": access,
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
