//! The plainest [`Batch`]: units that are journals and nothing else.
//!
//! One round trip for a batch, its BEGIN and COMMIT included, while nothing is refused; the careful way adds that of
//! [`admit()`]. Locks are those of [`post`](super::post()).

use tokio_postgres::Client;

use super::{PostError, Statements, admit, post_with};
use crate::Refusal;
use crate::group::{Batch, Failure, Flight, Pass};
use crate::journal::Journal;

/// Group commit of journals alone. A unit is the journals of one fact, posted together or not at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerBatch;

impl Batch for LedgerBatch {
    type Unit = Vec<Journal>;
    type Answer = Result<(), Refusal>;
    type Statements = Statements;

    async fn prepare(&self, client: &Client) -> Result<Statements, tokio_postgres::Error> {
        Statements::prepare(client).await
    }

    async fn commit(
        &self,
        tx: &Client,
        statements: &Statements,
        units: &mut [Vec<Journal>],
        pass: Pass,
    ) -> Result<Vec<Self::Answer>, Failure> {
        if pass == Pass::Optimistic {
            let journals: Vec<&Journal> = units.iter().flatten().collect();
            post_with(tx, statements, &journals).await?;
            return Ok(units.iter().map(|_| Ok(())).collect());
        }
        let groups: Vec<Vec<&Journal>> = units.iter().map(|u| u.iter().collect()).collect();
        let verdicts = admit(tx, &groups).await?;
        let accepted: Vec<&Journal> = groups
            .iter()
            .zip(&verdicts)
            .filter(|(_, v)| v.is_ok())
            .flat_map(|(g, _)| g.iter().copied())
            .collect();
        post_with(tx, statements, &accepted).await?;
        Ok(verdicts)
    }

    fn flight(&self, units: &[Vec<Journal>], pass: Pass) -> Flight {
        match pass {
            Pass::Optimistic if units.iter().any(|unit| !unit.is_empty()) => Flight::Alone,
            Pass::Optimistic => Flight::Together,
            Pass::Careful => Flight::InSteps,
        }
    }
}

/// A refusal somewhere in the batch: what it was is for the careful pass to say.
impl From<PostError> for Failure {
    fn from(e: PostError) -> Failure {
        match e {
            PostError::NeedsCare | PostError::Refused(_) => Failure::NeedsCare,
            PostError::Database(e) => Failure::Database(e),
        }
    }
}
