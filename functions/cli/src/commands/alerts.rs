//! `alerts`: the causes that go on, how often each was told, and what was held back.

use logisedge_domain::alert::CauseState;
use logisedge_domain::format;

use crate::commands::Context;
use crate::error::CliError;
use crate::output::{table, utc};

pub(crate) async fn alerts(context: &Context) -> Result<(), CliError> {
    let causes = context.catalog.all_causes().await?;
    context.output.show(&causes, |causes| text(causes));
    Ok(())
}

fn text(causes: &[CauseState]) -> String {
    if causes.is_empty() {
        return "Nothing that was alerted goes on.".to_owned();
    }
    let name = |name: Option<String>| name.unwrap_or_else(|| "-".to_owned());
    let rows = table(
        &[
            "SINCE",
            "SEVERITY",
            "KIND",
            "SCOPE",
            "SCHEDULE",
            "TOLD",
            "LAST TOLD",
            "HELD BACK",
        ],
        causes.iter().map(|state| {
            let cause = &state.cause;
            vec![
                utc(state.since),
                cause.kind.severity().as_str().to_owned(),
                cause.kind.as_str().to_owned(),
                name(cause.scope.as_ref().map(ToString::to_string)),
                name(cause.schedule.as_ref().map(ToString::to_string)),
                state.told.to_string(),
                utc(state.told_at),
                state.held_back.to_string(),
            ]
        }),
        &[5, 7],
    );
    let newest = causes.iter().map(|state| {
        format!(
            "  {}: {}",
            format::instant(state.newest.at),
            state.newest.summary
        )
    });
    let newest: Vec<String> = newest.collect();
    format!("{rows}\n\nThe newest of each:\n{}", newest.join("\n"))
}
