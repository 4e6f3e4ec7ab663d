//! Places for those who wait: so many a caller, so that none of them can keep all for itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;

use crate::domain::caller::CallerId;

use super::problem::Problem;

/// Places of one kind. Callers are those of the policy, so the count is bounded.
#[derive(Clone)]
pub struct Seats {
    taken: Arc<Mutex<BTreeMap<CallerId, usize>>>,
    most: usize,
}

/// A place, free again when it is dropped.
pub struct Seat {
    seats: Seats,
    caller: CallerId,
}

impl Seats {
    /// So many places for each caller.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// A place.
    ///
    /// # Errors
    /// A problem with status 429 if the caller has taken all of its places; `what` is said there.
    pub(super) fn take(&self, caller: &CallerId, what: &str) -> Result<Seat, Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(caller.clone()).or_default();
        if *count >= self.most {
            let detail = format!("{count} {what} of yours are open, as many as may be; close one");
            let title = "Too many requests wait";
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Problem::new(status, "overload", title, detail).retry_after(1));
        }
        *count = count.saturating_add(1);
        Ok(Seat { seats: self.clone(), caller: caller.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.caller) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_takes_its_own_places_only_and_gives_them_back() {
        let (shop, batch) =
            (CallerId::parse("c", "shop").unwrap(), CallerId::parse("c", "batch").unwrap());
        let seats = Seats::new(2);
        let first = seats.take(&shop, "streams").ok().unwrap();
        let _second = seats.take(&shop, "streams").ok().unwrap();
        assert!(seats.take(&shop, "streams").is_err());
        let _other = seats.take(&batch, "streams").ok().unwrap();
        drop(first);
        let _third = seats.take(&shop, "streams").ok().unwrap();
        assert!(seats.take(&shop, "streams").is_err());
    }
}
