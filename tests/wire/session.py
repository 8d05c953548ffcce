"""A kernel and its clients, over Jupyter's protocol.

A client remembers every message with the request to which it belongs, and checks each by the protocol's schema.
"""

import base64
import dataclasses
import os
import pathlib
import re
import time
import unittest

import psutil
import zmq
from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_kernel_test import msgspec_v5

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNNING = ROOT / ".lab/kernel/running"
# A folder of the tests' own, inside the project.
SCRATCH = pathlib.Path(os.environ["WIRE_SCRATCH"])
# A cell takes a second at most, but longer on a machine with other work on it, or where a crate is compiled first.
PATIENCE = 120


def until(condition, what, seconds=10):
    """Waits for what no message tells."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return result


def slow_to_compile():
    """Functions that the compiler works on for some seconds."""
    body = '(0..x).map(|n| format!("{n} {}", x + NUMBER)).collect()'
    return "\n".join(f"fn f{n}(x: u64) -> Vec<String> {{ {body.replace('NUMBER', str(n))} }}" for n in range(6000))


def without_color(text):
    return re.sub("\x1b\\[[0-9;]*m", "", text)


@dataclasses.dataclass
class Message:
    """A message as it arrived."""

    channel: str
    kind: str
    content: dict
    time: float
    parent: str
    whole: dict


class Request:
    """A request and all that came of it: the reply, and what was published until the kernel was idle again."""

    def __init__(self, name, answers=()):
        self.name, self.answers = name, list(answers)
        self.sent = time.monotonic()
        self.reply_message = None
        self.published = []
        self.asked = []

    def take(self, message):
        if message.channel == "iopub":
            self.published.append(message)
        elif message.channel == "stdin":
            self.asked.append(message)
        else:
            assert self.reply_message is None, f"two replies to {self.name}"
            self.reply_message = message

    @property
    def state(self):
        """What the kernel has said last of this request: busy or idle."""
        states = [message.content["execution_state"] for message in self.published if message.kind == "status"]
        return states[-1] if states else None

    @property
    def ended(self):
        return self.reply_message is not None and self.state == "idle"

    @property
    def reply(self):
        return self.reply_message.content

    @property
    def status(self):
        return self.reply["status"]

    @property
    def seconds(self):
        """From the request to the reply."""
        return self.reply_message.time - self.sent

    @property
    def outputs(self):
        """What a notebook shows of the cell."""
        return [message for message in self.published if message.kind not in ("status", "execute_input")]

    @property
    def kinds(self):
        """The kinds of the outputs, in order; streams by their names, those in several pieces once."""
        kinds = []
        for message in self.outputs:
            kind = message.content["name"] if message.kind == "stream" else message.kind
            if kind not in ("stdout", "stderr") or kinds[-1:] != [kind]:
                kinds.append(kind)
        return kinds

    @property
    def input(self):
        """The number and the code under which the cell was shown, or None."""
        shown = self.of_kind("execute_input")
        assert len(shown) <= 1, shown
        return (shown[0]["execution_count"], shown[0]["code"]) if shown else None

    def of_kind(self, kind):
        return [message.content for message in self.published if message.kind == kind]

    def stream(self, name):
        return "".join(content["text"] for content in self.of_kind("stream") if content["name"] == name)

    @property
    def stdout(self):
        return self.stream("stdout")

    @property
    def stderr(self):
        return self.stream("stderr")

    @property
    def error(self):
        """The one error that the cell shows."""
        (error,) = self.of_kind("error")
        return error

    @property
    def traceback(self):
        """The error as a notebook shows it, without its colors."""
        return without_color("\n".join(self.error["traceback"]))

    @property
    def result(self):
        """The forms of the cell's value."""
        (result,) = self.of_kind("execute_result")
        return result["data"]

    @property
    def displays(self):
        return [content["data"] for content in self.of_kind("display_data")]

    def arrival(self, text):
        """When a piece of the streams with this text came."""
        streams = [message for message in self.published if message.kind == "stream"]
        return next(message.time for message in streams if text in message.content["text"])

    def __repr__(self):
        shown = "\n".join(f"  {message.kind}: {str(message.content)[:600]}" for message in self.published)
        return f"{self.name!r} -> {self.reply_message and self.reply}\n{shown}"


