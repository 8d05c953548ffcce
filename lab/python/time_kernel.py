"""Starts kernels, runs the same cells in each of them in turns, and prints how long each took, as one JSON list.

usage: time_kernel.py KERNELS

KERNELS is a JSON list of objects: "kernel", the name of a kernel; optionally "argv", a command in place of its own; and
"cells", the source of each cell. Every answer in the list has "start", the time from the kernel's launch to the first
cell's first output, and "cells", for each later cell the times from running it to its "first" output, or to its end if it
has none, and to its "end", when the kernel says that it is idle. All in seconds; null for what failed.

Standard input is a pipe that nobody writes to; when it closes, all ends.
"""

import json
import signal
import sys
import threading
import time

from jupyter_client import KernelManager

TIMEOUT = 1200


class Kernel:
    def __init__(self, request):
        self.cells, self.start, self.times = request["cells"], None, []
        self.manager, self.client = KernelManager(kernel_name=request["kernel"]), None
        if "argv" in request:
            self.manager.kernel_spec.argv = request["argv"]

    def launch(self):
        started = time.perf_counter()
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        ready = time.perf_counter() - started
        first = self.run(self.cells[0])["first"]
        self.start = None if first is None else ready + first

    def run(self, source):
        """The times to the first output and to the end, none if the cell failed."""
        started = time.perf_counter()
        request = self.client.execute(source)
        first, failed = None, False
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind in ("stream", "execute_result", "display_data") and first is None:
                first = time.perf_counter() - started
            if kind == "error":
                print(content["evalue"], file=sys.stderr)
                failed = True
            if kind == "status" and content["execution_state"] == "idle":
                end = time.perf_counter() - started
                return {"first": None, "end": None} if failed else {"first": first or end, "end": end}

    def end(self):
        if self.client is not None:
            self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()


def exit_at_end_of_input():
    sys.stdin.read()
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)


def main(requests):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    kernels = []
    try:
        for request in requests:
            kernels.append(Kernel(request))
            kernels[-1].launch()
        for index in range(1, len(requests[0]["cells"])):
            for kernel in kernels:
                kernel.times.append(kernel.run(kernel.cells[index]))
        print(json.dumps([{"start": kernel.start, "cells": kernel.times} for kernel in kernels]))
    finally:
        for kernel in kernels:
            kernel.end()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
