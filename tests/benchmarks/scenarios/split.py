"""A first backup with the server held to one core and the client to another, as if they were two machines."""

import os

from .. import programs
from ..measuring import Contestant, in_turn

TITLE = "Full backup, the server held to one core and the client to the other"
NOTE = "The floor is held in the same way, and both have two connections."
REFERENCE = "floor"


def rows(plan, cluster):
    cores = sorted(os.sched_getaffinity(0))
    missing = None if len(cores) > 1 else "this machine has one core"
    names = [
        ("floor", "COPY to nothing (the floor)", programs.floor(cluster, cluster.database)),
        ("ours", "LogisEdge Backup", programs.our_backup(cluster, cluster.database)),
    ]
    contestants = [
        Contestant(key, name, command, cores=str(cores[-1]), missing=missing) for key, name, command in names
    ]
    cluster.hold_to({cores[0]})
    try:
        return in_turn(plan, cluster, contestants, plan.rounds)
    finally:
        cluster.hold_to(set(cores))
