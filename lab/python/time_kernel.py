"""Starts a kernel, runs cells in it and prints how long each took, as one JSON object.

usage: time_kernel.py REQUEST

REQUEST is a JSON object: "cells", the source of each cell, and optionally "argv", a command in place of the project's
kernel. The answer's "start" is the time from the kernel's launch to the first cell's first output; "cells" has the time
from running each later cell to its first output, or to its end if it has none. All in seconds; null for a cell that failed.
"""

import json
import sys
import time

from jupyter_client import KernelManager


def run(client, source):
    """When the cell's first output came, or None if it failed."""
    request = client.execute(source)
    first, failed = None, False
    while True:
        message = client.get_iopub_msg(timeout=1200)
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind in ("stream", "execute_result", "display_data") and first is None:
            first = time.perf_counter()
        if kind == "error":
            print(content["evalue"], file=sys.stderr)
            failed = True
        if kind == "status" and content["execution_state"] == "idle":
            return None if failed else first or time.perf_counter()


def main(request):
    manager = KernelManager(kernel_name="rust")
    if "argv" in request:
        manager.kernel_spec.argv = request["argv"]
    started = time.perf_counter()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        durations = []
        for source in request["cells"]:
            ended = run(client, source)
            durations.append(None if ended is None else ended - started)
            started = time.perf_counter()
        print(json.dumps({"start": durations[0], "cells": durations[1:]}))
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
