//! Events that concern no payment, put on the log: start and stop, tokens that come and go.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::leaf::Event;

use super::Pipeline;

/// Pause between looks at the tokens.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Pipeline {
    /// Puts on the log that the daemon decides nothing more.
    pub async fn record_stop(&self) {
        self.record_unserved().await;
        if let Err(failure) = self.parts.ledger.record(Event::Stopped).await {
            tracing::warn!(%failure, "the stop is not on the log");
        }
    }

    /// Puts on the log whenever a token goes down or comes back, for as long as it is polled.
    pub async fn record_tokens(&self) {
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        loop {
            for token in self.tokens() {
                let up = known.get(&token.name).copied().unwrap_or(true);
                let event = match (up, token.up) {
                    (true, false) => Event::TokenDown {
                        token: token.name.clone(),
                        reason: token.reason.unwrap_or_default(),
                    },
                    (false, true) => Event::TokenUp { token: token.name.clone() },
                    _ => continue,
                };
                // Told again at the next look if the ledger does not take it now.
                if self.parts.ledger.record(event).await.is_ok() {
                    known.insert(token.name, token.up);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
