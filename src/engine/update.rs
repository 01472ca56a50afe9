//! Would a new version run (rules 3, 6.8)? Decided by the ledger as it is; nothing is journaled but a pool that is brought up to
//! date on the way, as any question does.

use seats::ledger::{Now, UpdateQuestion};

use super::Engine;
use super::ask::Answer;
use crate::journal::{Disk, JournalError};

impl<D: Disk> Engine<D> {
    pub(super) fn update_check(
        &mut self,
        question: &UpdateQuestion,
        now: Now,
    ) -> Result<Answer, JournalError> {
        self.refresh_feature(&question.item.feature, now)?;
        Ok(match self.ledger.check_update(question, now) {
            Ok(answer) => Answer::UpdateCheck(Box::new(answer)),
            Err(denial) => Answer::Denied(denial),
        })
    }
}
