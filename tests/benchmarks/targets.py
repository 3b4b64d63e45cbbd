"""The table of what is to be reached, on two cores with PostgreSQL on the same machine.

Each line is computed from medians. What was not measured is told as that, and never counts as reached.
"""

from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Target:
    """A measure with the most that it may be."""

    measure: str
    most: float
    unit: str
    value: Callable


def number(rows, scenario, key, name):
    """A row's number, or None where it was not measured."""
    row = next((row for row in rows.get(scenario, []) if row.key == key), None)
    return row.numbers.get(name) if row else None


def ratio(scenario, key, to, name="wall_s"):
    def value(rows):
        ours, other = number(rows, scenario, key, name), number(rows, scenario, to, name)
        return ours / other if ours is not None and other else None

    return value


def largest(scenario, name, only=None):
    def value(rows):
        found = [
            row.numbers[name]
            for row in rows.get(scenario, [])
            if name in row.numbers and (only is None or row.key.startswith(only))
        ]
        return max(found, default=None)

    return value


TARGETS = [
    Target("full backup, wall against the COPY floor, 2 connections", 1.35, "", ratio("full", "ours", "floor")),
    Target("… the server held to one core and the client to the other", 1.15, "", ratio("split", "ours", "floor")),
    Target("… against pg_dump -Fc", 0.18, "", ratio("full", "ours", "pg_dump -Fc")),
    Target("… against pg_dump -Fd -j2", 0.22, "", ratio("full", "ours", "pg_dump -Fd")),
    Target("… against restic --stdin", 0.40, "", ratio("full", "ours", "restic")),
    Target("… against borg", 0.40, "", ratio("full", "ours", "borg")),
    Target("… against pgBackRest full", 0.80, "", ratio("full", "ours", "pgbackrest")),
    Target("incremental, nothing changed, ranges proven, wall against the floor", 0.20, "", ratio("unchanged", "proven", "floor")),
    Target("… all read", 1.10, "", ratio("unchanged", "read", "floor")),
    Target("incremental after the clustered change, wall against restic", 0.15, "", ratio("clustered", "incremental", "restic")),
    Target("… against borg", 0.15, "", ratio("clustered", "incremental", "borg")),
    Target("… new bytes against restic", 0.90, "", ratio("clustered", "incremental", "restic", "stored_mb")),
    Target("stored bytes of a full against restic", 1.02, "", ratio("full", "ours", "restic", "stored_mb")),
    Target("peak memory of a backup, at every size", 96, "MB", largest("memory", "peak_mb", "full-")),
    Target("… of an incremental", 96, "MB", largest("memory", "peak_mb", "incremental-")),
    Target("… of a verification", 96, "MB", largest("memory", "peak_mb", "verify-")),
    Target("restore, wall against pg_restore -j2", 1.0, "", ratio("restore", "uncompared", "pg_restore")),
    Target("verify, CPU against restic check --read-data", 0.70, "", ratio("verify", "ours", "restic", "client_cpu_s")),
    Target("a function's zip", 5.0, "MB", largest("lambda", "zip_mb")),
    Target("a function's cold start", 12.0, "ms", largest("lambda", "cold_start_ms")),
    Target("a tick's requests, 10 due among 10,000 against among 10", 1.0, "", ratio("ticks", "10 of 10000", "10 of 10", "catalog_requests")),
    Target("… its write units", 1.0, "", ratio("ticks", "10 of 10000", "10 of 10", "write_units")),
    Target("… nothing due, its requests", 1.0, "", ratio("ticks", "0 of 10000", "0 of 10", "catalog_requests")),
    Target("… 1,000 due at once, requests for each", 1.01, "", lambda rows: number(rows, "ticks", "1000 of 10000", "requests_each")),
]  # fmt: skip


def judged(rows):
    """Every line as values: what it was to be, what it is, and whether it holds (None: not measured)."""
    found = []
    for target in TARGETS:
        value = target.value(rows)
        found.append(
            {
                "measure": target.measure,
                "most": target.most,
                "unit": target.unit,
                "measured": value,
                "holds": None if value is None else value <= target.most,
            }
        )
    return found
