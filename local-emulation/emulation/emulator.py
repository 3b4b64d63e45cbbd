"""MiniStack: starts it, waits for it, and says how to reach it. It keeps everything in memory."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Dict, Optional

from . import cluster, state

HEALTH_SECONDS_MAX = 60
REGION = "us-east-1"
# Never given to the functions that run inside: they would reach a real account with it.
REAL_AWS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


def environment(port: int) -> Dict[str, str]:
    """What a program needs to talk to the emulator instead of AWS."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # No waiting for an instance's metadata service that is not there.
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def running() -> Optional[dict]:
    """The recorded emulator, if it runs and answers."""
    entry = state.load().get("emulator")
    if entry and state.runs(entry) and healthy(entry["port"]):
        return entry
    return None


def start(port: Optional[int]) -> dict:
    """Starts the emulator, or returns the one that runs. Call it inside requirements.txt's environment."""
    if entry := running():
        return entry
    state.end("emulator")
    port = port or state.free_port()
    log_path = state.FOLDER / "emulator.log"
    state.FOLDER.mkdir(parents=True, exist_ok=True)
    temporary = state.FOLDER / "emulator-tmp"
    temporary.mkdir(exist_ok=True)
    variables = {name: value for name, value in os.environ.items() if name not in REAL_AWS}
    variables.update(environment(port))
    variables.update(
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        MINISTACK_HOST="127.0.0.1",
        MINISTACK_REGION=REGION,
        TMPDIR=str(temporary),
        S3_DATA_DIR=str(temporary / "s3"),
    )
    if (programs := cluster.newest_programs()[1]) is not None:
        # The functions run as processes of this machine; there is no layer to bring them pg_dump.
        variables["PATH"] = variables.get("PATH", "") + os.pathsep + str(programs)
    with open(log_path, "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=variables,
            cwd=temporary,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt at the terminal is for the caller, not for the emulator
        )
    entry = {"pid": process.pid, "port": port, "command_contains": "ministack", "log": str(log_path)}
    state.record("emulator", entry)
    give_up = time.monotonic() + HEALTH_SECONDS_MAX
    while not healthy(port):
        if process.poll() is not None or time.monotonic() > give_up:
            state.end("emulator")
            sys.exit(f"The emulator did not start; its log ends with:\n{tail(log_path)}")
        time.sleep(0.1)
    return entry


def healthy(port: int) -> bool:
    """Whether the emulator answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def tail(path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
