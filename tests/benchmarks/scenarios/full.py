"""A first backup of the whole database."""

import subprocess

from .. import programs
from ..measuring import Contestant, in_turn, secrets

TITLE = "Full backup"
NOTE = (
    "The floor is COPY of every table to nothing. pgBackRest copies the server's files, indexes included, and is "
    "here for orientation. Peers' repositories are made beforehand; ours is part of the time."
)
REFERENCE = "floor"


def rows(plan, cluster):
    cluster.warm(cluster.database)
    return in_turn(plan, cluster, contestants(cluster), plan.rounds)


def contestants(cluster):
    def before(command):
        return lambda work: subprocess.run(
            ["bash", "-c", command(str(work / "r"))], check=True,
            env={**cluster.environment(cluster.database), **secrets(work)},
        )  # fmt: skip

    repository = "{work}/r"
    return [
        Contestant("floor", "COPY to nothing, 2 connections (the floor)", programs.floor(cluster, cluster.database)),
        Contestant("ours", "LogisEdge Backup, 2 connections", programs.our_backup(cluster, cluster.database)),
        Contestant("pg_dump -Fc", "pg_dump -Fc", programs.dump(cluster, "-Fc -f {work}/r/dump")),
        Contestant("pg_dump -Fd", "pg_dump -Fd -j2", programs.dump(cluster, "-Fd -j2 -f {work}/r/dump")),
        Contestant(
            "restic", "pg_dump into restic --stdin", programs.restic_backup(cluster, repository),
            before=before(programs.restic_init), missing=programs.missing("restic"),
        ),
        Contestant(
            "borg", "pg_dump into borg, zstd 3", programs.borg_backup(cluster, repository),
            before=before(programs.borg_init), missing=programs.missing("borg"),
        ),
        Contestant(
            "rustic", "pg_dump into rustic", programs.rustic_backup(cluster, repository),
            before=before(programs.rustic_init), missing=programs.missing("rustic"),
        ),
        Contestant(
            "pgbackrest", "pgBackRest full, 2 processes, zstd 3, AES", programs.pgbackrest_backup(),
            before=lambda work: programs.pgbackrest_before(cluster, work), missing=programs.missing("pgbackrest"),
        ),
    ]  # fmt: skip
