//! The alerts' channel of the outbox: each alert is told, or held back and counted; each resolution
//! ends the causes that it is about.
//!
//! An alert that is told is claimed before and accounted for after, so that of many functions that
//! deliver at once one tells it, and one that is killed in between is followed by another that does.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeDelta, Utc};
use logisedge_catalog::{Catalog, CatalogError, Message, OutboxId, Settled};
use logisedge_domain::alert::{Alert, AlertCause, AlertSettings, Resolution, Telling, Topics};
use logisedge_domain::id::ScheduleName;
use tracing::{info, warn};

use crate::outbox::CHANNEL_FAILURES_MAX;
use crate::{Aws, RuntimeError, Settings};

/// How long a claim holds: beyond SNS's three tries of 20 seconds.
const CLAIM: TimeDelta = TimeDelta::seconds(90);

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Handled {
    /// It was published; the caller deletes it.
    Published,
    /// It is accounted for and deleted already.
    Settled,
    /// It ended causes and is deleted; what tells of that lies in the outbox in its place.
    Ended,
    /// It was held back, accounted for and deleted.
    HeldBack,
    /// It stays: an earlier one of its cause waits, or somebody else is at it.
    Waits,
    /// It could not be published and stays.
    Failed(RuntimeError),
}

/// One delivery's view of the alerts.
pub(crate) struct Alerts<'a> {
    aws: &'a Aws,
    settings: &'a Settings,
    catalog: &'a Catalog,
    configured: Option<AlertSettings>,
    /// Where schedules' own alerts go, as far as it was asked for.
    routes: BTreeMap<ScheduleName, Topics>,
    /// Transient failures of each topic.
    failures: BTreeMap<String, usize>,
    /// Causes of which a message stays: later ones wait behind it.
    waiting: BTreeSet<AlertCause>,
}

