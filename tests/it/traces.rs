//! `traceparent`: its ids are in the log lines of the request, and a bad one leaves no trace.

use serde_json::Value;

use crate::support::{Ask, Service};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// The line that a logout leaves which carries `headers`.
fn line_of_a_logout(headers: &[(&str, &str)]) -> Value {
    let mut service = Service::start();
    let token = service.token_of("42");
    let ask = Ask::logout(&token);
    let with = |ask: Ask, (name, value): &(&str, &str)| ask.header(name, value);
    let answer = headers.iter().fold(ask, with).send(service.public);
    assert_eq!(answer.body, "true");
    service.wait_for("session ended")
}

#[test]
fn a_callers_trace_is_in_the_log_lines_of_its_request() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let line = line_of_a_logout(&[("traceparent", &parent), ("x-request-id", "mine")]);
    assert_eq!(line["traceId"], TRACE, "{line}");
    assert_eq!(line["spanId"], SPAN, "{line}");
    assert_eq!(line["requestId"], "mine", "{line}");
}

#[test]
fn what_a_later_version_adds_is_overlooked() {
    let parent = format!("01-{TRACE}-{SPAN}-00-something-new");
    let line = line_of_a_logout(&[("traceparent", &parent)]);
    assert_eq!(line["traceId"], TRACE, "{line}");
}

#[test]
fn no_trace_is_made_up_for_a_request_without_a_valid_one() {
    let upper = format!("00-{}-{SPAN}-01", TRACE.to_uppercase());
    let good = format!("00-{TRACE}-{SPAN}-01");
    let twice = [
        ("traceparent", good.as_str()),
        ("traceparent", good.as_str()),
    ];
    for headers in [&[] as &[_], &[("traceparent", upper.as_str())], &twice] {
        let line = line_of_a_logout(headers);
        assert!(
            line.get("traceId").is_none() && line.get("spanId").is_none(),
            "{line}"
        );
        assert!(line.get("requestId").is_some(), "{line}");
    }
}
