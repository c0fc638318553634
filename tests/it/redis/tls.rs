//! A server that speaks TLS, and the certificates for it: all in its directory, signed by one root.

use std::path::Path;
use std::process::Command;

use super::server::{Brand, Server};
use crate::support::run;

/// A server for `localhost`. Whether it demands a certificate of its clients is its own setting's
/// `yes` or `no`; in its directory are `ca.pem`, and `client.pem` and `client.key` for a client.
pub(super) fn tls_server(demands_certificates: &str) -> Server {
    Server::start_with(Brand::Redis, |port, directory| {
        openssl(
            directory,
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem",
        );
        certify(directory, "server", "localhost");
        certify(directory, "client", "a-client");
        let file = |name: &str| directory.join(name).display().to_string();
        let arguments = [
            ("--port", "0".to_owned()),
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", file("server.pem")),
            ("--tls-key-file", file("server.key")),
            ("--tls-ca-cert-file", file("ca.pem")),
            ("--tls-auth-clients", demands_certificates.to_owned()),
        ];
        let pairs = arguments.into_iter();
        pairs
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    })
}

fn certify(directory: &Path, name: &str, host: &str) {
    openssl(
        directory,
        &format!(
            "req -newkey rsa:2048 -nodes -subj /CN={host} -addext subjectAltName=DNS:{host} \
             -keyout {name}.key -out {name}.csr"
        ),
    );
    openssl(
        directory,
        &format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -copy_extensions copy -out {name}.pem"
        ),
    );
}

fn openssl(directory: &Path, arguments: &str) {
    let mut openssl = Command::new("openssl");
    run(openssl.args(arguments.split(' ')).current_dir(directory));
}
