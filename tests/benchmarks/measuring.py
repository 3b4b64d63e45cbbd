"""One command measured, and contestants measured in turn.

Wall is elapsed time. CPU is user and system time of the client's processes, and beside it of the server's.
Peak is the largest resident set of any one client process; the kernel counts this program's own 20 MB for
every process that it starts, so nothing smaller is told apart. Stored is by how much the repository grew.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from .plan import fail, say

# Backends end a moment after their clients, and only then does the server's CPU time hold theirs.
BACKENDS_END_S = 0.5


@dataclass
class Contestant:
    """Who takes part. `{work}` in the command is the round's own folder: what it stores belongs below
    `{work}/r`, caches below `{work}/cache`, and our own JSON into `{work}/out.json`."""

    key: str
    name: str
    command: str
    before: Optional[Callable[[Path], None]] = None
    after: Optional[Callable[[Path], None]] = None
    database: Optional[str] = None
    missing: Optional[str] = None
    cores: Optional[str] = None


@dataclass
class Row:
    """A contestant's medians."""

    key: str
    name: str
    numbers: dict = field(default_factory=dict)
    missing: Optional[str] = None

    def as_json(self):
        return {"key": self.key, "name": self.name, "missing": self.missing, **self.numbers}


def in_turn(plan, cluster, contestants, rounds):
    """Every contestant once a round, so that a noisy machine is noisy for all. Returns a row each."""
    samples = {contestant.key: [] for contestant in contestants}
    for number in range(rounds):
        for contestant in contestants:
            if contestant.missing:
                continue
            say(f"  round {number + 1} of {rounds}: {contestant.name}")
            samples[contestant.key].append(measure(plan, cluster, contestant))
    return [row(contestant, samples[contestant.key]) for contestant in contestants]


def row(contestant, samples):
    if contestant.missing:
        return Row(contestant.key, contestant.name, missing=contestant.missing)
    numbers = {
        name: statistics.median(sample[name] for sample in samples)
        for name, value in samples[0].items()
        if isinstance(value, (int, float))
    }
    numbers["walls_s"] = [sample["wall_s"] for sample in samples]
    # Counts do not vary with the machine's mood: the last round's serve.
    for name, value in samples[-1].items():
        if isinstance(value, dict):
            numbers[name] = value
    return Row(contestant.key, contestant.name, numbers)


def measure(plan, cluster, contestant):
    """Runs a contestant once in a new folder and returns its numbers."""
    work = plan.folder("work")
    try:
        (work / "r").mkdir()
        (work / "cache").mkdir()
        if contestant.before:
            contestant.before(work)
        sample = run(cluster, contestant, work)
        if contestant.after:
            contestant.after(work)
        return sample
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run(cluster, contestant, work):
    command = ["bash", "-o", "pipefail", "-c", contestant.command.replace("{work}", str(work))]
    if contestant.cores:
        command = ["taskset", "-c", contestant.cores, *command]
    database = contestant.database or (cluster.database if cluster else None)
    base = cluster.environment(database) if cluster else dict(os.environ)
    os.sync()  # what an earlier contestant wrote is not this one's to wait for
    stored_before = stored_bytes(work / "r")
    server_before = cluster.cpu_seconds() if cluster else 0
    begun = time.monotonic()
    with open(work / "errors", "w") as errors:
        child = subprocess.Popen(command, env={**base, **secrets(work)}, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        fail(f"this failed: {command[-1]}\n{(work / 'errors').read_text().strip()}")
    if cluster:
        time.sleep(BACKENDS_END_S)
    sample = {
        "wall_s": wall,
        "client_cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss * 1024 / 1e6,
        "stored_mb": (stored_bytes(work / "r") - stored_before) / 1e6,
    }
    if cluster:
        sample["server_cpu_s"] = cluster.cpu_seconds() - server_before
    return {**sample, **told(work / "out.json", command[-1])}


def secrets(work):
    """Passwords and caches of every contestant; none is taken from the person who runs the bench."""
    return {
        "RESTIC_PASSWORD": "bench",
        "RESTIC_PROGRESS_FPS": "0.01",
        "RESTIC_CACHE_DIR": str(work / "cache" / "restic"),
        "LOGISEDGE_REPOSITORY_PASSWORD": "bench",
        "BORG_PASSPHRASE": "bench",
        "BORG_BASE_DIR": str(work / "cache" / "borg"),
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "RUSTIC_PASSWORD": "bench",
        "RUSTIC_CACHE_DIR": str(work / "cache" / "rustic"),
    }


def told(path, command):
    """What our own program said of the run, where it did. A full that was taken instead of the kind that was
    asked for is another measurement, so it ends the bench."""
    if not path.exists() or not path.stat().st_size:
        return {}
    said = json.loads(path.read_text())
    asked, taken = re.search(r"--kind (\w+)", command), said.get("snapshot") or {}
    if asked and taken.get("kind") != asked[1]:
        fail(f"a {taken.get('kind')} was taken instead of what was asked for ({taken.get('kind_reason')}): {command}")
    stats = said.get("stats") or {}
    found = {"stats": stats} if stats else {}
    if "compare_ms" in said:
        found["compare_s"] = said["compare_ms"] / 1000
    requests = stats.get("requests") or said.get("requests")
    return {**found, "requests": requests} if requests else found


def stored_bytes(folder):
    return sum(path.lstat().st_size for path in Path(folder).rglob("*") if path.is_file())
