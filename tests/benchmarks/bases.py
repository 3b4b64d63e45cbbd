"""Repositories that second backups build on: made once, copied for each round, so that every round starts equal."""

import shutil
import subprocess

from . import programs
from .measuring import secrets
from .plan import fail, say


class Base:
    """A repository below `folder/r` with its owner's cache below `folder/cache`, laid out as a round's folder is."""

    def __init__(self, plan, cluster, key, database, commands):
        say(f"  {key}: what the rounds build on")
        self.folder = plan.folder(f"base-{key}")
        self.repository = self.folder / "r"
        self.repository.mkdir()
        (self.folder / "cache").mkdir()
        for command in commands:
            self._run(cluster, database, command)

    def _run(self, cluster, database, command):
        text = command.replace("{work}", str(self.folder))
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", text],
            env={**cluster.environment(database), **secrets(self.folder)}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            fail(f"this failed: {text}\n{done.stderr.strip()}")

    def copy_into(self, work):
        """Makes a round's folder equal to this one."""
        for part in ("r", "cache"):
            shutil.copytree(self.folder / part, work / part, dirs_exist_ok=True, symlinks=True)


def ours(plan, cluster, database):
    return Base(plan, cluster, "ours", database, [programs.our_backup(cluster, database)])


def restic(plan, cluster, database):
    commands = [programs.restic_init("{work}/r"), programs.restic_backup(cluster, "{work}/r")]
    return Base(plan, cluster, "restic", database, commands)


def borg(plan, cluster, database):
    commands = [programs.borg_init("{work}/r"), programs.borg_backup(cluster, "{work}/r")]
    return Base(plan, cluster, "borg", database, commands)


def peers(plan, cluster, database):
    """What builds on what for the peers that keep repositories: key, base, command, and why one is missing."""
    found = []
    for key, make, command in (("restic", restic, programs.restic_backup), ("borg", borg, programs.borg_backup)):
        missing = programs.missing(key)
        base = None if missing else make(plan, cluster, database)
        found.append((key, base, command(cluster, "{work}/r"), missing))
    return found
