//! Watching the events of a node.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

use super::{Client, ClientError, read_answer, root_cause};
use crate::event::{Event, HEADER_LAST_EVENT_ID};
use crate::request::Method;

/// How long a node may say nothing: it sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// How long it may take to begin.
const BEGIN: Duration = Duration::from_secs(15);
/// Longest event, in bytes.
const MAX_EVENT: usize = 64 << 10;

/// The events of one node, from [`Client::events`].
pub struct Events {
    node: String,
    body: UnsyncBoxBody<Bytes, String>,
    /// What came and is not read yet.
    waiting: Vec<u8>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Client {
    /// Begins to watch what happens at the node: from now on, or after the event with the number `after`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, after: Option<u64>) -> Result<Events, ClientError> {
        let mut request = self.signed(Method::Get, "/v1/events", "", Vec::new())?;
        if let Some(after) = after {
            request.headers_mut().insert(HEADER_LAST_EVENT_ID, after.into());
        }
        let connect = |reason: String| ClientError::Connect { node: self.node.clone(), reason };
        let answer = tokio::time::timeout(BEGIN, self.http.request(request)).await;
        let answer = answer.map_err(|_| ClientError::NoAnswer(self.node.clone()))?;
        let (head, body) = answer.map_err(|error| connect(root_cause(&error)))?.into_parts();
        let body = body.map_err(|error| root_cause(&error)).boxed_unsync();
        if !head.status.is_success() {
            let collected =
                tokio::time::timeout(BEGIN, http_body_util::Limited::new(body, MAX_EVENT).collect());
            let bytes = collected.await.map_err(|_| ClientError::NoAnswer(self.node.clone()))?;
            let bytes = bytes.map_err(|error| connect(root_cause(error.as_ref())))?.to_bytes();
            // Fails with the problem that it is.
            return Err(match read_answer::<serde_json::Value>(&self.node, head.status, &bytes) {
                Err(error) => error,
                Ok(_) => connect("the answer is no stream".to_owned()),
            });
        }
        Ok(Events { node: self.node.clone(), body, waiting: Vec::new() })
    }
}

impl Events {
    /// The next event; `None` when the node has ended the stream. Waits for as long as nothing happens.
    ///
    /// # Errors
    /// [`ClientError::Connect`] or [`ClientError::NoAnswer`] if the connection is lost, [`ClientError::Answer`] for what is no event.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            while let Some(end) = self.waiting.windows(2).position(|two| two == b"\n\n") {
                let message: Vec<u8> = self.waiting.drain(..end.saturating_add(2)).collect();
                if let Some(event) = read(&message).map_err(|reason| self.strange(reason))? {
                    return Ok(Some(event));
                }
            }
            if self.waiting.len() > MAX_EVENT {
                return Err(self.strange(format!("an event is longer than {MAX_EVENT} bytes")));
            }
            let frame = tokio::time::timeout(SILENCE, self.body.frame()).await;
            let frame = frame.map_err(|_| ClientError::NoAnswer(self.node.clone()))?;
            let lost = |reason| ClientError::Connect { node: self.node.clone(), reason };
            match frame.transpose().map_err(lost)? {
                None => return Ok(None),
                Some(frame) => self.waiting.extend_from_slice(&frame.into_data().unwrap_or_default()),
            }
        }
    }

    fn strange(&self, reason: String) -> ClientError {
        ClientError::Answer { node: self.node.clone(), status: 200, reason }
    }
}

/// The event of one message; `None` for a comment.
fn read(message: &[u8]) -> Result<Option<Event>, String> {
    let text = std::str::from_utf8(message).map_err(|error| error.to_string())?;
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    if data.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&data.join("\n")).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    fn events(chunks: &[&str]) -> Events {
        let all: Vec<u8> = chunks.concat().into_bytes();
        let body = http_body_util::Full::new(Bytes::from(all)).map_err(|never| match never {}).boxed_unsync();
        Events { node: "http://a".to_owned(), body, waiting: Vec::new() }
    }

    #[tokio::test]
    async fn events_are_read_and_comments_are_not() {
        let event = Event::new(7, EventKind::PeerUp, 1, "a");
        let one = format!("id: 7\nevent: peer.up\ndata: {}\n\n", serde_json::to_string(&event).unwrap());
        let mut stream = events(&[": nothing new\n\n", &one, ":\n\n", &one]);
        assert_eq!(stream.next().await.unwrap(), Some(event.clone()));
        assert_eq!(stream.next().await.unwrap(), Some(event));
        assert_eq!(stream.next().await.unwrap(), None);
        assert!(events(&["data: {}\n\n"]).next().await.is_err());
        let endless = "x".repeat(MAX_EVENT + 1);
        let long = events(&[&endless]).next().await.unwrap_err().to_string();
        assert!(long.contains("longer than"), "{long}");
    }
}
