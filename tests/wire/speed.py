"""How long a kernel's start and its cells take; the bounds leave room for other work on the machine."""

import statistics
import time
import unittest

from session import SCRATCH, Kernel


def seconds(kernel, code):
    request = kernel.run(code)
    assert request.status == "ok", request
    return request.seconds


class Speed(unittest.TestCase):
    def test_of_a_start(self):
        starts = []
        for _ in range(3):
            started = time.monotonic()
            kernel = Kernel(SCRATCH)
            seconds(kernel, "1 + 2")
            starts.append(time.monotonic() - started)
            kernel.close()
        print(f"start and first cell: {min(starts):.2f} s")
        self.assertLess(min(starts), 4)

    def test_of_later_cells(self):
        kernel = Kernel(SCRATCH)
        cells = {
            "1 + 2": "1 + 2",
            "a variable": "let v{n} = vec![{n}];",
            "a tensor": "let t{n} = Tensor::zeros((2, {n}), DType::F32, &Device::Cpu)?;",
            "a function": "fn f{n}() -> u32 { {n} } f{n}()",
        }
        for what, code in cells.items():
            median = statistics.median(seconds(kernel, code.replace("{n}", str(n))) for n in range(12))
            print(f"{what}: {median:.2f} s")
            with self.subTest(what):
                self.assertLess(median, 0.3)
        kernel.close()
