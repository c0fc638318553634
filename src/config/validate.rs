//! From what was said to what it means, with every fault in one run.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _};
use secrecy::SecretString;
use tower_cookies::cookie::SameSite;

use super::fault::{Faults, InvalidSetting, NUXT};
use super::{AdminListener, Config, Flags, Limits, names, parse, reachable, secrets};
use crate::http::CookieSettings;
use crate::session::sealed::{Opener, WeakPassword};
use crate::session::{Lifetimes, Seals, Timeouts, Timestamp};
use crate::store::{RedisConfig, RedisUrl, StoreConfig};

impl Flags {
    /// Where a client on this machine finds the admin listener, judged without the other
    /// settings. Who listens on all addresses of IPv6 is on those of IPv4 too, and on these alone
    /// if the machine has no others.
    pub fn admin_addresses(&self) -> Result<Vec<SocketAddr>, InvalidSetting> {
        let addresses = parse::addresses(&self.admin_listen);
        let addresses =
            addresses.map_err(|problem| InvalidSetting::new("admin-listen", problem))?;
        let ways = addresses.into_iter().flat_map(|address| {
            let is_all_of_v6 = address.is_ipv6() && address.ip().is_unspecified();
            let over_v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
            [reachable(address)]
                .into_iter()
                .chain(is_all_of_v6.then_some(over_v4))
        });
        Ok(ways.collect())
    }

    /// The admin listener as its operator asks it, judged without the other settings.
    pub fn admin_listener(
        &self,
        matches: &ArgMatches,
    ) -> Result<AdminListener, Vec<InvalidSetting>> {
        let mut faults = Faults::default();
        let tokens = self.admin_tokens(&mut faults, matches);
        let mut found = faults.into_found();
        let addresses = self.admin_addresses().map_err(|fault| found.push(fault));
        match (addresses, tokens.into_iter().next()) {
            (Ok(addresses), Some(token)) => Ok(AdminListener { addresses, token }),
            (_, None) if found.is_empty() => {
                let problem = "is needed to ask for sessions: give the file that the service has";
                Err(vec![InvalidSetting::new("admin-token-file", problem)])
            }
            _ => Err(found),
        }
    }

    /// What the settings mean, or everything that is wrong with them. `matches` tells which of
    /// them were given.
    pub fn validate(&self, matches: &ArgMatches) -> Result<Config, Vec<InvalidSetting>> {
        let mut faults = Faults::of_texts(&Self::command(), matches);
        let config = self.judge(&mut faults, matches);
        let faults = faults.into_found();
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }

    fn judge(&self, faults: &mut Faults, matches: &ArgMatches) -> Option<Config> {
        // Each is read before the first is needed, so that all faults are found.
        let listen = faults.check("listen", parse::address(&self.listen));
        let admin_listen = faults.check("admin-listen", parse::address(&self.admin_listen));
        let admin_tokens = self.admin_tokens(faults, matches);
        let reader_tokens = self.reader_tokens(faults, &admin_tokens);
        let max_sessions = faults.check("max-sessions", parse::count(&self.max_sessions));
        let max_sessions = max_sessions.map(NonZero::get);
        let store_timeout = faults.check("store-timeout", parse::duration(&self.store_timeout));
        let limits = self.limits(faults);
        let mut changed = changed(matches);
        let store_timeouts = store_timeout.zip(limits).map(|(timeout, limits)| {
            // What the store did not say in time is a 500 or 503; that must go out before the
            // request itself runs out of time.
            let request = limits.request_timeout * 4 / 5;
            if timeout > request {
                show_capped(&mut changed, request);
            }
            let call = timeout.min(request);
            Timeouts { call, request }
        });
        let store_timeout = store_timeouts.map(|timeouts| timeouts.call);
        let store = self.store(faults, max_sessions, store_timeout);
        let session_ttl = faults.check("session-ttl", parse::session_ttl(&self.session_ttl));
        let idle_timeout = faults.check("idle-timeout", parse::idle_timeout(&self.idle_timeout));
        let since = self.sessions_since.as_deref().map(parse::past_moment);
        let since = faults.check("sessions-since", since.transpose());
        let seals = self.seals(faults);
        let cookie = self.cookie(faults, seals.is_some());
        let origins = self.allowed_origins.as_deref().unwrap_or_default();
        let allowed_origins = faults.check("allowed-origins", parse::origins(origins));
        let log = faults.check("log", parse::log_filter(&self.log));
        let log_format = faults.check("log-format", parse::log_format(&self.log_format));

        let has_token = self.admin_token.is_some() || self.admin_token_file.is_some();
        if let Some(address) = admin_listen.filter(|_| !has_token)
            && let Err(problem) = parse::guarded(address)
        {
            faults.add("admin-listen", problem);
        }

        Some(Config {
            listen: listen?,
            admin_listen: admin_listen?,
            admin_tokens,
            reader_tokens,
            admin_token_file: self.admin_token_file.clone(),
            store: store?,
            store_timeouts: store_timeouts?,
            lifetimes: Lifetimes {
                session_ttl: session_ttl?,
                idle_timeout: idle_timeout?,
                sessions_since: since?.unwrap_or(Timestamp::MIN),
            },
            cookie: cookie?,
            seals,
            allowed_origins: allowed_origins?,
            limits: limits?,
            log: log?,
            log_format: log_format?,
            changed,
            warnings: names::unknown_variables(&Self::command()),
        })
    }

