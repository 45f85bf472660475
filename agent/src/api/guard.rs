//! What stands before every route: the time that a request may take, who may change something, what a browser may do.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::Api;
use super::answer::Refusal;
use super::settings::ApiSettings;
use crate::report;

/// Ends a request that takes longer than it may.
pub(super) async fn time(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(api.settings.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = api.settings.timeout.as_secs();
            Refusal::late(format!("not done within {seconds} s (`api.timeout_s`)")).into_response()
        }
    }
}

/// Lets a request pass that has the token.
pub(super) async fn token(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match allowed(&api.settings, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn allowed(settings: &ApiSettings, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(secret) = &settings.token else {
        return Err(Refusal::forbidden("nothing can be changed here: `api.token_file` is not set"));
    };
    // Read anew: a token that was changed is the token from then on.
    let token = secret.line().map_err(|error| {
        tracing::error!(error = report::chain(&error), "nobody can change anything over HTTP");
        Refusal::forbidden("nothing can be changed here: `api.token_file` cannot be read")
    })?;
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    match given {
        Some(given) if !token.is_empty() && same(given.trim(), &token) => Ok(()),
        _ => Err(Refusal::unknown(
            "`Authorization: Bearer` with the token of `api.token_file` is missing or wrong",
        )),
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

/// Tells browsers to take nothing for anything else, to keep nothing, and to show it in nobody's frame.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let none = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(none);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Secret;
    use axum::http::StatusCode;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_the_token_that_the_file_has_now_may_change_something() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let write = |text: &[u8]| {
            crate::disk::replace(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        write(b"s3cret\n");
        let with = ApiSettings { token: Some(Secret::File(path.clone())), ..Default::default() };
        let ask = |settings: &ApiSettings, given: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(AUTHORIZATION, HeaderValue::from_static(given));
            }
            allowed(settings, &headers).err().map(|refusal| refusal.status)
        };
        let (unknown, forbidden) = (StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN);
        for (settings, given, refused) in [
            (&with, Some("Bearer s3cret"), None),
            (&with, Some("Bearer s3cre"), Some(unknown)),
            (&with, Some("Bearer "), Some(unknown)),
            (&with, Some("Basic s3cret"), Some(unknown)),
            (&with, None, Some(unknown)),
            (&ApiSettings::default(), Some("Bearer s3cret"), Some(forbidden)),
        ] {
            assert_eq!(ask(settings, given), refused, "{given:?}");
        }
        write(b"\n");
        assert_eq!(ask(&with, Some("Bearer ")), Some(unknown));
        write(b"other\n");
        assert_eq!(ask(&with, Some("Bearer other")), None);
    }
}
