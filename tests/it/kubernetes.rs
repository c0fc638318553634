//! `tests/deploy/kubernetes.yaml`: valid, and true of the service and of itself.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory as _;
use neptun_auth::config::Flags;
use neptun_auth::http::ROUTES;
use serde_json::{Value, json};

use crate::support::{Scratch, python};

fn text() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("tests/deploy/kubernetes.yaml")).unwrap()
}

fn validate(yaml: &str) -> Output {
    let scratch = Scratch::new("kubernetes");
    let file = scratch.write("kubernetes.yaml", yaml);
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kubernetes.py");
    Command::new(python())
        .args([judge, &file])
        .output()
        .unwrap()
}

fn documents() -> Vec<Value> {
    let output = validate(&text());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found: Vec<&Value> = documents.iter().filter(|it| it["kind"] == kind).collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

#[test]
fn the_schemas_of_kubernetes_take_it_and_would_not_take_a_slip() {
    documents();
    for (right, slip) in [
        ("replicas: 2", "replicas: two"),
        ("  minAvailable: 1", "  minimumAvailable: 1"),
        ("readOnlyRootFilesystem", "readOnlyRootFileSystem"),
    ] {
        let output = validate(&text().replace(right, slip));
        assert!(!output.status.success(), "{slip}");
    }
}

#[test]
fn its_names_and_ports_agree() {
    let documents = documents();
    let deployment = of_kind(&documents, "Deployment")[0];
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    let container = &template["spec"]["containers"][0];
    let ports = container["ports"].as_array().unwrap();
    let port_of = |name: &Value| ports.iter().find(|port| port["name"] == *name).unwrap();

    let selectors = [
        &deployment["spec"]["selector"]["matchLabels"],
        &of_kind(&documents, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"],
        &of_kind(&documents, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"],
    ];
    let services = of_kind(&documents, "Service");
    let of_services = services.iter().map(|service| &service["spec"]["selector"]);
    assert!(
        selectors
            .into_iter()
            .chain(of_services)
            .all(|it| it == labels)
    );

    let mut named: Vec<&Value> = services
        .iter()
        .map(|service| &service["spec"]["ports"][0]["targetPort"])
        .collect();
    let probes = ["readinessProbe", "livenessProbe"];
    named.extend(probes.map(|probe| &container[probe]["httpGet"]["port"]));
    let rules = of_kind(&documents, "NetworkPolicy")[0]["spec"]["ingress"].as_array();
    named.extend(rules.unwrap().iter().map(|rule| &rule["ports"][0]["port"]));
    for name in &named {
        port_of(name);
    }
    assert_eq!(named.len(), 6);

    // The admin port is open to pods with a label alone.
    let admin = rules
        .unwrap()
        .iter()
        .find(|rule| rule["ports"][0]["port"] == "admin");
    let from = &admin.unwrap()["from"];
    let label = json!([{ "podSelector": { "matchLabels": { "neptun-auth/admin": "true" } } }]);
    assert_eq!(*from, label);
    assert_eq!(container["env"][0]["value"], "0.0.0.0:8081");
    assert_eq!(port_of(&json!("admin"))["containerPort"], 8081);
}

#[test]
fn its_settings_and_probes_exist() {
    let command = Flags::command();
    let known: HashSet<&str> = command
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str())
        .collect();
    let documents = documents();
    let pod = &of_kind(&documents, "Deployment")[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let env = container["env"].as_array().unwrap();
    assert!(env.len() >= 4);
    for variable in env {
        assert!(
            known.contains(variable["name"].as_str().unwrap()),
            "{variable}"
        );
    }
    let routed: HashSet<&str> = ROUTES.iter().map(|route| route.template).collect();
    for probe in ["readinessProbe", "livenessProbe"] {
        assert!(routed.contains(container[probe]["httpGet"]["path"].as_str().unwrap()));
    }
    // As the image has it.
    let dockerfile = include_str!("../../Dockerfile");
    let user = &pod["securityContext"]["runAsUser"];
    assert!(dockerfile.contains(&format!("\nUSER {user}:{user}\n")));
    let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    assert_eq!(env[1]["value"], format!("{mount}/admin-token"));
}

#[test]
fn its_route_asks_the_service_and_lets_it_overwrite_all_that_it_says() {
    let documents = documents();
    let route = of_kind(&documents, "HTTPRoute")[0];
    let rules = route["spec"]["rules"].as_array().unwrap();
    let (guarded, open) = rules.split_last().unwrap();
    assert_eq!(
        guarded["matches"],
        Value::Null,
        "all that no other rule takes"
    );
    let filter = &guarded["filters"][0];
    assert_eq!(filter["type"], "ExternalAuth");
    let auth = &filter["externalAuth"];
    let of_service = json!({ "name": "neptun-auth", "port": 8080 });
    assert_eq!(
        (&auth["backendRef"], &auth["protocol"]),
        (&of_service, &json!("HTTP"))
    );
    assert_eq!(auth["http"]["path"], "/api/auth/ext-authz");
    assert_eq!(auth["http"]["allowedHeaders"][0], "Cookie");
    let told = json!(["Remote-User", "Remote-Session", "Remote-Auth-Time"]);
    assert_eq!(auth["http"]["allowedResponseHeaders"], told);
    // Where nobody is asked, nobody is told.
    assert_eq!(open[0]["backendRefs"], json!([of_service]));
    let modifier = &open[1]["filters"][0]["requestHeaderModifier"];
    assert_eq!(modifier["remove"], told);
    assert_eq!(open.len(), 2);
}