impl<'a> Alerts<'a> {
    pub(crate) fn new(aws: &'a Aws, settings: &'a Settings, catalog: &'a Catalog) -> Self {
        Self {
            aws,
            settings,
            catalog,
            configured: None,
            routes: BTreeMap::new(),
            failures: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// How alerts are told, asked for once and only if there is one.
    async fn configured(&mut self) -> Result<AlertSettings, CatalogError> {
        if let Some(configured) = &self.configured {
            return Ok(configured.clone());
        }
        let read = self.catalog.alert_settings().await?;
        Ok(self.configured.insert(read).clone())
    }

    /// The topic of an alert.
    async fn topic_of(&mut self, alert: &Alert) -> Result<String, CatalogError> {
        let severity = alert.severity();
        if let Some(name) = &alert.schedule {
            if !self.routes.contains_key(name) {
                let state = self.catalog.schedule(name).await?;
                let topics = state.map(|state| state.schedule.topics);
                self.routes.insert(name.clone(), topics.unwrap_or_default());
            }
            if let Some(topic) = self.routes.get(name).and_then(|t| t.of(severity)) {
                return Ok(topic.to_string());
            }
        }
        let configured = self.configured().await?;
        let topic = configured.topics.of(severity).map(ToString::to_string);
        Ok(topic.unwrap_or_else(|| self.settings.topic_arn.clone()))
    }

    /// Tells an alert, or holds it back.
    pub(crate) async fn alert(
        &mut self,
        id: &OutboxId,
        alert: &Alert,
    ) -> Result<Handled, CatalogError> {
        let cause = alert.cause();
        let handled = match self.waiting.contains(&cause) {
            true => Handled::Waits,
            false => self.tell(id, alert).await?,
        };
        if matches!(handled, Handled::Waits | Handled::Failed(_)) {
            self.waiting.insert(cause);
        }
        Ok(handled)
    }

    /// Says that an alert stays without having been looked at.
    pub(crate) fn wait(&mut self, alert: &Alert) {
        self.waiting.insert(alert.cause());
    }

    async fn tell(&mut self, id: &OutboxId, alert: &Alert) -> Result<Handled, CatalogError> {
        let quiet = self.configured().await?.quiet;
        let now = Utc::now();
        if matches!(Telling::of(alert, None, quiet, now), Telling::Untracked) {
            let topic = self.topic_of(alert).await?;
            return Ok(match self.publish(&topic, alert).await {
                Some(Ok(())) => Handled::Published,
                Some(Err(error)) => Handled::Failed(error),
                None => Handled::Waits,
            });
        }
        let known = self.catalog.cause(&alert.cause()).await?;
        if known.is_claimed(now) {
            return Ok(Handled::Waits);
        }
        let (told, state) = match Telling::of(alert, known.state.as_ref(), quiet, now) {
            Telling::Untracked => return Ok(Handled::Waits),
            Telling::Tell(told, state) => (told, state),
            Telling::HoldBack(state) => {
                let settled = Settled {
                    state: Some(&state),
                    due_at: state.due_at(quiet),
                    delivered: Some(id),
                };
                let done = self.catalog.settle_cause(&known, settled, &[], now).await?;
                info!(alert = alert.id, held_back = state.held_back, "held back");
                return Ok(if done {
                    Handled::HeldBack
                } else {
                    Handled::Waits
                });
            }
        };
        let topic = self.topic_of(alert).await?;
        if self.is_down(&topic) {
            return Ok(Handled::Waits);
        }
        let Some(claimed) = self.catalog.claim_cause(&known, id, now + CLAIM).await? else {
            return Ok(Handled::Waits);
        };
        let (state, delivered, outcome) = match self.publish(&topic, &told).await {
            Some(Ok(())) => (Some(&*state), Some(id), Handled::Settled),
            Some(Err(error)) => (known.state.as_ref(), None, Handled::Failed(error)),
            None => (known.state.as_ref(), None, Handled::Waits),
        };
        let settled = Settled {
            state,
            due_at: state.and_then(|state| state.due_at(quiet)),
            delivered,
        };
        if !self
            .catalog
            .settle_cause(&claimed, settled, &[], Utc::now())
            .await?
        {
            warn!(
                alert = alert.id,
                "the claim ran out: another function may tell it again"
            );
        }
        Ok(outcome)
    }

    /// Ends the causes that a resolution is about; what tells of each goes into the outbox.
    pub(crate) async fn resolution(
        &mut self,
        id: &OutboxId,
        resolution: &Resolution,
    ) -> Result<Handled, CatalogError> {
        if self.waiting.iter().any(|cause| resolution.ends(cause)) {
            return Ok(Handled::Waits);
        }
        let now = Utc::now();
        // In the resolution's own place: before whatever came after it.
        let place = id.stored_at().unwrap_or(now);
        let mut handled = Handled::Settled;
        for known in self.catalog.causes_of(resolution.scope.as_ref()).await? {
            let Some(state) = known.state.as_ref().filter(|s| resolution.ends(&s.cause)) else {
                continue;
            };
            // It came back after this.
            if state.newest.at > resolution.at {
                continue;
            }
            let gone = Settled {
                state: None,
                due_at: None,
                delivered: None,
            };
            let told = [Message::Alert(state.resolved(&resolution.because, now))];
            let claimed = known.is_claimed(now);
            if claimed
                || !self
                    .catalog
                    .settle_cause(&known, gone, &told, place)
                    .await?
            {
                return Ok(Handled::Waits);
            }
            handled = Handled::Ended;
        }
        self.catalog.delivered(std::slice::from_ref(id)).await?;
        Ok(handled)
    }

    /// Whether a topic failed so often that it is left alone until the next tick.
    fn is_down(&self, topic: &str) -> bool {
        self.failures
            .get(topic)
            .is_some_and(|failures| *failures >= CHANNEL_FAILURES_MAX)
    }

    /// Publishes an alert to its topic. One that its own topic refuses for good goes to the stack's,
    /// with word of that. None: the topic is down, and was not asked.
    async fn publish(&mut self, topic: &str, alert: &Alert) -> Option<Result<(), RuntimeError>> {
        if self.is_down(topic) {
            return None;
        }
        let own = self.settings.topic_arn.as_str();
        let outcome = match self.publish_somehow(topic, alert).await {
            Err(error) if !error.retry.is_transient() && topic != own => {
                warn!(%error, alert = alert.id, "an alert goes to the stack's topic instead");
                let mut redirected = alert.clone();
                redirected
                    .details
                    .push(format!("It was meant for another topic: {error}"));
                self.publish_somehow(own, &redirected).await
            }
            outcome => outcome,
        };
        if outcome.as_ref().is_err_and(|e| e.retry.is_transient()) {
            *self.failures.entry(topic.to_owned()).or_default() += 1;
        }
        Some(outcome)
    }

    /// Publishes an alert, in a short form where the topic refuses the whole one for good: a text that
    /// is too long must not keep people from hearing of it at all.
    async fn publish_somehow(&self, topic: &str, alert: &Alert) -> Result<(), RuntimeError> {
        match self.aws.send_alert(topic, alert).await {
            Err(error) if !error.retry.is_transient() => {
                warn!(%error, alert = alert.id, "an alert goes out without its details");
                self.aws.send_alert(topic, &short_form(alert)).await
            }
            done => done,
        }
    }
}

fn short_form(alert: &Alert) -> Alert {
    let mut places = Vec::new();
    places.extend(alert.run.as_ref().map(|run| format!("run {run}")));
    places.extend(alert.snapshot.as_ref().map(|id| format!("snapshot {id}")));
    if places.is_empty() {
        places.push("the functions' logs".to_owned());
    }
    Alert {
        details: vec![format!(
            "The details could not be sent: see {}",
            places.join(" and ")
        )],
        ..alert.clone()
    }
}
