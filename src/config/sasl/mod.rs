//! How a channel logs in at its brokers: `kafka.producer.sasl.*`, and JAAS, in the property or in
//! the file of `-Djava.security.auth.login.config`.

use std::path::{Path, PathBuf};

use super::diagnostics::Diagnostics;
use super::jaas::{self, Module};
use super::known::{Property, Scope, row};
use super::secret::Secret;
use super::section::Section;
use super::tls::{Stored, TrustStore};

/// Who logs in, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    Plain {
        name: String,
        password: Secret,
    },
    Scram256 {
        name: String,
        password: Secret,
    },
    Scram512 {
        name: String,
        password: Secret,
    },
    OAuth {
        token: Token,
        extensions: Vec<(String, String)>,
    },
    Gssapi {
        /// The name of the brokers before their host.
        service: String,
        principal: Option<String>,
        tickets: Tickets,
        /// In place of /etc/krb5.conf.
        configuration: Option<PathBuf>,
    },
    Msk(AwsKeys),
}

impl Login {
    /// As brokers call it.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Login::Plain { .. } => "PLAIN",
            Login::Scram256 { .. } => "SCRAM-SHA-256",
            Login::Scram512 { .. } => "SCRAM-SHA-512",
            Login::OAuth { .. } => "OAUTHBEARER",
            Login::Gssapi { .. } => "GSSAPI",
            Login::Msk(_) => "AWS_MSK_IAM",
        }
    }

    /// Whom brokers know afterwards, where that is known here.
    pub fn principal(&self) -> Option<&str> {
        match self {
            Login::Plain { name, .. }
            | Login::Scram256 { name, .. }
            | Login::Scram512 { name, .. } => Some(name),
            Login::OAuth { token: Token::Unsecured(claims), .. } => claims.principal(),
            Login::OAuth { .. } | Login::Msk(_) => None,
            Login::Gssapi { principal, .. } => principal.as_deref(),
        }
    }
}

/// Where the keys of AWS come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// Of the file of profiles, and of nowhere else.
    pub profile: Option<String>,
}

/// Where tickets of Kerberos come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tickets {
    /// Got by a key of this file, and anew before they end.
    Keytab(PathBuf),
    /// A ticket cache that another program renews; if it is not named, in the usual place.
    Cache(Option<PathBuf>),
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Unsigned, for trials.
    Unsecured(Claims),
    /// Read anew for each login.
    File(PathBuf),
    /// Asked for, and again before it ends.
    Endpoint(Endpoint),
}

/// Who gives tokens to those who say who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// By TLS.
    pub is_encrypted: bool,
    pub host: String,
    pub port: u16,
    /// With what follows it.
    pub path: String,
    pub client_id: String,
    pub secret: Secret,
    pub scope: Option<String>,
    /// The authorities to trust for TLS; otherwise those of the system.
    pub trust: Option<TrustStore>,
}

/// What an unsecured token says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    pub texts: Vec<(String, String)>,
    pub numbers: Vec<(String, i64)>,
    pub lists: Vec<(String, Vec<String>)>,
    pub lifetime_s: u64,
    /// The claim that says who it is.
    pub principal_claim: String,
}

impl Claims {
    fn principal(&self) -> Option<&str> {
        let claim = self.texts.iter().find(|(name, _)| *name == self.principal_claim);
        claim.map(|(_, value)| value.as_str())
    }
}

const MECHANISM: &str = "kafka.producer.sasl.mechanism";
const JAAS: &str = "kafka.producer.sasl.jaas.config";
const CALLBACK: &str = "kafka.producer.sasl.login.callback.handler.class";
const TOKEN_URL: &str = "kafka.producer.sasl.oauthbearer.token.endpoint.url";
const SERVICE: &str = "kafka.producer.sasl.kerberos.service.name";
const KRB5_CONF: &str = "java.security.krb5.conf";
const SCOPE: &str = "kafka.producer.sasl.oauthbearer.scope";
/// Where Java looks for logins that the configuration does not have.
const JAAS_FILE: &str = "java.security.auth.login.config";
const JAAS_SECTION: &str = "KafkaClient";
/// No such file is longer, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Those of an unsecured token, as in Kafka's own client.
const LIFETIME_S: u64 = 3_600;
const LIFETIME_S_MAX: u64 = 10 * 365 * 86_400;

const fn of(name: &str) -> &'static Property {
    row(Scope::Channel, name)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Scram256,
    Scram512,
    OAuth,
    Gssapi,
    Msk,
}

