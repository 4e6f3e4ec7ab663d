//! The routes of notifications: their channels made before anything listens, their couriers at
//! work until the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::deployment::Deployment;
use crate::config::deployment::notifications::{self as settings, Route};
use crate::domain::key::PublicKey;
use crate::hsm::{Hsm, PlannedKey};
use crate::notifications::Channel;
use crate::notifications::board::Board;
use crate::notifications::courier::Courier;
use crate::notifications::mail::Mailer;
use crate::notifications::webhook::{Signer, Webhook};
use crate::pipeline::Pipeline;

use super::super::output::Failure;

/// Longest that attempts in progress may take to end when the daemon stops. One that is cut off is
/// made again at the next start.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);

/// A route with what it goes over.
pub(super) type Channelled = (Route, Channel);

/// The public half of the key that signs webhooks, among those of the tokens.
pub(super) fn public_half<'a>(
    deployment: &Deployment,
    mut keys: impl Iterator<Item = &'a PlannedKey>,
) -> Option<PublicKey> {
    let name = deployment.notifications.key.as_ref()?;
    keys.find(|key| key.id == *name).map(|key| key.public.clone())
}

/// Every route with its channel; a file that cannot be used is refused here.
pub(super) fn channels(
    deployment: &Deployment,
    hsm: &Hsm,
    public: Option<PublicKey>,
    wait: Duration,
) -> Result<Vec<Channelled>, Failure> {
    let configured = &deployment.notifications;
    let signer = configured.key.clone().zip(public);
    let signer = signer.map(|(key, public)| Signer { hsm: hsm.clone(), key, public, wait });
    let mailer = configured.mail.as_ref().map(|mail| Mailer::new(mail, &deployment.issuer));
    let mailer = mailer.transpose().map_err(Failure::broken)?;
    let mut routes = Vec::with_capacity(configured.routes.len());
    for route in &configured.routes {
        // That there are a key and a server where they are needed was checked with the file.
        let lacking = |what| Failure::broken(format!("notifications.to.{}: no {what}", route.name));
        let channel = match &route.channel {
            settings::Channel::Webhook { target, ca } => {
                let signer = signer.clone().ok_or_else(|| lacking("key signs webhooks"))?;
                let webhook = Webhook::new(target.clone(), ca.as_deref(), signer);
                Channel::Webhook(webhook.map_err(Failure::broken)?)
            }
            settings::Channel::Mail { to } => {
                let mailer = mailer.as_ref().ok_or_else(|| lacking("mail server"))?;
                Channel::Mail(mailer.to(to).map_err(Failure::broken)?)
            }
        };
        routes.push((route.clone(), channel));
    }
    Ok(routes)
}

/// Couriers that are ready to go.
pub(super) struct Couriers(Vec<Courier>);

/// Couriers at work.
pub(super) struct AtWork(JoinSet<()>);

impl Couriers {
    /// One for each route, and the board on which they stand.
    pub(super) async fn of(
        routes: Vec<Channelled>,
        pipeline: &Pipeline,
    ) -> Result<(Self, Arc<Board>), Failure> {
        let mut board = Board::default();
        let mut couriers = Vec::with_capacity(routes.len());
        for (route, channel) in routes {
            let courier = Courier::new(route, channel, pipeline.clone(), &mut board).await;
            couriers.push(courier.map_err(Failure::broken)?);
        }
        Ok((Self(couriers), Arc::new(board)))
    }

    /// Sends them off; they come back once `stopping` is true.
    pub(super) fn go(self, stopping: &watch::Receiver<bool>) -> AtWork {
        let mut at_work = JoinSet::new();
        for courier in self.0 {
            at_work.spawn(courier.run(stopping.clone()));
        }
        AtWork(at_work)
    }
}

impl AtWork {
    /// Waits a while for all of them.
    pub(super) async fn come_back(mut self) {
        let all_back = async { while self.0.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WAIT_MAX, all_back).await.is_err() {
            tracing::warn!("a notification was cut off at the end; it is made at the next start");
        }
        self.0.shutdown().await;
    }
}
