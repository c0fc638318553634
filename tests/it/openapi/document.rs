//! The document itself: what it must hold, and that it holds of the service.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

use neptun_auth::http::ROUTES;
use serde_json::Value;

use super::{document_of, service};
use crate::support::service::binary;
use crate::support::{Ask, Scratch, Service, python, run};

/// Path, method, operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let members = item.as_object().unwrap().iter();
        let methods = members.filter(|(_, member)| member["responses"].is_object());
        methods.map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    operations.collect()
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect(reference),
        None => value,
    }
}

fn responses<'a>(document: &'a Value, operation: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let responses = operation["responses"].as_object().unwrap().iter();
    responses
        .map(|(status, response)| (status.as_str(), resolved(document, response)))
        .collect()
}

#[test]
fn a_validator_finds_it_valid_openapi_3_1() {
    let document = document_of(&service());
    assert_eq!(document["openapi"], "3.1.0");
    let scratch = Scratch::new("openapi");
    let file = scratch.write("openapi.json", document.to_string());
    let mut judge = Command::new(python());
    judge.args(["-m", "openapi_spec_validator", "--schema", "3.1"]);
    run(judge.arg(file));
}

#[test]
fn every_documented_route_answers_on_the_listener_it_is_documented_on() {
    let service = service();
    let document = document_of(&service);
    for (path, method, operation) in operations(&document) {
        let server = document["paths"][path]["servers"][0]["url"]
            .as_str()
            .unwrap();
        let address = match server {
            "/" => service.admin,
            url => url.strip_prefix("http://").unwrap().parse().unwrap(),
        };
        let target = path.replace("{user}", "42").replace("{id}", "x");
        let ask = Ask::authorized(&method.to_uppercase(), &target);
        let answer = ask.send(address);
        let status = answer.status.to_string();
        let documented = responses(&document, operation);
        let known = documented.iter().find(|(known, _)| *known == status);
        let (_, response) = known.unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
        assert!(answer.status != 405, "{method} {path}");
        for (name, header) in response["headers"].as_object().unwrap() {
            let is_sent = answer.header(&name.to_lowercase()).is_some();
            let is_promised = resolved(&document, header)["required"] == true;
            assert!(is_sent || !is_promised, "{method} {path} without {name}");
        }
    }
}

#[test]
fn the_routes_and_the_document_are_the_same_and_every_answer_that_is_counted_is_documented() {
    let document = document_of(&service());
    let documented: BTreeSet<(&str, String)> = operations(&document)
        .iter()
        .map(|(path, method, _)| (*path, method.to_uppercase()))
        .collect();
    let mut routed = BTreeSet::new();
    // The document has no way to say "any": it says so in words.
    let any = ["GET", "HEAD"];
    for route in ROUTES {
        for (method, statuses) in route.answers {
            let methods = if *method == "ANY" {
                &any[..]
            } else {
                &[*method]
            };
            for method in methods {
                routed.insert((route.template, (*method).to_owned()));
                let operation = &document["paths"][route.template][method.to_lowercase()];
                for status in *statuses {
                    let response = &operation["responses"][status.to_string()];
                    assert!(response.is_object(), "{method} {} {status}", route.template);
                }
            }
        }
    }
    assert_eq!(documented, routed);
}

#[test]
fn every_body_has_examples_and_every_error_is_an_envelope() {
    let document = document_of(&service());
    let mut errors = 0;
    for (path, method, operation) in operations(&document) {
        for (status, response) in responses(&document, operation) {
            let place = format!("{method} {path} {status}");
            let contents = response["content"].as_object();
            for (kind, content) in contents.into_iter().flatten() {
                let examples = content["examples"].as_object().expect(&place);
                assert!(!examples.is_empty(), "{place}");
                for example in examples.values().map(|example| &example["value"]) {
                    assert!(!example.is_null() && example != "", "{place}");
                    if status >= "400" {
                        assert_eq!(example["statusCode"].to_string(), status, "{place}");
                        assert!(example["data"]["message"].is_string(), "{place}");
                        assert_eq!(kind, "application/json", "{place}");
                        errors += 1;
                    }
                }
            }
        }
    }
    assert!(errors > 50);
}

#[test]
fn the_examples_obey_their_schemas_and_the_request_of_the_example_is_granted() {
    let service = service();
    let document = document_of(&service);
    let scratch = Scratch::new("openapi");
    let file = scratch.write("openapi.json", document.to_string());
    let judge = format!(
        "{}/tests/it/openapi/examples.py",
        env!("CARGO_MANIFEST_DIR")
    );
    run(Command::new(python()).arg(judge).arg(file));
    let issue = &document["paths"]["/admin/sessions"]["post"]["requestBody"];
    service.issue_as(&issue["content"]["application/json"]["example"]);
}

#[test]
fn it_is_the_document_of_this_very_instance() {
    let mut command = binary();
    command.args(["--cookie-name", "mine", "--cookie-path", "/app"]);
    let service = Service::spawn(command);
    let document = document_of(&service);
    let paths = document["paths"].as_object().unwrap();
    assert!(
        !paths.contains_key("/api/_auth/session"),
        "no sealed password is set"
    );
    assert_eq!(
        document["components"]["securitySchemes"]["cookie"]["name"],
        "mine"
    );
    let logout = &paths["/api/auth/logout"];
    let clearing = &document["components"]["headers"]["Set-Cookie"]["example"];
    let sent = Ask::post("/api/auth/logout")
        .header("cookie", "mine=x")
        .send(service.public);
    assert_eq!(clearing.as_str(), sent.header("set-cookie"));
    let url = format!("http://{}", service.public);
    assert_eq!(logout["servers"][0]["url"], url);
}

#[test]
fn it_names_the_public_listener_as_a_client_of_this_machine_does() {
    for (host, named) in [("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")] {
        let listen = format!("{host}:0");
        if TcpListener::bind(&listen).is_err() {
            println!("this machine has no {host}");
            continue;
        }
        let mut command = binary();
        command.args(["--listen", &listen, "--admin-listen", "127.0.0.1:0"]);
        let service = Service::started(command);
        let document = document_of(&service);
        let url = &document["paths"]["/api/auth/logout"]["servers"][0]["url"];
        assert_eq!(*url, format!("http://{named}:{}", service.public.port()));
    }
}
