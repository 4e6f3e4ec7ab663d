//! What the tests of the log, of receipts and of commands share.

pub(crate) mod scene;
