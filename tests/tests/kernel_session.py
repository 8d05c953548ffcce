"""One notebook's dealings with the project's kernel, as JupyterLab has them; tests/tests/kernel.rs describes them.

usage: kernel_session.py STEPS

STEPS is a JSON list of objects: {"cell": source}, with "stops": n to press stop n times, 0.5 s apart, from the cell's first
output on; {"complete": source} and {"inspect": source} with the cursor at the end; {"kill": true} kills the kernel as the
system would. Prints the kernel's process id and what came of each step as JSON.
"""

import json
import os
import queue
import signal
import sys
import threading
import time

from jupyter_client import KernelManager

TIMEOUT = 240


def press(manager, times):
    for _ in range(times):
        time.sleep(0.5)
        manager.interrupt_kernel()


def cell(manager, client, step):
    started = time.monotonic()
    request = client.execute(step["cell"])
    result = {"stdout": "", "stderr": "", "error": "", "shown": ""}
    stops = step.get("stops", 0)
    timeout = TIMEOUT
    while True:
        try:
            message = client.get_iopub_msg(timeout=timeout)
        except queue.Empty:
            if "seconds" not in result:
                raise
            return result
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            result[content["name"]] += content["text"]
            if stops:
                threading.Thread(target=press, args=(manager, stops)).start()
                stops = 0
        elif kind == "execute_result":
            result["shown"] += content["data"].get("text/plain", "")
        elif kind == "error":
            result["error"] += content["evalue"] + "\n"
        elif kind == "status" and content["execution_state"] == "idle":
            result["seconds"] = time.monotonic() - started
            # evcxr passes standard error on from a thread of its own, which may be later than the end of the cell.
            timeout = 0.5


def reply(client, request):
    while True:
        message = client.get_shell_msg(timeout=TIMEOUT)
        if message["parent_header"].get("msg_id") == request:
            return message["content"]


def main(steps):
    manager = KernelManager(kernel_name="rust")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    killed, results = False, []
    try:
        client.wait_for_ready(timeout=TIMEOUT)
        for step in steps:
            if "cell" in step:
                results.append(cell(manager, client, step))
            elif "complete" in step:
                results.append({"matches": reply(client, client.complete(step["complete"]))["matches"]})
            elif "inspect" in step:
                content = reply(client, client.inspect(step["inspect"]))
                results.append({"shown": content["data"].get("text/plain", "")})
            elif "kill" in step:
                os.kill(manager.provisioner.pid, signal.SIGKILL)
                killed = True
                results.append({})
        print(json.dumps({"pid": manager.provisioner.pid, "results": results}))
    finally:
        client.stop_channels()
        if not killed:
            manager.shutdown_kernel()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
