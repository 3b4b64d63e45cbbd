"""A second backup of a database in which nothing changed."""

from .. import bases, programs
from ..measuring import Contestant, in_turn

TITLE = "Second backup, nothing changed"
NOTE = (
    "With ranges proven, a stretch of a table that cannot have changed is not read; with all read, every row is "
    "read, cut and hashed, and found in the chain."
)
REFERENCE = "floor"


def rows(plan, cluster):
    database = cluster.database
    base = bases.ours(plan, cluster, database)
    proven = programs.our_backup(cluster, database, more="--kind incremental")
    read = programs.our_backup(cluster, database, more=f"--kind incremental {read_all()}")
    contestants = [
        Contestant("floor", "COPY to nothing, 2 connections (the floor)", programs.floor(cluster, database)),
        Contestant(
            "proven", "LogisEdge Backup, incremental, ranges proven", proven,
            before=base.copy_into, missing=missing(),
        ),
        Contestant(
            "read", "LogisEdge Backup, incremental, all read", read,
            before=base.copy_into, missing=missing() or (None if read_all() else NOT_THERE),
        ),
    ]  # fmt: skip
    for key, peer, command, why in bases.peers(plan, cluster, database):
        copy = peer.copy_into if peer else None
        contestants.append(Contestant(key, f"pg_dump into {key} again", command, before=copy, missing=why))
    return in_turn(plan, cluster, contestants, plan.rounds)


NOT_THERE = "this build of ours does not have it"


def missing():
    return None if programs.has_option("backup", "--kind") else NOT_THERE


def read_all():
    """The option that turns skipping off, or nothing where this build has none."""
    options = ("--no-skip", "--read-all")
    return next((option for option in options if programs.has_option("backup", option)), "")
