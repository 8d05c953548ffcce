"""Many starts and many cells beside other work: nothing is lost, nothing hangs, nothing is left.

`SOAK_STARTS` and `SOAK_CELLS` say how many; `SOAK_LOOPS` how many processes keep the machine busy meanwhile.
"""

import multiprocessing
import os
import time
import unittest

from session import RUNNING, SCRATCH, Kernel, expect_end

STARTS = int(os.environ.get("SOAK_STARTS", "6"))
CELLS = int(os.environ.get("SOAK_CELLS", "60"))
LOOPS = int(os.environ.get("SOAK_LOOPS", "2"))

# Cells that end in an output, and what has to come of each: status, standard output, standard error, kinds of outputs.
ENDINGS = (
    ('println!("line {n}");', ("ok", "line {n}\n", "", ["stdout"])),
    ('eprintln!("line {n}");', ("ok", "", "line {n}\n", ["stderr"])),
    ('print!("half {n}");', ("ok", "half {n}", "", ["stdout"])),
    ('eprint!("half {n}");', ("ok", "", "half {n}", ["stderr"])),
    ("{n}", ("ok", "", "", ["execute_result"])),
    ('display(&markdown("{n}"));', ("ok", "", "", ["display_data"])),
    ('println!("{n}"); panic!("{n}");', ("error", "{n}\n", "", ["stdout", "error"])),
    ('Err::<(), _>(std::io::Error::other("{n}"))?;', ("error", "", "", ["error"])),
    ("let wrong: u32 = true; // {n}", ("error", "", "", ["error"])),
    ("let _n = {n};", ("ok", "", "", [])),
)


def keep_busy():
    while True:
        sum(range(100_000))


class Soak(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.before = set(RUNNING.glob("*"))
        cls.loops = [multiprocessing.Process(target=keep_busy, daemon=True) for _ in range(LOOPS)]
        for loop in cls.loops:
            loop.start()

    @classmethod
    def tearDownClass(cls):
        for loop in cls.loops:
            loop.kill()
            loop.join()
        left = set(RUNNING.glob("*")) - cls.before
        assert not left, f"folders of kernels that have ended: {left}"

    def test_starts(self):
        """Half of them anew, half as restarts; each kernel has to run a cell."""
        seconds = []
        for number in range(0, STARTS, 2):
            with self.subTest(number=number):
                started = time.monotonic()
                kernel = Kernel(SCRATCH)
                self.expect_cell(kernel, number)
                seconds.append(time.monotonic() - started)
                processes = kernel.processes()
                started = time.monotonic()
                kernel.restart()
                self.expect_cell(kernel, number)
                seconds.append(time.monotonic() - started)
                expect_end([process for process in processes if process.pid != kernel.pid], RUNNING / "none")
                kernel.close()
        self.tell("starts and first cells", seconds)

    def test_cells(self):
        kernel = Kernel(SCRATCH)
        seconds = []
        for number in range(CELLS):
            with self.subTest(number=number):
                seconds.append(self.expect_cell(kernel, number))
        kernel.close()
        self.tell("cells", seconds)

    def test_cells_of_a_queue(self):
        kernel = Kernel(SCRATCH)
        numbers = range(CELLS)
        requests = [kernel.send_cell(f'println!("{number}");') for number in numbers]
        kernel.wait(*requests, seconds=60 + CELLS)
        self.assertEqual([request.stdout for request in requests], [f"{number}\n" for number in numbers])
        kernel.close()

    def expect_cell(self, kernel, number):
        code, expected = ENDINGS[number % len(ENDINGS)]
        request = kernel.run(code.replace("{n}", str(number)))
        status, *streams, kinds = expected
        streams = [stream.replace("{n}", str(number)) for stream in streams]
        self.assertEqual(
            (request.status, request.stdout, request.stderr, request.kinds), (status, *streams, kinds), request
        )
        return request.seconds

    def tell(self, what, seconds):
        seconds.sort()
        print(f"{len(seconds)} {what}: median {seconds[len(seconds) // 2]:.2f} s, longest {seconds[-1]:.2f} s")
