//! One field of a cron expression as a set of values: what all five fields have in common.

use super::CronError;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEK_DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

pub(in crate::calendar) const MINUTE: Field = Field {
    name: "minute",
    lowest: 0,
    highest: 59,
    names: &[],
    named: "",
    special: "",
};
pub(in crate::calendar) const HOUR: Field = Field {
    name: "hour",
    lowest: 0,
    highest: 23,
    names: &[],
    named: "",
    special: "",
};
pub(in crate::calendar) const MONTH_DAY: Field = Field {
    name: "day of month",
    lowest: 1,
    highest: 31,
    names: &[],
    named: "",
    special: ", L (the last), L-n, nW (the weekday nearest to day n), LW",
};
pub(in crate::calendar) const MONTH: Field = Field {
    name: "month",
    lowest: 1,
    highest: 12,
    names: &MONTHS,
    named: " or jan to dec",
    special: "",
};
pub(in crate::calendar) const WEEK_DAY: Field = Field {
    name: "day of week",
    lowest: 0,
    highest: 7,
    names: &WEEK_DAYS,
    named: " or sun to sat",
    special: ", 5L (the month's last Friday), 5#2 (its second)",
};

/// What one field may hold.
pub(in crate::calendar) struct Field {
    name: &'static str,
    pub(in crate::calendar) lowest: u32,
    pub(in crate::calendar) highest: u32,
    /// Names of the values from `lowest` on.
    names: &'static [&'static str],
    /// The names, for its error's text.
    named: &'static str,
    /// Forms that only this field has, for its error's text.
    special: &'static str,
}

impl Field {
    pub(in crate::calendar) fn error(&self, text: &str) -> CronError {
        CronError::Field {
            field: self.name,
            text: text.to_owned(),
            lowest: self.lowest,
            highest: self.highest,
            named: self.named,
            special: self.special,
        }
    }

    fn instead(&self, text: &str, remedy: String) -> CronError {
        CronError::Instead {
            field: self.name,
            text: text.to_owned(),
            remedy,
        }
    }

    /// The `n` of `*/n`. `part` is what an error repeats.
    pub(in crate::calendar) fn step(&self, step: &str, part: &str) -> Result<u32, CronError> {
        number(step)
            .filter(|n| *n >= 1 && *n <= self.highest)
            .ok_or_else(|| {
                let remedy = format!("the n of a step */n is 1 to {}", self.highest);
                self.instead(part, remedy)
            })
    }

    /// A range whose end comes before its begin, as the two parts that are meant.
    fn backwards(&self, from: u32, to: u32) -> String {
        // Sunday is 7 there.
        let (lowest, highest) = match self.name == WEEK_DAY.name {
            true => (1, self.highest),
            false => (self.lowest, self.highest),
        };
        let range = |from: u32, to: u32| match from == to {
            true => from.to_string(),
            false => format!("{from}-{to}"),
        };
        match to < lowest {
            true => range(from, highest),
            false => format!("{},{}", range(from, highest), range(lowest, to)),
        }
    }

    /// The values that a field's text means, one bit each.
    pub(in crate::calendar) fn bits(&self, text: &str) -> Result<u64, CronError> {
        text.split(',')
            .try_fold(0, |bits, part| Ok(bits | self.part_bits(part)?))
    }

    /// The values of one part of a list: `*`, `a`, `a-b`, `*/n`, `a-b/n`.
    pub(in crate::calendar) fn part_bits(&self, part: &str) -> Result<u64, CronError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (self.lowest, self.highest),
            (_, Some((from, to))) => (self.value(from, part)?, self.value(to, part)?),
            ("?", None) => {
                let remedy = "write '*' ('?' is for the days of EventBridge's cron(…))";
                return Err(self.instead(part, remedy.to_owned()));
            }
            // A step needs a range to step through: "5/10" means different things to different crons.
            (from, None) if step.is_some() => {
                let from = self.value(from, part)?;
                let step = self.step(step.unwrap_or_default(), part)?;
                let remedy = format!("write {from}-{}/{step}", self.highest);
                return Err(self.instead(part, remedy));
            }
            (value, None) => (self.value(value, part)?, self.value(value, part)?),
        };
        let step = match step {
            None => 1,
            Some(step) => self.step(step, part)?,
        };
        if from > to && part.contains('/') {
            return Err(self.error(part));
        }
        if from > to {
            let remedy = format!(
                "a range begins with its smaller value; write {}",
                self.backwards(from, to)
            );
            return Err(self.instead(part, remedy));
        }
        Ok((from..=to)
            .step_by(step as usize)
            .fold(0, |bits, value| bits | 1 << value))
    }

    /// One value, by its number or its name. `part` is what an error repeats.
    pub(in crate::calendar) fn value(&self, text: &str, part: &str) -> Result<u32, CronError> {
        let named = self.names.iter().position(|n| n.eq_ignore_ascii_case(text));
        named
            .map(|index| index as u32 + self.lowest)
            .or_else(|| number(text))
            .filter(|value| (self.lowest..=self.highest).contains(value))
            .ok_or_else(|| self.error(part))
    }
}

/// Digits only: `parse` alone would also take `+5`.
pub(in crate::calendar) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
