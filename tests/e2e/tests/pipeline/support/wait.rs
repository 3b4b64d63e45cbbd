//! Waiting for what others do: asked again and again until a deadline, never slept for.

use std::future::Future;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(200);

/// Asks until there is an answer; panics with `what` when the time is over.
pub async fn wait_for<T, F>(what: &str, seconds_max: u64, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let give_up = Instant::now() + Duration::from_secs(seconds_max);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            Instant::now() < give_up,
            "waited {seconds_max} s in vain for {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
