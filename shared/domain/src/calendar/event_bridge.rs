//! Amazon EventBridge's own spellings, `cron(…)` and `rate(…)`, read into our calendars.
//!
//! What they mean is Amazon's to say:
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>. Where
//! one of our calendars means the same it is returned; everything else is refused. Two things are
//! ours: the expression is read in the schedule's own zone (EventBridge's rules know UTC only), and
//! a rate is counted from 1970-01-01T00:00Z (EventBridge counts from when the rule was made).

use super::cron::{Field, HOUR, MINUTE, MONTH, MONTH_DAY, WEEK_DAY, number};
use super::{Calendar, Cron, CronError, INTERVAL_MINUTES_MAX};

/// Why an expression of EventBridge's has no calendar here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventBridgeError {
    /// Neither of the two forms.
    #[error(
        "{0:?} is neither cron(minutes hours day-of-month month day-of-week year) nor rate(value unit), in small letters"
    )]
    Form(String),
    /// Not six fields.
    #[error(
        "EventBridge's cron(…) has six fields (minutes, hours, day of month, month, day of week, \
         year), not {0}; without cron(…) the five fields of Unix are read"
    )]
    Fields(usize),
    /// Both days are restricted, or neither.
    #[error("exactly one of day of month and day of week must be '?' in EventBridge's cron(…)")]
    Days,
    /// The last field is no `*`.
    #[error(
        "years ({0:?}) are not supported: a schedule goes on until it is removed or disabled; write '*'"
    )]
    Years(String),
    /// A day of the week cannot be read.
    #[error(
        "{0:?} is no day of week of EventBridge's: use 1 (SUN) to 7 (SAT), ranges a-b, 6L (the \
         month's last Friday), 6#2 (its second), and lists with ','"
    )]
    WeekDay(String),
    /// A field cannot be read, or nothing is ever due.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// A rate that cannot be read.
    #[error(
        "rate({0}) is no rate: write rate(1 minute), rate(15 minutes), rate(1 hour), rate(6 hours) or rate(1 day)"
    )]
    Rate(String),
    /// A rate that is longer than an interval may be.
    #[error(
        "rate({0}) is longer than a day: write every = \"week\" or \"month\", or a cron expression, \
         which also says at what time"
    )]
    Long(String),
}

/// Whether a text has one of the two forms, well or badly filled in, or means to: nothing else that says
/// when has a parenthesis.
pub fn is_event_bridge(text: &str) -> bool {
    text.contains('(')
}

/// The calendar that means the same as an expression of EventBridge's.
pub fn from_event_bridge(text: &str) -> Result<Calendar, EventBridgeError> {
    let form = || EventBridgeError::Form(text.to_owned());
    let (name, rest) = text.trim().split_once('(').ok_or_else(form)?;
    let inside = rest.strip_suffix(')').ok_or_else(form)?;
    match name {
        "cron" => cron(inside),
        "rate" => rate(inside),
        _ => Err(form()),
    }
}

fn cron(inside: &str) -> Result<Calendar, EventBridgeError> {
    let fields: Vec<&str> = inside.split_ascii_whitespace().collect();
    let &[minutes, hours, month_day, month, week_day, years] = fields.as_slice() else {
        return Err(EventBridgeError::Fields(fields.len()));
    };
    if years != "*" {
        return Err(EventBridgeError::Years(years.to_owned()));
    }
    if (month_day == "?") == (week_day == "?") {
        return Err(EventBridgeError::Days);
    }
    let month_day = match month_day {
        "?" => "*".to_owned(),
        days => unix(&MONTH_DAY, days)?,
    };
    let week_day = match week_day {
        "?" | "*" => "*".to_owned(),
        days => {
            let days: Result<Vec<String>, _> = days.split(',').map(unix_days).collect();
            days?.join(",")
        }
    };
    let (minutes, hours) = (unix(&MINUTE, minutes)?, unix(&HOUR, hours)?);
    let month = unix(&MONTH, month)?;
    let expression = format!("{minutes} {hours} {month_day} {month} {week_day}").parse::<Cron>()?;
    Ok(Calendar::Cron { expression })
}

/// A field as Unix writes it: `5/10` steps from 5 to the field's end, and the hours `20-2` go over
/// midnight, both of the days that the other fields name.
fn unix(field: &Field, text: &str) -> Result<String, CronError> {
    let parts: Result<Vec<String>, _> =
        text.split(',').map(|part| unix_part(field, part)).collect();
    Ok(parts?.join(","))
}

