"""Each function's deployment package and cold start."""

import http.server
import io
import os
import statistics
import subprocess
import threading
import time
import zipfile

from ..measuring import Row
from ..plan import ROOT, binary, say

TITLE = "Lambda functions"
NOTE = (
    "The zip holds the release build as `bootstrap`, as infra/deploy uploads it, here built for this machine. The cold "
    "start is from the start of the process to its first request for work at Lambda's runtime API."
)
REFERENCE = None

# What infra/template.yaml and Lambda itself set.
ENVIRONMENT = {
    "LOGISEDGE_TABLE": "table",
    "LOGISEDGE_BUS": "bus",
    "LOGISEDGE_TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:alerts",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_SESSION_TOKEN": "bench",
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_LOG_GROUP_NAME": "bench",
    "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
}

# A process that asks for no work in this time never will.
START_WITHIN_S = 10

# Starts that only fill the page cache.
WARM_STARTS = 3


def functions():
    """Every folder of functions/ but the command line is one."""
    return sorted(path.name for path in (ROOT / "functions").iterdir() if path.is_dir() and path.name != "cli")


def rows(plan, _cluster):
    found = []
    with RuntimeApi() as api:
        for name in functions():
            say(f"  {name}")
            program = binary(name)
            for _ in range(WARM_STARTS):
                api.cold_start(program)
            starts = [api.cold_start(program) for _ in range(plan.cold_starts)]
            numbers = {
                "zip_mb": zip_bytes(program) / 1e6,
                "cold_start_ms": statistics.median(starts) * 1000,
                "cold_start_min_ms": min(starts) * 1000,
            }
            found.append(Row(name, name, numbers))
    return found


def zip_bytes(program):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(program, "bootstrap")
    return len(packed.getvalue())


class RuntimeApi:
    """Lambda's runtime API as far as a function at its start sees it: it may ask for work, and gets none.
    <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>"""

    def __enter__(self):
        self.asked = threading.Event()
        self.released = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/2018-06-01/runtime/invocation/next":
                    api.at = time.perf_counter()
                    api.asked.set()
                    api.released.wait(START_WITHIN_S)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def cold_start(self, program):
        """Seconds from the start of a process to its first request for work."""
        self.asked.clear()
        self.released.clear()
        address = f"127.0.0.1:{self.server.server_address[1]}"
        environment = {**ENVIRONMENT, "PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": address}
        begun = time.perf_counter()
        process = subprocess.Popen([str(program)], env=environment, stdout=subprocess.DEVNULL)
        try:
            if not self.asked.wait(START_WITHIN_S):
                raise SystemExit(f"tests/bench: {program} asked for no work in {START_WITHIN_S} s")
            return self.at - begun
        finally:
            process.kill()
            process.wait()
            self.released.set()
