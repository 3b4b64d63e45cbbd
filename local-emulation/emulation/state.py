"""What runs for this working copy: a JSON file with the pid and port of each server, and how servers are ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent.parent
# Set by tests/run, so that tests never touch what a developer has running.
FOLDER = Path(os.environ.get("LOGISEDGE_EMULATION_DIR") or ROOT / "target" / "local-emulation").resolve()
STATE = FOLDER / "state.json"
END_SECONDS_MAX = 15

sys.path.insert(0, str(ROOT / "infra"))  # for python_tools and stack


def load() -> dict:
    """What was recorded last; empty if nothing."""
    try:
        return json.loads(STATE.read_text())
    except FileNotFoundError:
        return {}


def record(name: str, entry: Optional[dict]) -> None:
    """Records a server, or forgets it."""
    state = load()
    if entry is None:
        state.pop(name, None)
    else:
        state[name] = entry
    FOLDER.mkdir(parents=True, exist_ok=True)
    unfinished = STATE.with_suffix(".new")
    unfinished.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
    unfinished.replace(STATE)


def free_port() -> int:
    """A TCP port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def runs(entry: dict) -> bool:
    """Whether the recorded process still is the one that was started: a pid may have a new owner."""
    found = subprocess.run(["ps", "-o", "command=", "-p", str(entry["pid"])], capture_output=True, text=True)
    return found.returncode == 0 and entry["command_contains"] in found.stdout


def end(name: str, first: signal.Signals = signal.SIGTERM) -> bool:
    """Ends a recorded server and waits for it; False if it did not run."""
    entry = load().get(name)
    if entry is None or not runs(entry):
        record(name, None)
        return False
    os.kill(entry["pid"], first)
    give_up = time.monotonic() + END_SECONDS_MAX
    while runs(entry):
        if time.monotonic() > give_up:
            os.kill(entry["pid"], signal.SIGKILL)
            break
        time.sleep(0.1)
    record(name, None)
    return True