impl Mechanism {
    /// Its login module in Java.
    fn class(self) -> &'static str {
        match self {
            Mechanism::Plain => "org.apache.kafka.common.security.plain.PlainLoginModule",
            Mechanism::Scram256 | Mechanism::Scram512 => {
                "org.apache.kafka.common.security.scram.ScramLoginModule"
            }
            Mechanism::OAuth => {
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
            }
            Mechanism::Gssapi => "com.sun.security.auth.module.Krb5LoginModule",
            Mechanism::Msk => "software.amazon.msk.auth.iam.IAMLoginModule",
        }
    }
}

/// Where the login module stands, for messages.
enum Place {
    Property,
    File(String),
}

/// Reads who logs in. `None`: there is an error.
pub(super) fn build(
    section: &Section,
    system: &dyn Fn(&str) -> Option<String>,
    found: &mut Diagnostics,
) -> Option<Login> {
    if !cfg!(feature = "tls") {
        let message = "this build of the program can neither encrypt nor log in; take one with the feature tls";
        section.error(found, MECHANISM, message);
        return None;
    }
    let mechanism = section.choice(
        found,
        const { of(MECHANISM) },
        [
            ("GSSAPI", Mechanism::Gssapi),
            ("PLAIN", Mechanism::Plain),
            ("SCRAM-SHA-256", Mechanism::Scram256),
            ("SCRAM-SHA-512", Mechanism::Scram512),
            ("OAUTHBEARER", Mechanism::OAuth),
            ("AWS_MSK_IAM", Mechanism::Msk),
        ],
    );
    refuse_other_handlers(section, found);
    let (module, place) = module(section, system, found)?;
    let error = |found: &mut Diagnostics, why: String| {
        let why = match &place {
            Place::Property => why,
            Place::File(path) => format!("{path}, section {JAAS_SECTION}: {why}"),
        };
        section.error(found, JAAS, why);
    };
    if module.class != mechanism.class() {
        let (class, wanted) = (&module.class, mechanism.class());
        let name = section.text(const { of(MECHANISM) });
        error(found, format!("{class} is not the module of {name}; write {wanted}"));
        return None;
    }
    let login = match mechanism {
        Mechanism::Plain | Mechanism::Scram256 | Mechanism::Scram512 => {
            by_password(mechanism, &module)
        }
        Mechanism::OAuth => by_token(section, &module, found)?,
        Mechanism::Gssapi => by_ticket(section, &module, system),
        Mechanism::Msk => by_keys_of_aws(&module),
    };
    match login {
        Ok(login) => {
            warn_of_odd_names(section, &login, found);
            Some(login)
        }
        Err(why) => {
            error(found, why);
            None
        }
    }
}

/// Without a login its properties mean nothing.
pub(super) fn warn_of_idle_ones(section: &Section, protocol: &str, found: &mut Diagnostics) {
    let props = section.props.iter();
    if let Some(prop) = props.clone().find(|p| p.name.starts_with("kafka.producer.sasl.")) {
        let message = format!(
            "there is no login, since the protocol is {protocol}; write {} = SASL_SSL or \
             SASL_PLAINTEXT, \
             or remove this",
            section.key("kafka.producer.security.protocol")
        );
        section.warn(found, &prop.name, message);
    }
}

/// Code of others, which cannot run here.
fn refuse_other_handlers(section: &Section, found: &mut Diagnostics) {
    const OWN: [&str; 3] = [
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
        "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
        "software.amazon.msk.auth.iam.IAMClientCallbackHandler",
    ];
    for name in [CALLBACK, "kafka.producer.sasl.client.callback.handler.class"] {
        if let Some(prop) = section.get(name)
            && !OWN.contains(&prop.value.as_str())
        {
            let message = format!(
                "{} is third-party Java code, which cannot run here; remove it, and give name and \
                 password or a token in {}",
                prop.shown(),
                section.key(JAAS)
            );
            section.error(found, name, message);
        }
    }
}

/// The login module, of the property or else of the file.
fn module(
    section: &Section,
    system: &dyn Fn(&str) -> Option<String>,
    found: &mut Diagnostics,
) -> Option<(Module, Place)> {
    if let Some(prop) = section.get(JAAS) {
        return match jaas::read_property(&prop.value) {
            Ok(module) => Some((module, Place::Property)),
            Err(wrong) => {
                section.error(found, JAAS, wrong.to_string());
                None
            }
        };
    }
    let Some(path) = system(JAAS_FILE) else {
        let message = format!(
            "no login is configured; write {} = MODULE required username=\"...\" \
             password=\"...\"; \
             or start with -D{JAAS_FILE}=FILE",
            section.key(JAAS)
        );
        section.error(found, JAAS, message);
        return None;
    };
    let read = read_file(Path::new(&path)).map_err(|why| format!("{path} cannot be read: {why}"));
    let module = read.and_then(|text| match jaas::read_file(&text, JAAS_SECTION) {
        Ok(Some(module)) => Ok(module),
        Ok(None) => {
            Err(format!("{path} has no section {JAAS_SECTION}; write {JAAS_SECTION} {{ ... }};"))
        }
        Err(wrong) => Err(format!("{path}, {wrong}")),
    });
    match module {
        Ok(module) => Some((module, Place::File(path))),
        Err(why) => {
            section.error(found, JAAS, why);
            None
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| e.kind().to_string())?;
    match file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text) {
        Ok(n) if n as u64 <= FILE_BYTES_MAX => Ok(text),
        Ok(_) => Err("it is too large to be one".to_string()),
        Err(e) => Err(e.kind().to_string()),
    }
}

