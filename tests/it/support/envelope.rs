//! What every error answer looks like.

use super::Answer;

/// The answer is an error of this status in the envelope, with the headers of every answer, says
/// when to ask again if that may help, and leaves the client's cookie alone.
pub fn assert_envelope(answer: &Answer, status: u16, reason: &str, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let expected = serde_json::json!({
        "statusCode": status,
        "statusMessage": reason,
        "data": { "message": message },
    });
    assert_eq!(answer.json(), expected, "{answer:?}");
    assert_eq!(answer.header("set-cookie"), None, "{answer:?}");
    let retry_after = (status == 503).then_some("1");
    assert_eq!(answer.header("retry-after"), retry_after, "{answer:?}");
    assert_common_headers(answer);
}

/// The headers of every answer, errors included.
pub fn assert_common_headers(answer: &Answer) {
    assert_eq!(
        answer.header("cache-control"),
        Some("no-store"),
        "{answer:?}"
    );
    assert_eq!(
        answer.header("x-content-type-options"),
        Some("nosniff"),
        "{answer:?}"
    );
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| !id.is_empty()),
        "{answer:?}"
    );
    assert_eq!(answer.header("server"), None, "{answer:?}");
}
