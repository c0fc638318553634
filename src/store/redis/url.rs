//! The `--store` URLs of this adapter: which servers, how to log in, over TLS or not.
//!
//! | form | meaning |
//! |---|---|
//! | `redis://[user[:password]@]host[:6379][/db]` | one server, or the address that leads to the master |
//! | `redis+sentinel://[user[:password]@]host[:26379][,host…]/master[/db]` | the master of that name that most of the Sentinels agree on |
//! | `redis+cluster://[user[:password]@]host[:6379][,host…]` | a cluster, found through any of the hosts |
//!
//! `rediss` in place of `redis` speaks TLS and verifies the certificate, against the system's roots
//! (`SSL_CERT_FILE` is honoured) or those in `?ca-file=/path.pem`; `?cert-file=` and `?key-file=`
//! name a certificate of ours to show. `?sentinel-username=` and `?sentinel-password=` log in to the
//! Sentinels. `valkey` and `valkeys` are read like `redis` and
//! `rediss`. Users and passwords are percent-decoded. Nothing here is ever printed: a URL may
//! carry a password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// Where the sessions are, as given by `--store`. Its `Debug` prints no password.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) servers: Servers,
    pub(super) login: Login,
    pub(super) sentinel_login: Login,
    pub(super) db: i64,
    pub(super) tls: Option<Box<Tls>>,
}

/// How the servers are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Servers {
    One(Endpoint),
    Sentinel {
        sentinels: Vec<Endpoint>,
        master: String,
    },
    Cluster(Vec<Endpoint>),
}

/// A name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    pub(super) fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self { host, port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// User and password, as far as given.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// Which certificates count, as paths of PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Whose signature on the server's certificate does; the system's roots if there is none.
    pub(super) ca: Option<PathBuf>,
    /// What to show the server of ourselves.
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// The text is no URL of a Redis store; says what is wrong, and nothing of the text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRedisUrl(&'static str);

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUrl")
            .field("servers", &self.servers)
            .field("db", &self.db)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// The address as an operator knows it, without logins and options.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        let hosts = |endpoints: &[Endpoint]| {
            let hosts: Vec<String> = endpoints.iter().map(Endpoint::to_string).collect();
            hosts.join(",")
        };
        match &self.servers {
            Servers::One(endpoint) => write!(f, "{scheme}://{endpoint}/{}", self.db),
            Servers::Sentinel { sentinels, master } => {
                let hosts = hosts(sentinels);
                write!(f, "{scheme}+sentinel://{hosts}/{master}/{}", self.db)
            }
            Servers::Cluster(nodes) => write!(f, "{scheme}+cluster://{}", hosts(nodes)),
        }
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRedisUrl> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or(InvalidRedisUrl("expected redis://host[:port][/db]"))?;
        let (base, form) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match base {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(InvalidRedisUrl("the scheme is not redis or rediss")),
        };
        if rest.contains('#') {
            return Err(InvalidRedisUrl("a fragment (#) has no meaning here"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority
            .rsplit_once('@')
            .map_or((Ok(Login::default()), authority), |(login, hosts)| {
                (read_login(login), hosts)
            });
        let (servers, db) = read_servers(form, hosts, path)?;
        let mut url = Self {
            servers,
            login: login?,
            sentinel_login: Login::default(),
            db: read_db(db)?,
            tls: tls.then(Box::default),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            url.read_parameter(pair)?;
        }
        if let Some(tls) = &url.tls
            && tls.cert.is_some() != tls.key.is_some()
        {
            return Err(InvalidRedisUrl("cert-file and key-file need each other"));
        }
        if matches!(url.servers, Servers::Cluster(_)) && url.db != 0 {
            return Err(InvalidRedisUrl("a cluster has no databases but 0"));
        }
        Ok(url)
    }
}

impl RedisUrl {
    fn read_parameter(&mut self, pair: &str) -> Result<(), InvalidRedisUrl> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value)?;
        match name {
            "ca-file" => self.tls()?.ca = Some(value.into()),
            "cert-file" => self.tls()?.cert = Some(value.into()),
            "key-file" => self.tls()?.key = Some(value.into()),
            "sentinel-username" => self.sentinel_login.user = Some(value),
            "sentinel-password" => self.sentinel_login.password = Some(value),
            _ => return Err(InvalidRedisUrl("unknown parameter after the ?")),
        }
        Ok(())
    }

    fn tls(&mut self) -> Result<&mut Tls, InvalidRedisUrl> {
        let tls = self.tls.as_deref_mut();
        tls.ok_or(InvalidRedisUrl("certificates need rediss"))
    }
}

