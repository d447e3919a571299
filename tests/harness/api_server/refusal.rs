// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Status` objects: how an API server says no.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::objects::Resource;

/// A failure, as the body of an answer or inside a watch.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) resource: Option<Resource>,
    /// Seconds after which to come again.
    pub(super) retry_after_s: Option<u32>,
}

impl Refusal {
    /// One for a status code that a test asked for.
    pub(super) fn of_code(code: u16, resource: Resource) -> Self {
        let plural = resource.plural();
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized".to_owned()),
            403 => (
                "Forbidden",
                format!(
                    "{plural} is forbidden: User \"plain-user\" cannot list resource \"{plural}\" \
                     in API group \"\" at the cluster scope"
                ),
            ),
            410 => return Self::expired("The resourceVersion for the provided list is too old."),
            429 => (
                "TooManyRequests",
                "Too many requests, please try again later.".to_owned(),
            ),
            503 => (
                "ServiceUnavailable",
                "apiserver is shutting down".to_owned(),
            ),
            _ => ("InternalError", "an error on the server".to_owned()),
        };
        Self {
            code,
            reason,
            message,
            resource: (code == 403).then_some(resource),
            retry_after_s: None,
        }
    }

    /// The same with a word on when to come again.
    pub(super) fn come_again(self, retry_after_s: Option<u32>) -> Self {
        Self {
            retry_after_s,
            ..self
        }
    }

    /// A version that is forgotten.
    pub(super) fn expired(message: &str) -> Self {
        Self {
            code: 410,
            reason: "Expired",
            message: message.to_owned(),
            resource: None,
            retry_after_s: None,
        }
    }

    /// A version that is not there yet, and did not come in time.
    pub(super) fn too_large(asked: u64, now: u64) -> Self {
        Self {
            code: 504,
            reason: "Timeout",
            message: format!("Too large resource version: {asked}, current: {now}"),
            resource: None,
            retry_after_s: Some(1),
        }
    }

    /// A query whose parts do not go together.
    pub(super) fn invalid(message: &str) -> Self {
        Self {
            code: 422,
            reason: "Invalid",
            message: format!("ListOptions.meta.k8s.io \"\" is invalid: {message}"),
            resource: None,
            retry_after_s: None,
        }
    }

    /// A request that makes no sense.
    pub(super) fn bad_request(message: String) -> Self {
        Self {
            code: 400,
            reason: "BadRequest",
            message,
            resource: None,
            retry_after_s: None,
        }
    }

    /// The `Status` object.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if let Some(resource) = self.resource {
            body["details"] = json!({"kind": resource.plural()});
        }
        if let Some(seconds) = self.retry_after_s {
            body["details"]["retryAfterSeconds"] = seconds.into();
        }
        body
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (code, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_s {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// An object that is not there.
pub(super) fn no_object(resource: Resource, name: &str) -> Response {
    let refusal = Refusal {
        code: 404,
        reason: "NotFound",
        message: format!("{} \"{name}\" not found", resource.plural()),
        resource: Some(resource),
        retry_after_s: None,
    };
    refusal.into_response()
}

/// A path that is not served.
pub(super) fn not_found() -> Response {
    let refusal = Refusal {
        code: 404,
        reason: "NotFound",
        message: "the server could not find the requested resource".to_owned(),
        resource: None,
        retry_after_s: None,
    };
    refusal.into_response()
}