fn unix_part(field: &Field, part: &str) -> Result<String, CronError> {
    if let Some((from, step)) = part.split_once('/') {
        let from = match from {
            "*" => "*".to_owned(),
            range if range.contains('-') => range.to_owned(),
            first => format!("{}-{}", field.value(first, part)?, field.highest),
        };
        // Here, so that the error repeats what was written.
        let step = field.step(step, part)?;
        return Ok(format!("{from}/{step}"));
    }
    match part.split_once('-') {
        // L-3 is no range.
        Some((from, to)) if !from.eq_ignore_ascii_case("L") => {
            let (first, last) = (field.value(from, part)?, field.value(to, part)?);
            Ok(range(first, last, field.lowest, field.highest))
        }
        _ => Ok(part.to_owned()),
    }
}

fn range(from: u32, to: u32, lowest: u32, highest: u32) -> String {
    if from <= to {
        format!("{from}-{to}")
    } else {
        format!("{from}-{highest},{lowest}-{to}")
    }
}

/// One part of a day-of-week field with Sunday as 0, where EventBridge has it as 1.
fn unix_days(part: &str) -> Result<String, EventBridgeError> {
    let refused = || EventBridgeError::WeekDay(part.to_owned());
    let day = |text: &str| match number(text) {
        Some(day @ 1..=7) => Ok(day - 1),
        Some(_) => Err(refused()),
        None => WEEK_DAY.value(text, part).map_err(|_| refused()),
    };
    let upper = part.to_ascii_uppercase();
    // The week's last day.
    if upper == "L" {
        return Ok("6".to_owned());
    }
    if let Some((from, to)) = upper.split_once('-') {
        return Ok(range(day(from)?, day(to)?, 0, 6));
    }
    if let Some((of, nth)) = upper.split_once('#') {
        return match number(nth) {
            Some(1..=5) => Ok(format!("{}#{nth}", day(of)?)),
            _ => Err(refused()),
        };
    }
    match upper.strip_suffix('L') {
        Some(of) => Ok(format!("{}L", day(of)?)),
        None => Ok(day(&upper)?.to_string()),
    }
}

