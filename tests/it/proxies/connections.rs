//! Connections to the app and to the service are kept.

use super::forging;
use crate::support::echo::EchoApp;
use crate::support::proxy::{FOR_MEMBERS, Proxy};
use crate::support::relay::Relay;
use crate::support::{Ask, Service};

#[test]
fn connections_to_the_app_and_to_the_service_are_kept_alive() {
    for (kind, file) in FOR_MEMBERS {
        let service = Service::start();
        let relay = Relay::to(service.public);
        let app = EchoApp::start();
        let proxy = Proxy::start(kind, file, relay.address, app.address);
        let ask_app = |token: &str| {
            let ask = forging(Ask::get("/page?a=b").session(token));
            ask.send(proxy.address).status
        };
        // Clients that come and go must not make the proxy do so, nor must those turned away.
        for _ in 0..20 {
            let token = service.token_of("42");
            assert_eq!(ask_app(&token), 200);
            assert_eq!(ask_app("forged"), 401);
            assert_eq!(Ask::logout(&token).send(proxy.address).body, "true");
        }
        let opened = (app.connections(), relay.connections());
        println!("{kind:?} opened {opened:?}");
        assert!(
            opened.0 <= 4 && opened.1 <= 12,
            "{kind:?} opened {opened:?}"
        );
    }
}
