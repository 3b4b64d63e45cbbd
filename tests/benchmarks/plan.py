"""What one call of the bench does: sizes, rounds, and where it leaves its files."""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "target" / "bench"

# Of every parallel contestant, as the machine that the targets are stated for has two cores.
CONNECTIONS = 2


def fail(message):
    """Ends the bench: what it was asked for cannot be measured here."""
    sys.exit(f"tests/bench: {message}")


def say(message):
    """Progress, for people; the numbers alone go to standard output."""
    print(message, file=sys.stderr, flush=True)


def binary(program):
    """One of our own programs as `cargo build --release` leaves it."""
    folder = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    return Path(folder) / "release" / program


def example(program):
    """One of our own examples."""
    return binary("examples") / program


@dataclass
class Plan:
    """Sizes and rounds, and the folders that live as long as the call."""

    megabytes: int
    rounds: int
    seed: int
    memory_megabytes: list
    cold_starts: int = 20
    folders: list = field(default_factory=list)

    @property
    def inserts(self):
        """Rows that the changes add: 50,000 at the full size, in proportion below it."""
        return min(50_000, 50 * self.megabytes)

    def folder(self, name):
        """A new folder, removed when the bench ends."""
        HOME.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=HOME))
        self.folders.append(made)
        return made

    def clean(self):
        """Removes what `folder` made."""
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
