"""Runs tests of the kernel over Jupyter's protocol.

usage: run.py THEME...

A theme is a file beside this one, perhaps with a class and a test in it: `failures.FailingCells.test_a_panic`. Needs a
Python with tests/requirements.txt, and `cargo lab setup`. Fails also where a test is skipped, or none is there.
"""

import os
import pathlib
import shutil
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def prepare(scratch):
    """A folder and a Jupyter of the tests' own, in which the project's kernel is found and nothing of the user's."""
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True)
    jupyter = {f"JUPYTER_{kind}_DIR": str(scratch / "jupyter" / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    for name in ("JUPYTER_CONFIG_PATH", "PYTHONPATH"):
        os.environ.pop(name, None)
    os.environ.update(jupyter)
    os.environ["JUPYTER_PATH"] = str(ROOT / ".lab/venv/share/jupyter")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["IPYTHONDIR"] = str(scratch / "ipython")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["WIRE_SCRATCH"] = str(scratch)
    os.environ["CARGO_NET_OFFLINE"] = "true"


def main(themes):
    prepare(ROOT / "target/tmp/wire" / themes[0])
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    sys.dont_write_bytecode = True
    suite = unittest.defaultTestLoader.loadTestsFromNames(themes)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    complete = result.testsRun > 0 and not result.skipped
    sys.exit(0 if result.wasSuccessful() and complete else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
