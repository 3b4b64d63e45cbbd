"""What the dispatcher's minute costs, with few schedules and with many."""

import json
import math
import os
import statistics
import subprocess

from ..measuring import Row
from ..plan import HOME, ROOT, example, fail, say

TITLE = "The dispatcher's tick"
NOTE = (
    "Against the emulator. Requests and write units are what DynamoDB would count; of reads it counts every page of a "
    "query as 0.5 units, where AWS counts 0.5 for every 4 KB (a schedule has about 0.7). The times are the emulator's, "
    "which sorts a whole index for each query. Publishing takes requests of at most 10 events, four at a time. Each "
    "schedule has one scope."
)
REFERENCE = None
COLUMNS = [
    ("catalog requests", "catalog_requests", 0),
    ("write units", "write_units", 0),
    ("events", "events", 0),
    ("publish requests", "publish_requests", 0),
    ("tick s", "tick_s", 2),
    ("publish s", "publish_s", 2),
]

# Schedules, and how many of them are due.
CASES = [(10, 0), (10_000, 0), (10, 10), (10_000, 10), (10_000, 1000)]

# Of one PutEvents request:
# <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
ENTRIES_MAX = 10


def rows(plan, _cluster):
    with Emulator() as environment:
        return [case(plan, environment, schedules, due) for schedules, due in CASES]


def case(plan, environment, schedules, due):
    name = f"{due:,} due among {schedules:,}"
    say(f"  {name}")
    samples = [tick(environment, schedules, due) for _ in range(plan.rounds)]
    numbers = {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
    numbers["publish_requests"] = math.ceil(numbers["events"] / ENTRIES_MAX)
    if due:
        numbers["requests_each"] = numbers["catalog_requests"] / due
    return Row(f"{due} of {schedules}", name, numbers)


def tick(environment, schedules, due):
    command = [str(example("tick")), str(schedules), str(due)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        fail(f"this failed: {' '.join(command)}\n{done.stderr.strip()}")
    return json.loads(done.stdout)


class Emulator:
    """An emulator of its own, so that nothing else is in its tables, as an environment."""

    def __enter__(self):
        HOME.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "LOGISEDGE_EMULATION_DIR": str(HOME / "emulation")}
        said = self.run("up", "--env")
        lines = (line.removeprefix("export ") for line in said.splitlines())
        return {**self.environment, **dict(line.split("=", 1) for line in lines)}

    def __exit__(self, *_):
        self.run("down", "--purge")

    def run(self, script, *arguments):
        command = [str(ROOT / "local-emulation" / script), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            fail(f"local-emulation/{script} failed: {done.stderr.strip()}")
        return done.stdout