fn by_password(mechanism: Mechanism, module: &Module) -> Result<Login, String> {
    let text = |option: &str| match module.get(option) {
        Some("") => Err(format!("{option} is empty; give one")),
        Some(value) if value.contains(|c: char| c.is_control()) => {
            Err(format!("{option} holds a control character, which none may; set another one"))
        }
        Some(value) => Ok(value.to_string()),
        None => Err(format!("{option} is missing; write {option}=\"...\" before the semicolon")),
    };
    if module.is_true("tokenauth") {
        return Err("logins by delegation tokens are not supported; remove tokenauth".to_string());
    }
    let (name, password) = (text("username")?, Secret::new(&text("password")?));
    Ok(match mechanism {
        Mechanism::Scram256 => Login::Scram256 { name, password },
        Mechanism::Scram512 => Login::Scram512 { name, password },
        _ => Login::Plain { name, password },
    })
}

fn by_ticket(
    section: &Section,
    module: &Module,
    system: &dyn Fn(&str) -> Option<String>,
) -> Result<Login, String> {
    let service = section.get(SERVICE).map(|prop| prop.value.as_str());
    let Some(service) = service.or_else(|| module.get("serviceName")) else {
        return Err(format!(
            "the brokers' name in Kerberos is missing; write {} = kafka",
            section.key(SERVICE)
        ));
    };
    let path = |option: &str| module.get(option).map(|path| file_of(path).into());
    let tickets = match (module.is_true("useKeyTab"), path("keyTab")) {
        (true, Some(path)) => Tickets::Keytab(path),
        (true, None) => return Err("keyTab is missing; write keyTab=\"/PATH\"".to_string()),
        (false, _) if module.is_true("useTicketCache") => Tickets::Cache(path("ticketCache")),
        (false, _) => {
            let why = "the agent cannot ask for a password; write useKeyTab=true keyTab=\"/PATH\" \
                       principal=\"NAME@REALM\", or useTicketCache=true";
            return Err(why.to_string());
        }
    };
    Ok(Login::Gssapi {
        service: service.to_string(),
        principal: module.get("principal").map(str::to_string),
        tickets,
        configuration: system(KRB5_CONF).map(PathBuf::from),
    })
}

fn by_keys_of_aws(module: &Module) -> Result<Login, String> {
    if module.get("awsRoleArn").is_some() {
        let why = "assuming another role is not supported; give the rights to the role of the \
                   machine or to a profile (awsProfileName), and remove awsRoleArn";
        return Err(why.to_string());
    }
    Ok(Login::Msk(AwsKeys { profile: module.get("awsProfileName").map(str::to_string) }))
}

/// Java takes a path with and without the kind of file before it.
fn file_of(path: &str) -> &str {
    path.strip_prefix("FILE:").unwrap_or(path)
}

/// `None`: it was told what is wrong, at its own property.
fn by_token(
    section: &Section,
    module: &Module,
    found: &mut Diagnostics,
) -> Option<Result<Login, String>> {
    if let Some(prop) = section.get(TOKEN_URL) {
        let token = match prop.value.strip_prefix("file:") {
            // Both `file:/path` and `file:///path` are the same to Java.
            Some(path) => Token::File(format!("/{}", path.trim_start_matches('/')).into()),
            None => match endpoint(section, &prop.value, module) {
                Ok(endpoint) => Token::Endpoint(endpoint),
                Err(why) => {
                    section.error(found, TOKEN_URL, why);
                    return None;
                }
            },
        };
        let extensions = extensions(module, "extension_");
        return Some(extensions.map(|extensions| Login::OAuth { token, extensions }));
    }
    Some(unsecured(module))
}