fn rate(inside: &str) -> Result<Calendar, EventBridgeError> {
    let wrong = || EventBridgeError::Rate(inside.to_owned());
    let (value, unit) = inside.split_once(' ').ok_or_else(wrong)?;
    let value = number(value).filter(|value| *value > 0).ok_or_else(wrong)?;
    // "If the value is equal to 1, then the unit must be singular."
    let minutes = match (value, unit) {
        (1, "minute") | (2.., "minutes") => 1,
        (1, "hour") | (2.., "hours") => 60,
        (1, "day") | (2.., "days") => 24 * 60,
        _ => return Err(wrong()),
    };
    let minutes = value.checked_mul(minutes);
    match minutes.filter(|minutes| *minutes <= INTERVAL_MINUTES_MAX) {
        Some(minutes) => Ok(Calendar::Minutes { minutes }),
        None => Err(EventBridgeError::Long(inside.to_owned())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn rule(text: &str) -> String {
        from_event_bridge(text).unwrap().rule()
    }

    fn refused(text: &str) -> String {
        from_event_bridge(text).unwrap_err().to_string()
    }

    /// The examples of EventBridge's user guide, and the others of its wildcards.
    #[test]
    fn what_means_the_same_is_read() {
        for (theirs, ours) in [
            ("cron(0 10 * * ? *)", "0 10 * * *"),
            (" cron(15 12 * * ? *) ", "15 12 * * *"),
            ("cron(0 18 ? * MON-FRI *)", "0 18 * * 1-5"),
            ("cron(0 18 ? * 2-6 *)", "0 18 * * 1-5"),
            ("cron(0 8 1 * ? *)", "0 8 1 * *"),
            ("cron(0/15 * * * ? *)", "0-59/15 * * * *"),
            ("cron(0/5 8-17 ? * MON-FRI *)", "0-59/5 8-17 * * 1-5"),
            ("cron(0/30 20-2 ? * MON-FRI *)", "0-59/30 20-23,0-2 * * 1-5"),
            (
                "cron(*/10 0/6 ? NOV-FEB SUN,3 *)",
                "*/10 0-23/6 * 11-12,1-2 0,2",
            ),
            ("cron(0 2 L * ? *)", "0 2 L * *"),
            ("cron(0 2 L-3,3W * ? *)", "0 2 L-3,3W * *"),
            ("cron(0 2 1/10 1/3 ? *)", "0 2 1-31/10 1-12/3 *"),
            ("cron(0 2 ? * L *)", "0 2 * * 6"),
            ("cron(15 10 ? * 6L *)", "15 10 * * 5L"),
            ("cron(15 10 ? * 3#2 *)", "15 10 * * 2#2"),
            ("cron(15 10 ? * FRI-MON *)", "15 10 * * 5-6,0-1"),
            // The verify and prune rules of the template.
            ("cron(17 5 * * ? *)", "17 5 * * *"),
        ] {
            assert_eq!(rule(theirs), format!("as cron says: {ours}"), "{theirs}");
        }
        for (theirs, ours) in [
            ("rate(1 minute)", "every minute"),
            ("rate(15 minutes)", "every 15 minutes"),
            ("rate(1 hour)", "every hour"),
            ("rate(6 hours)", "every 6 hours"),
            ("rate(1 day)", "every 24 hours"),
        ] {
            assert_eq!(rule(theirs), ours, "{theirs}");
        }
    }

    #[test]
    fn what_does_not_is_refused_and_says_why() {
        assert_snapshot!(refused("at(2026-11-24T02:00:00)"), @r#""at(2026-11-24T02:00:00)" is neither cron(minutes hours day-of-month month day-of-week year) nor rate(value unit), in small letters"#);
        assert_snapshot!(refused("cron(0 2 * * ? *"), @r#""cron(0 2 * * ? *" is neither cron(minutes hours day-of-month month day-of-week year) nor rate(value unit), in small letters"#);
        assert_snapshot!(refused("cron(0 2 * * *)"), @"EventBridge's cron(…) has six fields (minutes, hours, day of month, month, day of week, year), not 5; without cron(…) the five fields of Unix are read");
        assert_snapshot!(refused("cron(0 2 * * * *)"), @"exactly one of day of month and day of week must be '?' in EventBridge's cron(…)");
        assert_snapshot!(refused("cron(0 2 ? * ? *)"), @"exactly one of day of month and day of week must be '?' in EventBridge's cron(…)");
        assert_snapshot!(refused("cron(0 2 ? * MON-FRI 2026-2027)"), @r#"years ("2026-2027") are not supported: a schedule goes on until it is removed or disabled; write '*'"#);
        assert_snapshot!(refused("cron(0 2 ? * 0 *)"), @r#""0" is no day of week of EventBridge's: use 1 (SUN) to 7 (SAT), ranges a-b, 6L (the month's last Friday), 6#2 (its second), and lists with ','"#);
        assert_snapshot!(refused("cron(60 2 ? * 1 *)"), @r#""60" is no minute: use 0 to 59, '*', ranges a-b, steps */n or a-b/n, and lists with ','"#);
        assert_snapshot!(refused("cron(0 2 30 2 ? *)"), @"no day of any year matches: the months named have no such day");
        assert_snapshot!(refused("rate(5 minute)"), @"rate(5 minute) is no rate: write rate(1 minute), rate(15 minutes), rate(1 hour), rate(6 hours) or rate(1 day)");
        assert_snapshot!(refused("rate(7 days)"), @r#"rate(7 days) is longer than a day: write every = "week" or "month", or a cron expression, which also says at what time"#);
        assert_snapshot!(refused("CRON(0 2 * * ? *)"), @r#""CRON(0 2 * * ? *)" is neither cron(minutes hours day-of-month month day-of-week year) nor rate(value unit), in small letters"#);
        assert_snapshot!(refused("cron(0/70 2 * * ? *)"), @r#""0/70" is no minute: the n of a step */n is 1 to 59"#);
        assert_snapshot!(refused("cron(70/5 2 * * ? *)"), @r#""70/5" is no minute: use 0 to 59, '*', ranges a-b, steps */n or a-b/n, and lists with ','"#);
        for text in [
            "cron(0 2 ? * 1#6 *)",
            "cron(0 2 ? * 1/2 *)",
            "cron(0 2 ? * WEDX *)",
            "rate(0 minutes)",
            "rate(15)",
            "rate(-1 hours)",
        ] {
            refused(text);
        }
    }
}
