//! The contract from a client's side: the requests, and the two listeners that answer them.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Answer, Ask, wait_until};

pub const ADMIN_TOKEN: &str = "an-admin-token-for-tests";

impl Ask {
    pub fn logout(token: &str) -> Self {
        Self::post("/api/auth/logout").session(token)
    }

    pub fn check(token: &str) -> Self {
        Self::get("/api/auth/check").session(token)
    }

    /// To the admin listener with the right token.
    pub fn authorized(method: &str, target: &str) -> Self {
        Self::new(method, target).header("authorization", format!("Bearer {ADMIN_TOKEN}"))
    }

    pub fn login(user: &str) -> Self {
        let body = json!({ "user": user }).to_string();
        Self::authorized("POST", "/admin/sessions").json(&body)
    }

    pub fn list(user: &str) -> Self {
        Self::authorized("GET", &format!("/admin/users/{user}/sessions"))
    }

    pub fn revoke_all(user: &str) -> Self {
        Self::authorized("DELETE", &format!("/admin/users/{user}/sessions"))
    }

    pub fn revoke(id: &str) -> Self {
        Self::authorized("DELETE", &format!("/admin/sessions/{id}"))
    }
}

/// The listeners of a service.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

impl Api {
    /// As the first line of a log names them.
    pub fn named_by(line: &str) -> Self {
        let up: Value = serde_json::from_str(line).unwrap();
        let address = |name: &str| up[name].as_str().unwrap().parse().unwrap();
        Self {
            public: address("listen"),
            admin: address("admin_listen"),
        }
    }

    pub fn logout(&self, token: &str) -> Answer {
        Ask::logout(token).send(self.public)
    }

    pub fn check(&self, token: &str) -> Answer {
        Ask::check(token).send(self.public)
    }

    /// Whether the token's session is live.
    pub fn is_live(&self, token: &str) -> bool {
        match self.check(token).status {
            204 => true,
            401 => false,
            other => panic!("check answered {other}"),
        }
    }

    /// A request to the admin listener with the right token.
    pub fn ask_admin(&self, method: &str, target: &str) -> Answer {
        Ask::authorized(method, target).send(self.admin)
    }

    /// Issues a session by a request body; the answer's JSON.
    pub fn issue_as(&self, body: &Value) -> Value {
        let ask = Ask::authorized("POST", "/admin/sessions").json(&body.to_string());
        let answer = ask.send(self.admin);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// Issues a session to `user`: its id and its token.
    pub fn issue(&self, user: &str) -> (String, String) {
        let issued = self.issue_as(&json!({ "user": user }));
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    }

    /// Issues a session to `user`; its token.
    pub fn token_of(&self, user: &str) -> String {
        self.issue(user).1
    }

    /// The sessions of `user`.
    pub fn list(&self, user: &str) -> Vec<Value> {
        let mut listed = Ask::list(user).send(self.admin).json();
        serde_json::from_value(listed["sessions"].take()).unwrap()
    }

    /// Logs `user` out everywhere; how many sessions that ended.
    pub fn revoke_all(&self, user: &str) -> u64 {
        let answer = Ask::revoke_all(user).send(self.admin);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["revoked"].as_u64().unwrap()
    }

    /// The status of a GET of the admin listener.
    pub fn status_of(&self, target: &str) -> u16 {
        Ask::get(target).send(self.admin).status
    }

    /// Waits until the service has reached its store.
    pub fn until_ready(&self) {
        wait_until("the service is ready", || self.status_of("/readyz") == 200);
    }

    /// The value of a series of `/metrics`, named with its labels, if it is there.
    pub fn metric(&self, series: &str) -> Option<u64> {
        let text = Ask::get("/metrics").send(self.admin).body;
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value)
    }

    /// How many sessions were ended for this reason.
    pub fn ended_for(&self, reason: &str) -> u64 {
        let series = format!("neptun_auth_sessions_ended_total{{reason=\"{reason}\"}}");
        self.metric(&series).unwrap()
    }
}
