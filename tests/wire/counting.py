"""The numbers of cells, and cells that are not to be seen: silent ones, and those that no history has."""

from session import KernelTest


class Numbers(KernelTest):
    def setUp(self):
        """A kernel of each test's own, as it counts from the first cell."""
        self.kernel.restart()

    def numbers(self):
        """The number of a cell, from the three places where it stands."""
        request = self.run_cell("1 + 1")
        (result,) = request.of_kind("execute_result")
        self.assertEqual(request.input, (request.reply["execution_count"], "1 + 1"))
        self.assertEqual(result["execution_count"], request.reply["execution_count"])
        return request.reply["execution_count"]

    def test_nothing_is_shown_before_the_first_cell(self):
        self.kernel.listen_for(1)
        for request in self.kernel.requests.values():
            self.assertLessEqual({message.kind for message in request.published}, {"status", "iopub_welcome"}, request)

    def test_count_from_one(self):
        self.assertEqual([self.numbers() for _ in range(3)], [1, 2, 3])

    def test_count_failed_cells(self):
        self.assertEqual(self.fails("let wrong: u32 = true;").input[0], 1)
        self.assertEqual(self.fails('panic!("no");').input[0], 2)
        self.assertEqual(self.numbers(), 3)

    def test_leave_out_silent_cells(self):
        self.assertEqual(self.numbers(), 1)
        silent = self.run_cell("let kept = 7; kept", silent=True)
        self.assertEqual((silent.input, silent.kinds), (None, []))
        self.assertEqual(silent.reply["execution_count"], 1)
        self.assertEqual(self.numbers(), 2)
        self.assertEqual(self.printed("kept"), "7")

    def test_leave_out_cells_without_history(self):
        self.assertEqual(self.numbers(), 1)
        unseen = self.run_cell('println!("said"); 5', store_history=False)
        self.assertIsNone(unseen.input)
        self.assertEqual(unseen.kinds, ["stdout", "execute_result"])
        self.assertEqual(self.numbers(), 2)
        history = self.kernel.ask("history_request", {"hist_access_type": "tail", "n": 9, "output": False, "raw": True})
        self.assertEqual([entry[1:] for entry in history["history"]], [[1, "1 + 1"], [2, "1 + 1"]])

    def test_a_silent_cell_that_fails(self):
        silent = self.kernel.run('panic!("no");', silent=True)
        self.assertEqual(silent.status, "error")
        self.assertIn("no", silent.reply["evalue"])
        self.assertIsNone(silent.input)
        self.assertEqual(self.numbers(), 1)

    def test_cells_with_nothing_in_them(self):
        for code in ("", "   \n", "// a remark", "/* a\nremark */"):
            request = self.run_cell(code)
            self.assertEqual(request.kinds, [], request)
        self.numbers()

    def test_a_restart_forgets(self):
        self.run_cell("let forgotten = 1;")
        self.kernel.restart()
        self.assertEqual(self.fails("forgotten").input[0], 1)


class UserExpressions(KernelTest):
    def test_are_answered(self):
        content = {"code": "let a = 1;", "silent": False, "store_history": True, "user_expressions": {}}
        request = self.kernel.wait(self.kernel.send("execute_request", content))
        self.assertEqual(request.reply["user_expressions"], {})
