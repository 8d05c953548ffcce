"""Several kernels, and what is left of one that ended, in whatever way."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

from session import PATIENCE, ROOT, SCRATCH, Kernel, expect_end, folder_of, slow_to_compile, until

SHARED = ROOT / ".lab/kernel/warm"

# A Jupyter of its own that starts a kernel, tells its process, and waits.
JUPYTER = """\
import sys, time
sys.path.insert(0, sys.argv[1])
from session import Kernel
kernel = Kernel(sys.argv[2])
kernel.run("let a = 1;")
print(kernel.pid, flush=True)
time.sleep(600)
"""


def shared_files():
    """What the kernels share: each file with its time and length."""
    files = {}
    for path in SHARED.rglob("*"):
        if path.is_file():
            state = path.stat()
            files[path] = (state.st_mtime_ns, state.st_size)
    return files


class Kernels(unittest.TestCase):
    def test_side_by_side_write_nothing_into_what_they_share(self):
        with_one = Kernel(SCRATCH)
        with_one.run("1")
        shared = shared_files()
        self.assertGreater(len(shared), 100)
        kernels = [with_one, Kernel(SCRATCH), Kernel(SCRATCH)]
        self.assertEqual(len({kernel.folder for kernel in kernels}), 3)
        for kernel in kernels:
            self.assertTrue(kernel.folder.is_dir(), kernel.folder)
        requests = [kernel.send_cell(f"struct Own; let number = {number};") for number, kernel in enumerate(kernels)]
        for kernel, request in zip(kernels, requests, strict=True):
            kernel.wait(request)
        printed = [kernel.run('println!("{number}");').stdout for kernel in kernels]
        self.assertEqual(printed, ["0\n", "1\n", "2\n"])
        for kernel in kernels:
            kernel.close()
        after = shared_files()
        written = [path for path, state in after.items() if shared.get(path) != state]
        self.assertEqual((written, set(shared) - set(after)), ([], set()))

    def test_restart_in_the_middle_of_a_cell(self):
        kernel = Kernel(SCRATCH)
        kernel.wait_for_text(kernel.send_cell('println!("endless"); loop { std::hint::black_box(0); }'), "endless")
        processes = kernel.processes()
        kernel.restart()
        expect_end([process for process in processes if process.pid != kernel.pid], kernel.folder / "none")
        self.assertEqual(kernel.run("1 + 1").input[0], 1)
        kernel.close()

    def test_shut_down_in_the_middle_of_a_cell(self):
        kernel = Kernel(SCRATCH)
        kernel.wait_for_text(kernel.send_cell('println!("endless"); loop { std::hint::black_box(0); }'), "endless")
        kernel.close()

    def test_shut_down_while_a_cell_compiles(self):
        kernel = Kernel(SCRATCH)
        kernel.run("1")
        request = kernel.send_cell(slow_to_compile())
        kernel.listen(lambda: request.state == "busy", "the compilation begins")
        kernel.listen_for(0.5)
        self.assertFalse(request.ended)
        kernel.close()

    def test_shut_down_by_request(self):
        kernel = Kernel(SCRATCH)
        kernel.run("let a = 1;")
        processes, folder = kernel.processes(), kernel.folder
        reply = kernel.send("shutdown_request", {"restart": False}, "control")
        kernel.listen(lambda: reply.reply_message, "the answer", 10)
        self.assertEqual(reply.reply, {"status": "ok", "restart": False})
        until(lambda: not kernel.manager.is_alive(), "the kernel ends")
        expect_end(processes, folder)
        kernel.channels.stop_channels()

    def test_terminated_by_the_system(self):
        self.end_by(signal.SIGTERM, leaves_folder=False)

    def test_killed_by_the_system(self):
        self.end_by(signal.SIGKILL, leaves_folder=True)

    def end_by(self, kind, leaves_folder):
        """A kernel that is killed outright can't tidy up its folder: the next one does."""
        kernel = Kernel(SCRATCH)
        kernel.run("let a = 1;")
        processes, folder = kernel.processes(), kernel.folder
        self.assertTrue(folder.is_dir())
        self.assertGreater(len(processes), 1)
        os.kill(kernel.pid, kind)
        until(lambda: not kernel.manager.is_alive(), "the kernel ends")
        kernel.channels.stop_channels()
        if leaves_folder:
            next_one = Kernel(SCRATCH)
            next_one.run("let a = 1;")
            self.assertFalse(folder.exists(), f"the folder of a killed kernel is left: {folder}")
            next_one.close()
        expect_end(processes, folder)

    def test_each_process_killed_in_turn_leaves_none_of_the_others(self):
        count = 2
        number = 0
        while number < count:
            kernel = Kernel(SCRATCH)
            kernel.run("let a = 1;")
            processes = kernel.processes()
            count = len(processes)
            processes[number].kill()
            time.sleep(0.5)
            if kernel.manager.is_alive():
                kernel.close()
            else:
                kernel.channels.stop_channels()
                Kernel(SCRATCH).close()
                expect_end(processes, kernel.folder)
            number += 1

    def test_end_with_the_jupyter_that_started_them(self):
        here = pathlib.Path(__file__).parent
        jupyter = subprocess.Popen([sys.executable, "-c", JUPYTER, here, SCRATCH], stdout=subprocess.PIPE, text=True)
        pid = int(jupyter.stdout.readline())
        folder = folder_of(pid)
        self.assertTrue(folder.is_dir())
        jupyter.kill()
        jupyter.wait(PATIENCE)
        jupyter.stdout.close()
        expect_end([], folder)

    def test_a_child_of_a_cell_ends_with_the_kernel(self):
        kernel = Kernel(SCRATCH)
        kernel.run('let child = std::process::Command::new("sleep").arg("600").spawn()?;')
        self.assertIn("sleep", {process.name() for process in kernel.processes()})
        kernel.close()
