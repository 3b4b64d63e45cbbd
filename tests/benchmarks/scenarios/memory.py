"""The largest client process at several sizes of database: it must not grow with the data."""

from .. import bases, programs
from ..cluster import Cluster
from ..measuring import Contestant, in_turn
from . import unchanged

TITLE = "Memory at several sizes"
NOTE = "One round; each size has a server of its own."
REFERENCE = None


def rows(plan, cluster):
    found = []
    for megabytes in plan.memory_megabytes:
        if megabytes == cluster.megabytes:
            found += at_size(plan, cluster)
            continue
        with Cluster(megabytes, plan.seed) as other:
            found += at_size(plan, other)
    return found


def at_size(plan, cluster):
    database, size = cluster.database, cluster.megabytes
    base = bases.ours(plan, cluster, database)
    again = programs.our_backup(cluster, database, more=f"--kind incremental {unchanged.read_all()}")
    contestants = [
        Contestant(f"full-{size}", f"full, {size} MB", programs.our_backup(cluster, database)),
        Contestant(
            f"incremental-{size}", f"incremental, all read, {size} MB", again,
            before=base.copy_into, missing=unchanged.missing(),
        ),
        Contestant(f"verify-{size}", f"verify, {size} MB", programs.our_verify(base.repository)),
    ]  # fmt: skip
    return in_turn(plan, cluster, contestants, 1)
