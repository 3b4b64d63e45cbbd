//! Where in its server's history a snapshot stands, and whether a server's history goes through
//! where an earlier snapshot stood.
//!
//! A server can forget what it once showed: a crash loses commits that were not flushed yet
//! (`synchronous_commit = off`), a promoted standby lacks what it had not received, point-in-time
//! recovery and a disk put back from a storage snapshot (every restored RDS snapshot) go back on
//! purpose. Then it hands out the same transaction numbers again, to other transactions. Neither
//! the system identifier nor the timeline tells a disk that was put back from one that was not.
//!
//! So each snapshot leaves a witness: right after it was taken, [`WITNESSES`] transactions without
//! content are made, and a lot decides for each whether it commits or rolls back. Their outcomes
//! stand in the commit log like those of any transaction, at no cost but their numbers and 2 kB of
//! WAL. A later snapshot asks for these outcomes (`pg_xact_status`):
//!
//! - They all agree: the server went through this very point. WAL is kept and lost from its end on
//!   only, and everything that the snapshot saw committed was in the WAL before the first witness,
//!   so none of it was lost since.
//! - The server lost them: the numbers are in the future (an error), or were given to others, who
//!   would have to commit and roll back in just this order. Drawn with at least [`EACH_MIN`] of
//!   both, an order comes about by chance once in a thousand million, and never where every
//!   transaction commits.
//! - The commit log no longer reaches back that far (`vacuum` cuts it off): no answer, so no proof.
//!
//! Were only the last witnesses lost, their numbers may show others' outcomes and disagree, which
//! refuses a base that was good; or agree, and then the first ones did survive.

use logisedge_domain::manifest::Lineage;
use tokio_postgres::SimpleQueryMessage;

use super::options::PostgresOptions;
use super::session::Session;
use super::storage::RANGES_SINCE;

/// Transactions that bear witness to one snapshot.
const WITNESSES: usize = 32;

/// Fewest of them that commit, and that roll back.
const EACH_MIN: u32 = 8;

/// How far a base may lie back, in transactions: a row's 32-bit `xmin` is compared with it, which
/// says the right thing up to 2^31.
const DISTANCE_MAX: u64 = 1 << 30;

/// What a server says of its history at a snapshot.
pub(super) struct Standing {
    /// None: this server cannot tell, `because` says why.
    pub(super) lineage: Option<Lineage>,
    /// Why a base cannot be compared with: for people. None where it can.
    pub(super) because: Option<String>,
}

/// Finds out where the snapshot stands that `coordinator` holds, leaves a witness to it, and looks
/// whether history goes through `base`. Asks on a connection of its own: what a server refuses to
/// tell (a standby, a service that is only like PostgreSQL) must not end the snapshot.
pub(super) async fn stand(
    options: &PostgresOptions,
    coordinator: &Session,
    base: Option<&Lineage>,
) -> Standing {
    let cannot = |because: String| Standing {
        lineage: None,
        because: Some(because),
    };
    if coordinator.version < RANGES_SINCE {
        return cannot(format!(
            "PostgreSQL {} has no scans of page ranges; 14 is the first that has",
            coordinator.version / 10_000
        ));
    }
    let told = async {
        let (xmin, xmax) = bounds(coordinator).await?;
        let session = Session::open(options).await.map_err(|e| e.to_string())?;
        let place = place(&session).await.map_err(|e| said(&e))?;
        let because = match base {
            Some(base) => leads_away(&session, &place, base, xmin, xmax).await,
            None => Some("there is no earlier snapshot to compare with".to_owned()),
        };
        let (committed, rolled_back) = bear_witness(&session).await?;
        Ok::<_, String>(Standing {
            lineage: Some(Lineage {
                xmin,
                committed,
                rolled_back,
                ..place
            }),
            because,
        })
    };
    told.await.unwrap_or_else(|because| {
        cannot(format!("the server does not tell its history: {because}"))
    })
}

fn said(error: &tokio_postgres::Error) -> String {
    super::failure::explain(error).1
}

/// The snapshot's oldest running transaction and the first that it does not see.
async fn bounds(coordinator: &Session) -> Result<(u64, u64), String> {
    let sql =
        "SELECT pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text FROM pg_current_snapshot() s";
    let row = coordinator.client.query_one(sql, &[]).await;
    let row = row.map_err(|error| said(&error))?;
    let number = |at| {
        row.get::<_, &str>(at)
            .parse::<u64>()
            .map_err(|e| e.to_string())
    };
    Ok((number(0)?, number(1)?))
}