/// The server that is asked for tokens, and the client id for it.
fn endpoint(section: &Section, url: &str, module: &Module) -> Result<Endpoint, String> {
    let (is_encrypted, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => {
            return Err("write https://HOST/PATH, or file:///PATH of a token".to_string());
        }
    };
    let (authority, path) = rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, port.parse().map_err(|_| format!("{port} is not a port"))?),
        None => (authority, if is_encrypted { 443 } else { 80 }),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !is_word(host) || !is_word(path) {
        return Err("this is not an address; write https://HOST/PATH".to_string());
    }
    if !is_encrypted && !matches!(host, "localhost" | "127.0.0.1" | "::1") {
        return Err("the secret would be sent unencrypted; write https://".to_string());
    }
    let told = |option: &str| module.get(option).filter(|value| !value.is_empty());
    let missing = |option: &str| format!("{option} is missing; write {option}=\"...\" into {JAAS}");
    let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
    Ok(Endpoint {
        is_encrypted,
        host: host.to_string(),
        port,
        path,
        client_id: told("clientId").ok_or_else(|| missing("clientId"))?.to_string(),
        secret: Secret::new(told("clientSecret").ok_or_else(|| missing("clientSecret"))?),
        scope: section
            .get(SCOPE)
            .map(|prop| prop.value.clone())
            .or_else(|| told("scope").map(str::to_string)),
        trust: told("ssl.truststore.location").map(|path| TrustStore {
            stored: Stored::File(path.into()),
            password: told("ssl.truststore.password").map(Secret::new),
        }),
    })
}

fn unsecured(module: &Module) -> Result<Login, String> {
    let pairs = |prefix: &'static str| module.beginning(prefix);
    let mut claims = Claims { lifetime_s: LIFETIME_S, ..Claims::default() };
    for (name, value) in pairs("unsecuredLoginStringClaim_") {
        claims.texts.push((name.to_string(), value.to_string()));
    }
    for (name, value) in pairs("unsecuredLoginNumberClaim_") {
        let number = value.parse().map_err(|_| {
            format!("unsecuredLoginNumberClaim_{name} is not a whole number; write one")
        })?;
        claims.numbers.push((name.to_string(), number));
    }
    for (name, value) in pairs("unsecuredLoginListClaim_") {
        claims.lists.push((name.to_string(), list(value)));
    }
    if let Some(value) = module.get("unsecuredLoginLifetimeSeconds") {
        let seconds = value.parse().ok().filter(|s| (1..=LIFETIME_S_MAX).contains(s));
        claims.lifetime_s = seconds.ok_or_else(|| {
            format!(
                "unsecuredLoginLifetimeSeconds is not a number from 1 to {LIFETIME_S_MAX}; write \
                 one"
            )
        })?;
    }
    claims.principal_claim =
        module.get("unsecuredLoginPrincipalClaimName").unwrap_or("sub").to_string();
    if claims.principal().is_none() {
        return Err(format!(
            "no user is named; write unsecuredLoginStringClaim_{}=\"...\", or name a token in \
             {TOKEN_URL}",
            claims.principal_claim
        ));
    }
    let extensions = extensions(module, "unsecuredLoginExtension_")?;
    Ok(Login::OAuth { token: Token::Unsecured(claims), extensions })
}

/// As Kafka's client splits it: by the character that it begins with.
fn list(value: &str) -> Vec<String> {
    match value.chars().next() {
        Some(separator) if !separator.is_alphanumeric() => {
            value[separator.len_utf8()..].split(separator).map(str::to_string).collect()
        }
        _ => vec![value.to_string()],
    }
}

/// What is sent along with a token (RFC 7628, section 3.1).
fn extensions(module: &Module, prefix: &str) -> Result<Vec<(String, String)>, String> {
    let mut extensions = Vec::new();
    for (name, value) in module.beginning(prefix) {
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic());
        if !is_name || name == "auth" {
            return Err(format!("{prefix}{name}: the name of an extension must be letters"));
        }
        let is_value = |b: u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        if !value.bytes().all(is_value) {
            return Err(format!(
                "{prefix}{name} holds a character that none may; write another value"
            ));
        }
        extensions.push((name.to_string(), value.to_string()));
    }
    Ok(extensions)
}

/// Brokers compare names and passwords byte by byte.
fn warn_of_odd_names(section: &Section, login: &Login, found: &mut Diagnostics) {
    let is_odd = match login {
        Login::Scram256 { name, password } | Login::Scram512 { name, password } => {
            !name.is_ascii() || !password.reveal().is_ascii()
        }
        _ => false,
    };
    if is_odd {
        let message = "the name or the password has characters outside ASCII, which are sent as \
                       UTF-8; if the login is refused, set a password in ASCII";
        section.warn(found, JAAS, message);
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests;
