//! Questions to peers: each has a ticket, which comes back with the answer.

use std::collections::HashMap;
use std::sync::Mutex;

use quorate_api::Problem;
use quorate_net::PeerId;
use tokio::sync::oneshot;

use crate::control::Ticket;
use crate::registry::locked;
use crate::shared::random;

/// Questions of one kind that wait for their answers.
#[derive(Debug)]
pub(crate) struct Questions<T>(Mutex<HashMap<Ticket, (PeerId, oneshot::Sender<T>)>>);

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// A question that waits for its answer. Dropped, it is forgotten.
#[derive(Debug)]
pub(crate) struct Question<'a, T> {
    questions: &'a Questions<T>,
    pub(crate) ticket: Ticket,
    /// Gives what the peer answers.
    pub(crate) answered: oneshot::Receiver<T>,
}

impl<T> Questions<T> {
    /// A question to this peer, to be sent under its ticket.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub(crate) fn ask(&self, peer: PeerId) -> Result<Question<'_, T>, Problem> {
        let ticket: Ticket = random()?;
        let (answer, answered) = oneshot::channel();
        locked(&self.0).insert(ticket, (peer, answer));
        Ok(Question { questions: self, ticket, answered })
    }

    /// Hands an answer on, if it is from the peer that was asked; anything else is dropped.
    pub(crate) fn answer(&self, from: PeerId, ticket: Ticket, value: T) {
        let mut waiting = locked(&self.0);
        let theirs = waiting.get(&ticket).is_some_and(|(peer, _)| *peer == from);
        if theirs && let Some((_, answer)) = waiting.remove(&ticket) {
            // Whoever asked may have gone.
            drop(answer.send(value));
        }
    }
}

impl<T> Drop for Question<'_, T> {
    fn drop(&mut self) {
        locked(&self.questions.0).remove(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_peer_that_was_asked_answers_and_nothing_is_left() {
        let questions = Questions::default();
        let (asked, other) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let mut question = questions.ask(asked).unwrap();
        questions.answer(other, question.ticket, "wrong");
        questions.answer(asked, [0; 16], "lost");
        questions.answer(asked, question.ticket, "right");
        questions.answer(asked, question.ticket, "again");
        assert_eq!((&mut question.answered).await.unwrap(), "right");
        drop(question);
        drop(questions.ask(asked).unwrap());
        assert!(locked(&questions.0).is_empty());
    }
}