/// Which server, timeline and database it is, as a lineage without a point.
async fn place(session: &Session) -> Result<Lineage, tokio_postgres::Error> {
    // The name of a WAL file begins with the timeline that is written now; the control file's is
    // that of the last checkpoint, which a promotion does not wait for. A standby refuses to tell.
    let sql = "SELECT s.system_identifier::text, \
            ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int8, d.oid \
         FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()";
    let row = session.client.query_one(sql, &[]).await?;
    Ok(Lineage {
        system_identifier: row.get(0),
        timeline: u32::try_from(row.get::<_, i64>(1)).unwrap_or_default(),
        server_version: session.version,
        database: row.get(2),
        xmin: 0,
        committed: Vec::new(),
        rolled_back: Vec::new(),
    })
}

/// Why this server's history does not go through `base`, or not provably.
async fn leads_away(
    session: &Session,
    here: &Lineage,
    base: &Lineage,
    xmin: u64,
    xmax: u64,
) -> Option<String> {
    let differs = |what: &str| Some(format!("the earlier snapshot was taken {what}"));
    if here.system_identifier != base.system_identifier || here.database != base.database {
        return differs("from another database cluster or database");
    }
    if here.timeline != base.timeline {
        return differs(&format!(
            "on timeline {}, and the server is on {} now",
            base.timeline, here.timeline
        ));
    }
    if here.server_version != base.server_version {
        return differs("from another version of PostgreSQL");
    }
    if base.xmin > xmin || xmax - base.xmin > DISTANCE_MAX {
        return differs("too many transactions ago, or ahead of the server");
    }
    let witnesses = base.committed.len() + base.rolled_back.len();
    let fewest = base.committed.len().min(base.rolled_back.len());
    if witnesses < WITNESSES || fewest < EACH_MIN as usize {
        return differs("with too few witnesses");
    }
    match agrees(session, base).await {
        Ok(true) => None,
        Ok(false) => differs(
            "in a history that the server has no memory of: it was put back to an earlier state",
        ),
        Err(why) => differs(&format!("where the server does not remember ({why})")),
    }
}

/// Whether the outcomes of the witnesses are those that were drawn.
async fn agrees(session: &Session, base: &Lineage) -> Result<bool, String> {
    let sql = "SELECT count(*) FILTER (WHERE status = 'committed' AND n <= $2), \
            count(*) FILTER (WHERE status = 'aborted' AND n > $2) \
         FROM (SELECT n, pg_xact_status(x::text::xid8) AS status \
            FROM unnest($1::int8[]) WITH ORDINALITY AS u(x, n)) u";
    let numbers: Result<Vec<i64>, _> = base
        .committed
        .iter()
        .chain(&base.rolled_back)
        .map(|&number| i64::try_from(number))
        .collect();
    let numbers = numbers.map_err(|error| error.to_string())?;
    let committed = base.committed.len() as i64;
    let row = session.client.query_one(sql, &[&numbers, &committed]).await;
    let row = row.map_err(|error| said(&error))?;
    Ok((row.get::<_, i64>(0), row.get::<_, i64>(1)) == (committed, base.rolled_back.len() as i64))
}

/// Makes the witnesses, and returns those that committed and those that did not.
async fn bear_witness(session: &Session) -> Result<(Vec<u64>, Vec<u64>), String> {
    let lots = draw()?;
    let script: String = (0..WITNESSES)
        .map(|at| {
            let end = if commits(lots, at) { "COMMIT" } else { "ROLLBACK" };
            // Without content they need not be waited for. Where they are lost, so is what they witness.
            format!(
                "BEGIN READ WRITE; SET LOCAL synchronous_commit = off; SELECT pg_current_xact_id(); {end};"
            )
        })
        .collect();
    let answers = session.client.simple_query(&script).await;
    let numbers: Vec<u64> = answers
        .map_err(|error| said(&error))?
        .iter()
        .filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        })
        .collect();
    if numbers.len() != WITNESSES {
        return Err(format!(
            "{} of {WITNESSES} transactions were made",
            numbers.len()
        ));
    }
    let (committed, rolled_back): (Vec<_>, Vec<_>) = numbers
        .into_iter()
        .enumerate()
        .partition(|(at, _)| commits(lots, *at));
    let numbers = |lots: Vec<(usize, u64)>| lots.into_iter().map(|(_, number)| number).collect();
    Ok((numbers(committed), numbers(rolled_back)))
}

fn commits(lots: u32, at: usize) -> bool {
    lots >> at & 1 == 1
}

/// One random bit a witness, with enough of both.
fn draw() -> Result<u32, String> {
    loop {
        let lots = getrandom::u32().map_err(|error| error.to_string())?;
        if (EACH_MIN..=32 - EACH_MIN).contains(&lots.count_ones()) {
            return Ok(lots);
        }
    }
}
