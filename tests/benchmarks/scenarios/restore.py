"""A whole database back into an empty one."""

from .. import bases, programs
from ..bases import Base
from ..measuring import Contestant, Row, in_turn

TITLE = "Restore into an empty database"
NOTE = (
    "Ours also reads every restored row again and compares its content with what the source held; the second line is "
    "its time until the database is whole, which is what the others do."
)
REFERENCE = "pg_restore"
TARGET = "restored"


def rows(plan, cluster):
    database = cluster.database
    ours = bases.ours(plan, cluster, database)
    dump = Base(plan, cluster, "dump", database, [programs.dump(cluster, "-Fd -j2 -f {work}/r/dump")])
    missing = programs.missing("restic")
    restic = None if missing else bases.restic(plan, cluster, database)
    target = f"copy_{TARGET}"

    def empty(_work):
        cluster.fresh(TARGET)

    def drop(_work):
        cluster.drop(target)

    def contestant(key, name, command, why=None):
        return Contestant(key, name, command, before=empty, after=drop, database=target, missing=why)

    found = in_turn(
        plan, cluster,
        [
            contestant("ours", "LogisEdge Backup, restored and compared", programs.our_restore(cluster, target, ours.repository)),
            contestant(
                "pg_restore", "pg_restore -j2 of pg_dump -Fd",
                programs.restored_dump(cluster, target, dump.repository / "dump"),
            ),
            contestant(
                "restic", "restic dump into psql",
                programs.restic_restore(cluster, target, restic.repository if restic else ""), missing,
            ),
        ],
        plan.rounds,
    )  # fmt: skip
    return found[:1] + [uncompared(found[0])] + found[1:]


def uncompared(ours):
    """The same rounds without the comparison, whose time our program tells."""
    wall = ours.numbers["wall_s"] - ours.numbers["compare_s"]
    return Row("uncompared", "LogisEdge Backup, the restore alone", {"wall_s": wall})
