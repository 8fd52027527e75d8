//! Answers: JSON, or a problem.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quorate_api::{Code, PROBLEM_CONTENT_TYPE, Problem};
use serde::Serialize;

use crate::trace;

/// A problem on its way out. Gets the id of its request, which is also in the log.
#[derive(Debug)]
pub(crate) struct Failed(Box<Problem>);

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl Failed {
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn into_problem(self) -> Problem {
        *self.0
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let id = trace::request_id().unwrap_or_else(trace::fresh);
        let mut problem = self.0.with_request_id(&*id);
        if problem.code == Code::RateLimited {
            problem.retry_after.get_or_insert(1);
        }
        let request_id = problem.request_id.as_deref().unwrap_or_default();
        tracing::info!(request_id, code = %problem.code, status = problem.status(), detail = %problem.detail, "request failed");
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, &problem);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
        if let Some(seconds) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let content = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, content)], Body::from(bytes)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