fn read_servers<'a>(
    form: &str,
    hosts: &str,
    path: &'a str,
) -> Result<(Servers, &'a str), InvalidRedisUrl> {
    match form {
        "" if hosts.contains(',') => Err(InvalidRedisUrl(
            "several hosts need redis+sentinel or redis+cluster",
        )),
        "" => Ok((Servers::One(read_endpoint(hosts, 6379)?), path)),
        "sentinel" => {
            let (master, db) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                return Err(InvalidRedisUrl("the name of the master is missing"));
            }
            let servers = Servers::Sentinel {
                sentinels: read_endpoints(hosts, 26379)?,
                master: decode(master)?,
            };
            Ok((servers, db))
        }
        "cluster" => Ok((Servers::Cluster(read_endpoints(hosts, 6379)?), path)),
        _ => Err(InvalidRedisUrl("after the + only sentinel or cluster")),
    }
}

fn read_endpoints(hosts: &str, port: u16) -> Result<Vec<Endpoint>, InvalidRedisUrl> {
    let hosts = hosts.split(',');
    hosts.map(|host| read_endpoint(host, port)).collect()
}

fn read_endpoint(text: &str, default_port: u16) -> Result<Endpoint, InvalidRedisUrl> {
    // An IPv6 address stands in brackets, so that its colons are not a port's.
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(default_port), str::parse);
    match port {
        Ok(port) if port > 0 && !host.is_empty() => Ok(Endpoint::new(host, port)),
        _ => Err(InvalidRedisUrl("expected host or host:port")),
    }
}

fn read_login(text: &str) -> Result<Login, InvalidRedisUrl> {
    let (user, password) = text
        .split_once(':')
        .map_or((text, None), |(user, password)| (user, Some(password)));
    let given = |part: &str| (!part.is_empty()).then(|| decode(part)).transpose();
    Ok(Login {
        user: given(user)?,
        password: password.map_or(Ok(None), given)?,
    })
}

fn read_db(text: &str) -> Result<i64, InvalidRedisUrl> {
    if text.is_empty() {
        return Ok(0);
    }
    let number: Result<u32, _> = text.parse();
    number
        .map(i64::from)
        .map_err(|_| InvalidRedisUrl("the database is not a number"))
}

fn decode(text: &str) -> Result<String, InvalidRedisUrl> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| InvalidRedisUrl("not UTF-8 after percent-decoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_are_read() {
        let one: RedisUrl = "redis://us%40er:p%3Aw@[::1]:7000/3".parse().unwrap();
        assert_eq!(one.servers, Servers::One(Endpoint::new("::1", 7000)));
        assert_eq!(one.login.user.as_deref(), Some("us@er"));
        assert_eq!(one.login.password.as_deref(), Some("p:w"));
        assert_eq!((one.db, one.tls), (3, None));

        let tls = "rediss://:pw@host?ca-file=/a/b.pem&cert-file=/c.pem&key-file=/k.pem";
        let tls: RedisUrl = tls.parse().unwrap();
        assert_eq!(tls.servers, Servers::One(Endpoint::new("host", 6379)));
        assert!(tls.login.user.is_none());
        let files = Tls {
            ca: Some("/a/b.pem".into()),
            cert: Some("/c.pem".into()),
            key: Some("/k.pem".into()),
        };
        assert_eq!(tls.tls, Some(Box::new(files)));

        let sentinel: RedisUrl = "redis+sentinel://a,b:1/main/2?sentinel-password=x"
            .parse()
            .unwrap();
        let sentinels = vec![Endpoint::new("a", 26379), Endpoint::new("b", 1)];
        let master = "main".to_owned();
        assert_eq!(sentinel.servers, Servers::Sentinel { sentinels, master });
        assert_eq!(sentinel.sentinel_login.password.as_deref(), Some("x"));
        assert_eq!(sentinel.db, 2);

        let cluster: RedisUrl = "valkeys+cluster://a:1,b".parse().unwrap();
        let nodes = vec![Endpoint::new("a", 1), Endpoint::new("b", 6379)];
        assert_eq!(cluster.servers, Servers::Cluster(nodes));
        assert_eq!(cluster.tls, Some(Box::default()));
    }

    #[test]
    fn what_is_no_url_of_a_store_is_refused_without_repeating_it() {
        for bad in [
            "redis:host",
            "http://host",
            "redis://",
            "redis://host:0",
            "redis://host:x",
            "redis://host/x",
            "redis://a,b",
            "redis+what://a",
            "redis+sentinel://a",
            "redis+cluster://a/1",
            "redis://host?x=1",
            "redis://host?ca-file=x",
            "rediss://host?cert-file=x",
            "rediss://host/#insecure",
            "redis://secret%ff@host",
        ] {
            let error = bad.parse::<RedisUrl>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{bad}");
        }
        let url: RedisUrl = "redis://:secret@host".parse().unwrap();
        assert!(!format!("{url:?}").contains("secret"));
    }
}
