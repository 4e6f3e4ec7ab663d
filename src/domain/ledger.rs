//! The rules of the ledger: reserve, authorise, post, void.
//!
//! Each is a pure function of an instant, a policy, the *working set* (the rows that a batch
//! names) and a request. It changes the working set and says what happened; making that durable,
//! all or nothing, is the back end's business. Nothing of the outcome may leave the process
//! before the back end has committed.

mod approve;
mod authorise;
mod closing;
mod evidence;
mod judge;
mod record;
mod replay;
mod reserve;
mod settle;
mod waiting;
mod working_set;

#[cfg(test)]
mod tests;

pub use approve::{NotTaken, StatementRequest, Taken, approve, issue};
pub use authorise::{Authorisation, authorise};
pub use closing::{ClosedPayment, Closing, Erasure, PastShare, RequestDigest};
pub use evidence::{Evidence, StatementRow, VerifiedEvidence};
pub use judge::{Admission, Check, Explanation, explain};
pub use record::{PaymentRecord, State, VoidReason, Wait};
pub use replay::Replay;
pub use reserve::{Reservation, Submission, reserve};
pub use settle::{Posting, Resumption, post, resume, void};
pub use waiting::{Hold, Waiting};
pub use working_set::{Claim, ClaimHolder, Novelty, WorkingSet};
