//! Failures as exit codes.

use quorate_api::client::ClientError;
use quorate_api::{Code, OperationStatus};
use std::fmt;
use std::process::ExitCode;

/// The user gave something that cannot be used.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error that ends with the exit code of wrong usage.
pub(crate) fn usage(message: impl fmt::Display) -> anyhow::Error {
    Usage(message.to_string()).into()
}

/// The exit code of a failure: 1 failed, 2 usage, 3 denied, 4 not enough parties, 5 timed out.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<Usage>().is_some() {
        return ExitCode::from(2);
    }
    ExitCode::from(error.downcast_ref::<ClientError>().map_or(1, client_exit_code))
}

fn client_exit_code(error: &ClientError) -> u8 {
    match error {
        ClientError::Problem(problem) => match problem.code {
            Code::NotEnoughParties => 4,
            Code::DeadlineExceeded => 5,
            code if matches!(code.status(), 401 | 403) => 3,
            _ => 1,
        },
        ClientError::Ended { status: OperationStatus::Rejected, .. } => 3,
        ClientError::Ended { status: OperationStatus::Expired, .. }
        | ClientError::TimedOut(_)
        | ClientError::NoAnswer(_) => 5,
        ClientError::Request(_) | ClientError::Address(_) => 2,
        ClientError::Ended { .. }
        | ClientError::Connect { .. }
        | ClientError::Answer { .. }
        | ClientError::Json(_)
        | ClientError::Handshake { .. }
        | ClientError::Tls(_)
        | ClientError::CertificateEnded
        | ClientError::Clock => 1,
    }
}
