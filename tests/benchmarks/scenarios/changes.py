"""A second backup after a day's business in one large table."""

from dataclasses import dataclass

from .. import bases, programs
from ..measuring import Contestant, in_turn
from . import unchanged

TABLE = "sales_order_lines"

# One row in a hundred, spread evenly by a hash of its key, or the newest hundredth.
RANDOM_ROWS = "hashint8(id::bigint) % 100 = 0"
CLUSTERED_ROWS = f"id > (select max(id) - count(*) / 100 from {TABLE})"


@dataclass(frozen=True)
class Changes:
    """One kind of change as a scenario."""

    TITLE: str
    NOTE: str
    rows_changed: str
    REFERENCE: str = "floor"

    def rows(self, plan, cluster):
        database = cluster.copy("changed")
        try:
            return self._rows(plan, cluster, database)
        finally:
            cluster.drop(database)

    def _rows(self, plan, cluster, database):
        full = bases.ours(plan, cluster, database)
        peers = bases.peers(plan, cluster, database)
        change(cluster, database, self.rows_changed, plan.inserts)
        cluster.warm(database)
        contestants = [
            Contestant(
                "floor", "COPY to nothing, 2 connections (the floor)", programs.floor(cluster, database),
                database=database,
            )
        ]  # fmt: skip
        for kind in ("incremental", "differential"):
            command = programs.our_backup(cluster, database, more=f"--kind {kind}")
            contestants.append(
                Contestant(
                    kind, f"LogisEdge Backup, {kind}", command,
                    before=full.copy_into, database=database, missing=unchanged.missing(),
                )
            )  # fmt: skip
        for key, base, command, missing in peers:
            copy = base.copy_into if base else None
            contestants.append(
                Contestant(
                    key, f"pg_dump into {key} again", command, before=copy, database=database, missing=missing
                )
            )  # fmt: skip
        return in_turn(plan, cluster, contestants, plan.rounds)


def change(cluster, database, which, inserts):
    """Updates a hundredth of the table's rows and adds new ones after the newest."""
    columns = cluster.sql(
        database,
        "select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute "
        f"where attrelid = '{TABLE}'::regclass and attnum > 0 and not attisdropped and attname <> 'id'",
    )
    cluster.sql(database, f"update {TABLE} set discount_percent = discount_percent + 1 where {which}")
    cluster.sql(
        database,
        f"insert into {TABLE} (id, {columns}) select (select max(id) from {TABLE}) + row_number() over (order by id), "
        f"{columns} from {TABLE} order by id limit {inserts}",
    )
    cluster.sql("postgres", "checkpoint")


CLUSTERED = Changes(
    "Second backup, the newest rows changed",
    f"The newest 1 % of the rows of {TABLE} are updated and 50,000 inserted (fewer in a smaller database), as business "
    "mostly does.",
    CLUSTERED_ROWS,
)
RANDOM = Changes(
    "Second backup, rows all over a table changed",
    f"1 % of the rows of {TABLE} are updated at random and 50,000 inserted (fewer in a smaller database): every chunk of "
    "that table is another one, for whoever cuts it.",
    RANDOM_ROWS,
)
