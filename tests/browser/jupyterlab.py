"""JupyterLab as a process, and what can be done in it with mouse and keyboard."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from playwright.sync_api import expect

SECOND = 1000
# Long enough for a machine with other work on it: a kernel may have to compile the helpers first.
PATIENCE = 180 * SECOND
FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"


def until(condition, what, seconds=30):
    """Waits for what is not in the page."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)
    return result


@contextlib.contextmanager
def jupyterlab(lab, folder):
    """The address, with its token, of a JupyterLab on `folder/notebooks` that runs inside the block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    token = secrets.token_hex(8)
    command = [lab, "jupyter", "--no-browser", "--folder", folder / "notebooks"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    # Settings of its own, as the student changes some.
    settings = {f"JUPYTERLAB_{kind}_DIR": str(folder / kind.lower()) for kind in ("SETTINGS", "WORKSPACES")}
    with open(folder / "jupyterlab.log", "wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)

    def answers():
        assert server.poll() is None, f"JupyterLab ended, see {folder}/jupyterlab.log"
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}").read()

    try:
        until(answers, "JupyterLab answers", 600)
        yield f"http://127.0.0.1:{port}/lab?token={token}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)


def kernels_of(address):
    """The kernels that a JupyterLab runs, as its server tells."""
    return json.load(urllib.request.urlopen(address.replace("/lab?", "/api/kernels?")))


def processes_with(text):
    """The command lines of the processes that have `text` in theirs; only Linux can tell."""
    found = []
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if text in command:
                found.append(command)
    return found


class Student:
    """Looks at one page of JupyterLab, one notebook at a time; keeps what the page saves and pictures of it."""

    def __init__(self, page, folder):
        self.page, self.folder = page, folder
        self.screenshots = folder / "screenshots"
        self.screenshots.mkdir(exist_ok=True)
        self.downloads = []
        # JupyterLab saves a file through a page of its own, which may be gone before it is seen.
        page.on("download", self.save)
        page.context.on("page", lambda other: other.on("download", self.save))

    def save(self, download):
        self.downloads.append(download)

    def screenshot(self, name):
        self.page.screenshot(path=self.screenshots / f"{name}.png")

    def notebook(self):
        """The notebook in front."""
        return self.page.locator(FRONT)

    def cell(self, index):
        """A code cell of the notebook in front, counted from 0 among those that JupyterLab shows."""
        return self.notebook().locator(".jp-CodeCell").nth(index)

    def output(self, index):
        return self.cell(index).locator(".jp-Cell-outputArea")

    def prompt(self, index):
        return self.cell(index).locator(".jp-InputPrompt")

    def error_outputs(self):
        """The errors of the notebook in front, and what its cells print as errors: JupyterLab tells them by nothing."""
        return self.notebook().locator('[data-mime-type="application/vnd.jupyter.stderr"]')

    def add_cell(self, index):
        """Adds a cell below this one."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("b")
        expect(self.cell(index + 1)).to_be_visible()

    def open(self, name):
        """Opens a notebook from the list of files and waits for its kernel."""
        self.page.locator(".jp-DirListing-item", has_text=name).dblclick()
        expect(self.page.locator(".lm-TabBar-tab.lm-mod-current", has_text=name).first).to_be_visible()
        self.wait_for_kernel()

    def create(self):
        """Makes a notebook from the launcher, waits for its kernel and returns its name."""
        before = self.page.locator(".jp-NotebookPanel").count()
        self.page.locator('[data-jp-item-name="new-launcher"]').click()
        self.page.locator('.jp-LauncherCard[data-category="Notebook"][title="Rust"]:visible').click()
        expect(self.page.locator(".jp-NotebookPanel")).to_have_count(before + 1)
        self.wait_for_kernel()
        return self.page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current").inner_text().strip()

    def turn_to(self, name):
        """Brings an open notebook to the front."""
        self.page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text=name).click()
        expect(self.notebook()).to_have_count(1)

    def wait_for_kernel(self):
        # For a moment the status bar goes on showing the notebook that was in front before.
        name = self.page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current").inner_text().strip()
        has_kernel = re.compile(rf"Rust \| (Connecting|Unknown|Idle).*{re.escape(name)}", re.DOTALL)
        expect(self.page.locator("#jp-bottom-panel")).to_have_text(has_kernel, timeout=PATIENCE)

    def write(self, index, source):
        """Puts source into a cell, as pasting does."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)

    def run(self, index):
        """Runs a cell without waiting for its end."""
        prompt = self.prompt(index)
        before = prompt.inner_text()

        def pressed():
            self.cell(index).locator(".cm-content").click()
            self.page.keyboard.press("Shift+Enter")
            with contextlib.suppress(AssertionError):
                expect(prompt).not_to_have_text(before, timeout=20 * SECOND)
            return prompt.inner_text() != before

        # While a notebook gets its kernel, JupyterLab forgets a cell that is run; once it has it, the prompt changes at once.
        until(pressed, "the cell runs", seconds=90)

    def step(self):
        """Runs the selected cell, whose place JupyterLab knows best in a long notebook, and waits for its end."""
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_timeout(0.2 * SECOND)
        prompts = self.notebook().locator(".jp-InputPrompt")
        expect(prompts.filter(has_text="[*]")).to_have_count(0, timeout=PATIENCE)

    def wait_for_end(self, index):
        expect(self.prompt(index)).to_have_text(re.compile(r"\[\d+\]"), timeout=PATIENCE)

    def press_stop(self):
        self.notebook().locator('[data-jp-item-name="interrupt"]').click()

    def menu(self, *path):
        """Chooses an entry of the menu bar."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{path[0]}$")).click()
        for entry in path[1:]:
            label = self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{re.escape(entry)}")).last
            label.hover()
        label.click()

    def saved_file(self):
        """The file that the page has saved last, waited for."""

        def arrived():
            self.page.wait_for_timeout(200)
            return self.downloads

        return until(arrived, "a download", 60).pop().path()