def check_by_schema(message):
    """Jupyter's own schemas, where there is one that is as new as the protocol."""
    kind, content = message["msg_type"], message["content"]
    outdated = kind == "input_request" or (kind == "execute_reply" and content["status"] == "aborted")
    if kind in msgspec_v5.schema_fragments and not outdated:
        msgspec_v5.validate_message(message, kind)


class Client:
    """A front end: sends requests to a kernel and files what comes back."""

    def __init__(self, manager):
        # The clients that a manager makes are one to the kernel: they share a session.
        self.channels = BlockingKernelClient(connection_file=manager.connection_file, parent=manager)
        self.channels.load_connection_file()
        self.channels.start_channels()
        self.channels.wait_for_ready(timeout=PATIENCE)
        self.requests = {}
        names = ("iopub", "shell", "stdin", "control")
        self.by_socket = {getattr(self.channels, f"{name}_channel").socket: name for name in names}
        self.poller = zmq.Poller()
        for socket in self.by_socket:
            self.poller.register(socket, zmq.POLLIN)

    def close(self):
        self.channels.stop_channels()

    def listen(self, condition, what, seconds=PATIENCE):
        """Takes messages until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"{what}: not within {seconds} s\n{list(self.requests.values())[-3:]}"
            for socket, _ in self.poller.poll(min(left, 0.1) * 1000):
                self.take(self.by_socket[socket])

    def listen_for(self, seconds):
        """Takes what comes within a time."""
        deadline = time.monotonic() + seconds
        self.listen(lambda: time.monotonic() >= deadline, "the time passes", seconds + 1)

    def take(self, channel):
        whole = getattr(self.channels, f"{channel}_channel").get_msg(timeout=0)
        check_by_schema(whole)
        parent = whole["parent_header"].get("msg_id", "")
        request = self.requests.setdefault(parent, Request("of another client"))
        request.take(Message(channel, whole["msg_type"], whole["content"], time.monotonic(), parent, whole))
        if whole["msg_type"] == "input_request" and request.answers:
            self.channels.input(request.answers.pop(0))

    def send(self, kind, content, channel="shell", answers=()):
        """Sends a request, and does not wait."""
        message = self.channels.session.msg(kind, content)
        request = Request(content.get("code", kind), answers)
        self.requests[message["header"]["msg_id"]] = request
        getattr(self.channels, f"{channel}_channel").send(message)
        return request

    def send_cell(self, code, *, silent=False, store_history=True, stop_on_error=True, answers=None):
        """Sends a cell, and does not wait; with `answers`, even none, the cell may ask for input."""
        flags = {"silent": silent, "store_history": store_history and not silent, "stop_on_error": stop_on_error}
        content = {"code": code, **flags, "user_expressions": {}, "allow_stdin": answers is not None}
        return self.send("execute_request", content, answers=answers or ())

    def wait(self, *requests, seconds=PATIENCE):
        """Waits for the end of requests, each between one busy and one idle.

        Busy may be said again of a cell that runs on when a question that was asked meanwhile ends with its own idle.
        """
        self.listen(lambda: all(request.ended for request in requests), "the end of a request", seconds)
        for request in requests:
            states = [message.content.get("execution_state") for message in request.published]
            assert (states[0], states[-1], states.count("idle")) == ("busy", "idle", 1), request
        return requests[0]

    def wait_for_text(self, request, text, seconds=PATIENCE):
        """Waits until a cell that goes on has printed something."""
        self.listen(lambda: text in request.stdout + request.stderr or request.ended, f"{text!r} is printed", seconds)
        assert text in request.stdout + request.stderr, request

    def run(self, code, *, seconds=PATIENCE, **flags):
        """A cell from its start to its end."""
        return self.wait(self.send_cell(code, **flags), seconds=seconds)

    def ask(self, kind, content, channel="shell"):
        """The content of the reply."""
        return self.wait(self.send(kind, content, channel)).reply

    def send_complete(self, code):
        """Asks what may stand at the place of `|`."""
        return self.send("complete_request", {"code": code.replace("|", "", 1), "cursor_pos": code.index("|")})

    def send_inspect(self, code, detail=0):
        """Asks what stands at the place of `|`."""
        content = {"code": code.replace("|", "", 1), "cursor_pos": code.index("|"), "detail_level": detail}
        return self.send("inspect_request", content)

    def complete(self, code):
        return self.wait(self.send_complete(code)).reply

    def inspect(self, code):
        return self.wait(self.send_inspect(code)).reply

    def press_stop(self):
        """Presses the stop button of a kernel that listens to messages."""
        reply = self.send("interrupt_request", {}, "control")
        self.listen(lambda: reply.reply_message is not None, "the answer to the stop button", 10)
        assert reply.reply == {"status": "ok"}, reply


class Kernel(Client):
    """A kernel with its first client."""

    def __init__(self, folder, name="rust", environment=None):
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, **(environment or {})})
        self.others = []
        try:
            super().__init__(self.manager)
        except BaseException:
            self.manager.shutdown_kernel(now=True)
            raise

    @property
    def pid(self):
        return self.manager.provisioner.pid

    @property
    def folder(self):
        """Where the kernel compiles."""
        return folder_of(self.pid)

    def processes(self):
        """The kernel's processes, and those that it has started."""
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    def another_client(self):
        self.others.append(Client(self.manager))
        return self.others[-1]

    def restart(self):
        Client.close(self)
        self.manager.restart_kernel()
        Client.__init__(self, self.manager)

    def close(self):
        """Shuts the kernel down, and expects that nothing of it is left."""
        processes, folder = self.processes(), self.folder
        for client in self.others:
            client.close()
        super().close()
        self.manager.shutdown_kernel()
        expect_end(processes, folder)


