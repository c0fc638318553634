//! The web app's own variable, read as the web app reads it.

use serde_json::{Value, json};

use super::mint::seal;
use super::{PASSWORD, now_ms, payload};
use crate::support::service::{binary, refused};
use crate::support::{Scratch, Service, node, run};

/// What Nitro makes of variables, by the very library it does that with.
fn by_destr(variables: &[String]) -> Vec<Value> {
    let script = "import { destr } from 'destr'
        console.log(JSON.stringify(JSON.parse(process.env.VARIABLES).map(text => destr(text))))";
    let variables = serde_json::to_string(variables).unwrap();
    let read = run(node(script).env("VARIABLES", variables));
    serde_json::from_str(&read).unwrap()
}

fn opens(service: &Service, password: &str) -> bool {
    let payload = payload("one", &json!({ "id": 5 }), now_ms());
    service.is_live(&seal(password, &payload, None))
}

fn with_variable(variable: &str) -> Service {
    let mut command = binary();
    command.env("NUXT_SESSION_PASSWORD", variable);
    Service::spawn(command)
}

#[test]
fn a_seal_opens_by_the_password_that_nitro_reads_and_by_the_variable_as_it_stands() {
    let variables = [
        PASSWORD.to_owned(),
        format!("\"{PASSWORD}\""),
        format!("\"\"{PASSWORD}\"\""),
        format!("'{PASSWORD}'"),
        format!("\"{PASSWORD}"),
        format!("{PASSWORD}\r"),
        format!(" {PASSWORD} "),
        format!(" \"{PASSWORD}\"\r\n"),
        format!("\"{PASSWORD}\\\"\\u00e9\""),
        format!("\"{PASSWORD}\\c\""),
        "1234567890123456.12345678901234567".to_owned(),
        format!("{{\"secret\":\"{PASSWORD}\"}}"),
        format!("true{}", " ".repeat(32)),
    ];
    for (variable, read) in variables.iter().zip(by_destr(&variables)) {
        let service = with_variable(variable);
        assert!(opens(&service, variable), "{variable:?}");
        // Of what is no string h3 makes no seal.
        if let Some(password) = read.as_str() {
            assert!(opens(&service, password), "{variable:?} is {password:?}");
        }
        let is_nitros = *variable == PASSWORD || read == PASSWORD;
        assert_eq!(opens(&service, PASSWORD), is_nitros, "{variable:?}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_password_in_a_file() {
    let scratch = Scratch::new("seal-bom");
    let file = scratch.write(
        "passwords",
        format!("\u{feff}{PASSWORD}\r\n'{PASSWORD}'\r\n"),
    );
    let service = Service::with(&["--sealed-password-file", &file]);
    assert!(opens(&service, PASSWORD) && opens(&service, &format!("'{PASSWORD}'")));
}

#[test]
fn quotes_do_not_make_a_password_long_enough() {
    let password = &PASSWORD[..31];
    let variable = format!("\"{password}\"");
    let said = refused(binary().env("NUXT_SESSION_PASSWORD", variable)).concat();
    assert!(
        said.contains("NUXT_SESSION_PASSWORD") && !said.contains(password),
        "{said}"
    );
}
