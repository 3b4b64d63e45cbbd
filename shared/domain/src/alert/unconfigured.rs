//! Causes of what is not configured any more: no run, verification or clean-up will come that ends them.

use super::{AlertCause, AlertKind, Resolution};
use crate::Instant;
use crate::config::Config;
use crate::id::{LocationName, compact};

impl Resolution {
    /// That the scope, schedule or location of a cause is not configured any more. None: it is, or the cause
    /// is forgotten by itself.
    pub fn unconfigured(cause: &AlertCause, config: &Config, now: Instant) -> Option<Self> {
        let because = missing(cause, config).filter(|_| cause.kind.has_end())?;
        Some(Self {
            id: format!("unconfigured.{cause}.{}", compact(now)),
            at: now,
            scope: cause.scope.clone(),
            schedule: cause.schedule.clone(),
            any_schedule: false,
            about: cause.about.clone(),
            kinds: vec![cause.kind],
            because,
        })
    }
}

/// What of a cause is missing in the configuration, in one sentence.
fn missing(cause: &AlertCause, config: &Config) -> Option<String> {
    let scope = cause.scope.as_ref();
    if let Some(scope) = scope.filter(|scope| !config.scopes.contains_key(*scope)) {
        return Some(format!("Scope {scope} is no longer configured."));
    }
    match cause.kind {
        // What ends these is a run of this schedule that succeeds.
        AlertKind::Failure | AlertKind::Skipped | AlertKind::Late | AlertKind::StorageFull => {
            let name = cause.schedule.as_ref()?;
            let schedule = config.schedules.iter().find(|s| s.name == *name);
            match (schedule, scope) {
                (None, _) => Some(format!("Schedule {name} is no longer configured.")),
                (Some(schedule), Some(scope)) if !schedule.scopes.contains(scope) => {
                    Some(format!("Schedule {name} does not back up {scope}."))
                }
                _ => None,
            }
        }
        AlertKind::StorageSoonFull => {
            let location = cause.location()?;
            let is_gone = !config.locations.contains_key(&location);
            is_gone.then(|| format!("Location {location} is no longer configured."))
        }
        // Ended for the scope, whichever schedule took the snapshot.
        _ => None,
    }
}

impl AlertCause {
    /// The location whose level it is about, if it is about one.
    pub fn location(&self) -> Option<LocationName> {
        let about = self.about.as_ref();
        let about = about.filter(|_| self.kind == AlertKind::StorageSoonFull)?;
        about.rsplit_once('.')?.0.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::alert::Alert;
    use crate::capacity::Level;
    use crate::samples::{at, run, snapshot};

    const NOW: &str = "2026-11-26T04:00:15Z";

    /// The schedule `daily` of the scope `customers` at the location `main`.
    fn config() -> Config {
        let text = r#"
            version = 1
            [sources.erp]
            kind = "sqlite"
            path = "/srv/erp.db"
            [locations.main]
            kind = "folder"
            path = "/mnt/backups"
            repository_password = { env = "PASSWORD" }
            [scopes.customers]
            preset = "customers"
            [schedules.daily]
            every = "day"
            at = "02:00"
            scopes = ["customers"]
            "#;
        Config::parse(text, "test.toml").unwrap()
    }

    fn because(alert: &Alert, config: &Config) -> Option<String> {
        let cause = alert.cause();
        let ended = Resolution::unconfigured(&cause, config, at(NOW));
        assert!(ended.as_ref().is_none_or(|ended| ended.ends(&cause)));
        ended.map(|ended| ended.because)
    }

    #[test]
    fn what_is_configured_does_not_end_and_what_is_not_does() {
        let failure = Alert::run_failed(&run(), at(NOW));
        let finding = Alert::finding(&snapshot(1), &[], at(NOW));
        let anomaly = Alert::anomaly(&snapshot(1), &[], at(NOW));
        let all = [&failure, &finding, &anomaly];
        let config = config();
        assert_eq!(all.map(|alert| because(alert, &config)), [None, None, None]);

        let no_scope = Some("Scope customers is no longer configured.".to_owned());
        let none = Config::default();
        let ended = all.map(|alert| because(alert, &none));
        assert_eq!(ended, [no_scope.clone(), no_scope.clone(), no_scope]);

        let mut without = config.clone();
        without.schedules.clear();
        let no_schedule = Some("Schedule daily is no longer configured.".to_owned());
        let ended = all.map(|alert| because(alert, &without));
        assert_eq!(ended, [no_schedule, None, None], "the snapshots are there");

        let mut other = config.clone();
        other.schedules[0].scopes = vec!["items".parse().unwrap()];
        let not_it = Some("Schedule daily does not back up customers.".to_owned());
        assert_eq!(because(&failure, &other), not_it);
    }

    #[test]
    fn a_location_that_is_gone_is_not_soon_full() {
        let main: LocationName = "main".parse().unwrap();
        let alert = Alert::storage_soon_full(&main, 8, 10, Level::Eighty, None, at(NOW));
        assert_eq!(alert.cause().location(), Some(main));
        let gone = Some("Location main is no longer configured.".to_owned());
        assert_eq!(because(&alert, &Config::default()), gone);
        assert_eq!(because(&alert, &config()), None);
    }

    #[test]
    fn what_is_forgotten_by_itself_is_left_to_that() {
        let alert = Alert {
            kind: AlertKind::Missed,
            ..Alert::run_failed(&run(), at(NOW))
        };
        assert_eq!(because(&alert, &Config::default()), None);
    }
}