def folder_of(pid):
    """Where the kernel compiles that runs in this process; what will never be if it has ended."""
    return next(RUNNING.glob(f"{pid}-*"), RUNNING / f"{pid}-none")


def expect_end(processes, folder):
    """Waits until processes and the processes that name a kernel's folder are gone, and the folder too."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    # What is dead but not collected by its parent is gone.
    alive = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not alive, f"left of a kernel: {alive}"
    until(lambda: not processes_with(folder), f"the processes of {folder} end")
    until(lambda: not folder.exists(), f"{folder} is removed")


def processes_with(folder):
    """The processes that have a kernel's folder in their command line."""
    lines = {process.pid: process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])}
    return [pid for pid, line in lines.items() if any(f"{folder}/" in f"{part}/" for part in line)]


class KernelTest(unittest.TestCase):
    """Tests that share a kernel. One that finds it hung goes on with a new one."""

    # A cell that is run first.
    PREPARATION = ""

    @classmethod
    def setUpClass(cls):
        cls.scratch = SCRATCH / cls.__name__
        cls.scratch.mkdir(parents=True)
        cls.start()

    @classmethod
    def start(cls):
        cls.kernel = Kernel(cls.scratch)
        if cls.PREPARATION:
            prepared = cls.kernel.run(cls.PREPARATION)
            assert prepared.status == "ok", prepared

    @classmethod
    def tearDownClass(cls):
        cls.kernel.close()

    def setUp(self):
        if any(request.state == "busy" for request in self.kernel.requests.values()):
            self.kernel.manager.shutdown_kernel(now=True)
            self.start()
        self.kernel.requests.clear()

    def tearDown(self):
        """Nothing comes after the kernel has said that it is done with a request."""
        self.kernel.listen_for(0.05)
        for parent, request in self.kernel.requests.items():
            if parent and request.published:
                self.assertEqual(request.published[-1].kind, "status", f"late: {request}")

    def run_cell(self, code, **flags):
        """Runs a cell that has to succeed."""
        request = self.kernel.run(code, **flags)
        self.assertEqual(request.status, "ok", request)
        return request

    def printed(self, expression):
        """What a cell prints of an expression."""
        return self.run_cell(f'println!("{{}}", {expression});').stdout.removesuffix("\n")

    def fails(self, code, **flags):
        """Runs a cell that has to fail: its reply says so, and its last output is the same error, the only one."""
        request = self.kernel.run(code, **flags)
        self.expect_failure(request)
        return request

    def expect_failure(self, request):
        self.assertEqual(request.status, "error", request)
        for key in ("ename", "evalue", "traceback"):
            self.assertTrue(request.reply[key], f"{key} of {request}")
            self.assertEqual(request.reply[key], request.error[key])
        self.assertEqual(request.kinds.count("error"), 1, request)
        self.assertEqual(request.kinds[-1], "error", request)

    def is_png(self, text):
        return base64.b64decode(text).startswith(b"\x89PNG\r\n")