    /// `memory:`, `file:PATH`, or an address of Redis or Valkey.
    fn store(
        &self,
        faults: &mut Faults,
        max_sessions: Option<u64>,
        timeout: Option<Duration>,
    ) -> Option<StoreConfig> {
        let wait_replicas = parse::count_from_zero(&self.redis_wait_replicas);
        let wait_replicas = faults.check("redis-wait-replicas", wait_replicas);
        let require_durable = parse::boolean(&self.redis_require_durable);
        let require_durable = faults.check("redis-require-durable", require_durable);
        let prefix = faults.check("redis-prefix", parse::redis_prefix(&self.redis_prefix));

        if self.store == "memory:" {
            let max_sessions = max_sessions?;
            return Some(StoreConfig::Memory { max_sessions });
        }
        if let Some(path) = self.store.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                faults.add(
                    "store",
                    "`file:` lacks a path, such as file:/var/lib/neptun-auth/sessions",
                );
            }
            if path.starts_with('~') || path.trim() != path {
                let problem =
                    format!("`{path}` is not as a shell would read it: write the whole path");
                faults.add("store", problem);
            }
            return Some(StoreConfig::File {
                path: path.into(),
                max_sessions: max_sessions?,
            });
        }
        // Its error says what is wrong with the address, and never shows the password.
        let url = self.store.parse::<RedisUrl>().map_err(|error| {
            if parse::is_path(&self.store) {
                return format!("for a file write file:{}", self.store);
            }
            format!("use memory:, file:PATH or redis://HOST; as an address of Redis: {error}")
        });
        Some(StoreConfig::Redis(RedisConfig {
            url: faults.check("store", url)?,
            prefix: prefix?,
            wait_replicas: wait_replicas?,
            require_durable: require_durable?,
            timeout: timeout?,
        }))
    }

    fn seals(&self, faults: &mut Faults) -> Option<Seals> {
        let subject = faults.check("sealed-user", parse::json_pointer(&self.sealed_user));
        let mut passwords: Vec<SecretString> = Vec::new();
        passwords.extend(self.sealed_password.iter().map(|text| text.as_str().into()));
        let by_flag = passwords.len();
        if let Some(path) = &self.sealed_password_file {
            passwords.extend(faults.check("sealed-password-file", secrets::of_file(path))?);
            if passwords.is_empty() {
                faults.add(
                    "sealed-password-file",
                    format!("there is no password in {path}; put them there, one a line"),
                );
            }
        }
        let by_file = by_flag..passwords.len();
        if let Some(variable) = &self.nuxt_session_password {
            let password = parse::as_nitro_reads(variable);
            // nuxt-auth-utils takes the variable as it stands, wherever Nitro would unquote it.
            let as_it_stands = (password != *variable).then(|| variable.as_str().into());
            passwords.push(password.into());
            passwords.extend(as_it_stands);
        }
        if passwords.is_empty() {
            return None;
        }
        let opener = Opener::new(&passwords);
        let flag = match opener {
            Err(WeakPassword::TooShort(position)) if by_file.contains(&position) => {
                "sealed-password-file"
            }
            Err(WeakPassword::TooShort(position)) if position >= by_file.end => NUXT,
            _ => "sealed-password",
        };
        let opener =
            opener.map_err(|weak| format!("{weak}; give the web app's NUXT_SESSION_PASSWORD"));
        Some(Seals::new(faults.check(flag, opener)?, subject?))
    }

    fn cookie(&self, faults: &mut Faults, accepts_seals: bool) -> Option<CookieSettings> {
        let name = faults.check("cookie-name", parse::cookie_name(&self.cookie_name));
        let path = faults.check("cookie-path", parse::cookie_path(&self.cookie_path));
        let domain = self.cookie_domain.as_deref().map(parse::cookie_domain);
        let domain = faults.check("cookie-domain", domain.transpose());
        let same_site = faults.check("cookie-same-site", parse::same_site(&self.cookie_same_site));
        let secure = faults.check("cookie-secure", parse::boolean(&self.cookie_secure));
        let cookie = CookieSettings {
            name: name?,
            path: path?,
            domain: domain?,
            same_site: same_site?,
            secure: secure?,
            accepts_seals,
        };

        // Browsers refuse these pairs without a word, and compare the prefixes in any case.
        let prefixed = cookie.name.to_ascii_lowercase();
        if cookie.same_site == SameSite::None && !cookie.secure {
            faults.add("cookie-same-site", "`none` needs --cookie-secure true");
        }
        if (prefixed.starts_with("__host-") || prefixed.starts_with("__secure-")) && !cookie.secure
        {
            let problem = format!("`{}` needs --cookie-secure true", cookie.name);
            faults.add("cookie-name", problem);
        }
        if prefixed.starts_with("__host-") && (cookie.domain.is_some() || cookie.path != "/") {
            let problem = format!("`{}` allows no domain, and no path but /", cookie.name);
            faults.add("cookie-name", problem);
        }
        Some(cookie)
    }

    fn limits(&self, faults: &mut Faults) -> Option<Limits> {
        let max_connections = parse::count::<NonZero<_>>(&self.max_connections);
        let max_connections = faults.check("max-connections", max_connections);
        let header = faults.check("header-timeout", parse::duration(&self.header_timeout));
        let request = faults.check("request-timeout", parse::duration(&self.request_timeout));
        let keep_alive = parse::duration(&self.keep_alive_timeout);
        let keep_alive = faults.check("keep-alive-timeout", keep_alive);
        let shutdown = faults.check("shutdown-timeout", parse::duration(&self.shutdown_timeout));
        Some(Limits {
            max_connections: max_connections?.get(),
            header_timeout: header?,
            request_timeout: request?,
            keep_alive_timeout: keep_alive?,
            shutdown_timeout: shutdown?,
        })
    }
}

/// Shows the store's timeout as it is in force.
fn show_capped(settings: &mut Vec<String>, cap: Duration) {
    settings.retain(|setting| !setting.starts_with("store-timeout="));
    let cap = humantime::format_duration(cap).to_string().replace(' ', "");
    settings.push(format!("store-timeout={cap}(capped)"));
}

/// The settings that were given, as `flag=value`; of secrets only that they were.
fn changed(matches: &ArgMatches) -> Vec<String> {
    let command = Flags::command();
    let settings = command.get_arguments().filter_map(|arg| {
        let id = arg.get_id().as_str();
        let given = matches.value_source(id)? != ValueSource::DefaultValue;
        let value = matches.try_get_one::<String>(id).ok()??;
        let is_default = arg
            .get_default_values()
            .first()
            .is_some_and(|v| v == value.as_str());
        let shown = match id {
            "admin_token" | "sealed_password" | "nuxt_session_password" => "(redacted)".to_owned(),
            "store" => parse::without_secrets(value),
            _ => value.clone(),
        };
        (given && !is_default).then(|| format!("{}={shown}", id.replace('_', "-")))
    });
    settings.collect()
}
