"""The kernel with others' front ends, with several at once, and beside a user's own Jupyter."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import unittest

import nbformat
import pexpect
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from session import PATIENCE, SCRATCH, Kernel, KernelTest, without_color


class TwoFrontEnds(KernelTest):
    def setUp(self):
        super().setUp()
        self.first = self.kernel
        self.second = self.kernel.another_client()

    def test_each_gets_its_own_replies_and_both_see_what_is_published(self):
        ours = self.first.send_cell('println!("first"); 1')
        theirs = self.second.send_cell('println!("second"); 2')
        self.first.wait(ours)
        self.second.wait(theirs)
        for client, own, other in ((self.first, ours, theirs), (self.second, theirs, ours)):
            (parent,) = {message.parent for message in other.published}
            client.listen(lambda client=client, parent=parent: self.is_idle(client, parent), "the other's end")
            seen = client.requests[parent]
            self.assertIsNone(seen.reply_message)
            self.assertEqual(
                [(m.kind, m.content) for m in seen.published], [(m.kind, m.content) for m in other.published]
            )
            self.assertEqual(own.kinds, ["stdout", "execute_result"])
        self.assertEqual(abs(ours.input[0] - theirs.input[0]), 1)

    def is_idle(self, client, parent):
        return parent in client.requests and client.requests[parent].state == "idle"

    def test_variables_are_shared_and_one_may_leave(self):
        self.second.run("let shared = 5;")
        self.second.close()
        self.kernel.others.remove(self.second)
        self.assertEqual(self.printed("shared"), "5")

    def test_either_stops_the_others_cell(self):
        request = self.second.send_cell('println!("loop"); while !stop_requested() {}')
        self.second.wait_for_text(request, "loop")
        self.first.press_stop()
        self.second.wait(request, seconds=20)
        self.assertEqual(request.status, "ok")

    def tearDown(self):
        super().tearDown()
        for client in self.kernel.others:
            client.close()
        self.kernel.others.clear()


def notebook(*cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "rust", "display_name": "Rust", "language": "rust"}
    return notebook


def kinds(cell):
    return [output.get("name", output.output_type) for output in cell.outputs]


FAILING = (
    'println!("one"); display(&markdown("*a*")); 1',
    'load_state_dict("no such file.pt")?;',
    'println!("never");',
)


class Executors(unittest.TestCase):
    """What executes notebooks without anybody looking on stops at the cell that fails."""

    def expect_stopped(self, cells):
        self.assertEqual([kinds(cell) for cell in cells], [["stdout", "display_data", "execute_result"], ["error"], []])
        self.assertEqual([cell.execution_count for cell in cells], [1, 2, None])
        self.assertIn("no such file.pt", cells[1].outputs[0].evalue)

    def test_nbclient(self):
        executed = notebook(*FAILING)
        with self.assertRaises(CellExecutionError) as raised:
            NotebookClient(executed, timeout=PATIENCE).execute()
        self.assertIn("no such file.pt", str(raised.exception))
        self.expect_stopped(executed.cells)

    def test_nbclient_where_errors_are_allowed(self):
        executed = notebook(*FAILING)
        NotebookClient(executed, timeout=PATIENCE, allow_errors=True).execute()
        self.assertEqual([kinds(cell) for cell in executed.cells][1:], [["error"], ["stdout"]])
        nbformat.validate(executed)

    def test_what_moves_in_place_is_one_output_of_the_notebook(self):
        executed = notebook(
            'let shown = display(&markdown("0")); for n in 1..=3 { shown.update(&markdown(n)); }',
            'println!("gone"); clear_output(true); println!("stays");',
            'shown.update(&markdown("last"));',
        )
        NotebookClient(executed, timeout=PATIENCE).execute()
        self.assertEqual([kinds(cell) for cell in executed.cells], [["display_data"], ["stdout"], []])
        self.assertEqual(executed.cells[0].outputs[0].data["text/plain"], "last")
        self.assertEqual(executed.cells[1].outputs[0].text, "stays\n")

    def test_papermill(self):
        folder = SCRATCH / "papermill"
        folder.mkdir()
        paths = [folder / "in.ipynb", folder / "out.ipynb"]
        nbformat.write(notebook(*FAILING), paths[0])
        command = [sys.executable, "-m", "papermill", *paths, "-k", "rust", "--no-progress-bar"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("no such file.pt", result.stderr)
        # Papermill puts a sentence with a link to the error before the cells.
        self.expect_stopped([cell for cell in nbformat.read(paths[1], 4).cells if cell.cell_type == "code"])

    def test_papermill_to_the_end(self):
        folder = SCRATCH / "papermill_to_the_end"
        folder.mkdir()
        paths = [folder / "in.ipynb", folder / "out.ipynb"]
        nbformat.write(notebook("let a = 1;", "a + 1"), paths[0])
        command = [sys.executable, "-m", "papermill", *paths, "-k", "rust", "--no-progress-bar"]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
        (output,) = nbformat.read(paths[1], 4).cells[-1].outputs
        self.assertEqual(output.data["text/plain"], "2")


class Console(unittest.TestCase):
    """`jupyter console`, which shows what was published before it asks for the next line."""

    def setUp(self):
        command = ["-m", "jupyter_console", "--kernel", "rust", "--simple-prompt"]
        environment = {**os.environ, "TERM": "dumb", "PYTHONWARNINGS": "ignore"}
        self.console = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=PATIENCE, env=environment)
        self.console.delaybeforesend = 0.1
        self.expect("In \\[1\\]: ")

    def tearDown(self):
        self.console.close(force=True)

    def expect(self, pattern):
        self.console.expect(pattern)
        return without_color(self.console.before)

    def enter(self, line, prompt):
        """What stands between the line and the next prompt."""
        self.console.sendline(line)
        return self.expect(prompt).partition("\n")[2]

    def test_a_session(self):
        self.assertIn("hello\r\n", self.enter('println!("hello");', "In \\[2\\]: "))
        self.assertIn("Out[2]: 3", self.enter("1 + 2", "In \\[3\\]: "))
        self.assertIn("no such file.pt", self.enter('load_state_dict("no such file.pt")?;', "In \\[4\\]: "))
        self.enter("fn tripled(x: u32) -> u32 { 3 * x }", "In \\[5\\]: ")
        self.assertIn("Out[5]: 6", self.enter("tripled(2)", "In \\[6\\]: "))

    def test_asks_for_input(self):
        line = 'let mut line = String::new(); std::io::stdin().read_line(&mut line)?; println!("{line:?}");'
        self.console.sendline(line)
        self.expect("println.*\n")
        self.console.sendline("Ada")
        self.assertIn('"Ada\\n"', self.expect("In \\[2\\]: "))


class Strangers(KernelTest):
    """Who connects to the kernel's ports and says nothing, or nonsense."""

    def test_do_no_harm(self):
        with open(self.kernel.manager.connection_file) as file:
            connection = json.load(file)
        for _ in range(10):
            for name in ("shell", "iopub", "stdin", "control", "hb"):
                for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x01\x7f"):
                    with socket.create_connection((connection["ip"], connection[f"{name}_port"])) as stranger:
                        stranger.sendall(said)
        self.assertEqual(self.run_cell('println!("still here"); 1').kinds, ["stdout", "execute_result"])

    def test_without_the_key_are_not_obeyed(self):
        stranger = self.kernel.another_client()
        stranger.channels.session.key = b"guessed"
        request = stranger.send_cell('println!("obeyed");')
        stranger.listen_for(2)
        self.assertEqual((request.published, request.reply_message), ([], None))
        self.assertEqual(self.run_cell("1 + 1").result["text/plain"], "2")


class TheUsersOwnJupyter(unittest.TestCase):
    """Another kernel of the name `rust` is the user's."""

    def test_is_not_touched(self):
        home = SCRATCH / "home"
        folders = [home / ".local/share/jupyter/kernels/rust", home / "jupyter/kernels/rust"]
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "kernel.json").write_text(
                '{"argv": ["their", "own"], "display_name": "Rust", "language": "rust"}'
            )
            (folder / "version.txt").write_text("0.0.1")
        before = self.files(home)
        # Rust is found where it was.
        real = {
            f"{name}_HOME": os.environ.get(f"{name}_HOME", f"{pathlib.Path.home()}/.{name.lower()}")
            for name in ("CARGO", "RUSTUP")
        }
        jupyter = {"JUPYTER_PATH": str(home / "jupyter"), "JUPYTER_DATA_DIR": str(home / ".local/share/jupyter")}
        kernel = Kernel(SCRATCH, environment={"HOME": str(home), **real, **jupyter})
        self.assertEqual(kernel.run("1 + 1").result["text/plain"], "2")
        kernel.close()
        self.assertEqual(self.files(home), before)

    def files(self, folder):
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
