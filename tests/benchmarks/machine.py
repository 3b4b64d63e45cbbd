"""What the numbers were taken on."""

import os
import platform
import subprocess
from pathlib import Path

from . import programs
from .cluster import server_programs
from .plan import ROOT


def facts():
    return {
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kernel": platform.release(),
        "commit": commit(),
        "programs": {
            "PostgreSQL": first_number(programs.version(server_programs() / "postgres", "--version")),
            "restic": word(programs.version("restic", "version"), 1),
            "borg": word(programs.version("borg", "--version"), 1),
            "rustic": word(programs.version("rustic", "--version"), 1),
            "pgBackRest": word(programs.version("pgbackrest", "version"), 1),
        },
    }


def word(text, index):
    words = (text or "").split()
    return words[index] if index < len(words) else None


def first_number(text):
    """`postgres (PostgreSQL) 15.18 (Debian …)`: the first word that begins with a digit."""
    return next((word for word in (text or "").split() if word[0].isdigit()), None)


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def commit():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or None
