"""Standard input."""

from session import KernelTest

READ = "let mut line = String::new(); let length = std::io::stdin().read_line(&mut line)?;"
SHOW = 'println!("{length} {line:?}");'


class Asking(KernelTest):
    def test_a_line(self):
        request = self.run_cell(f"{READ} {SHOW}", answers=["Ada"])
        self.assertEqual(request.stdout, '4 "Ada\\n"\n')
        self.assertEqual([message.kind for message in request.asked], ["input_request"])
        self.assertIsInstance(request.asked[0].content["prompt"], str)
        self.assertFalse(request.asked[0].content["password"])

    def test_two_lines_are_two_questions(self):
        request = self.run_cell(f"{READ} {SHOW} {READ} {SHOW}", answers=["first", "zweite ä"])
        self.assertEqual(request.stdout, '6 "first\\n"\n10 "zweite ä\\n"\n')
        self.assertEqual(len(request.asked), 2)

    def test_the_question_that_was_printed_comes_first(self):
        flush = "std::io::Write::flush(&mut std::io::stdout())?;"
        request = self.kernel.send_cell(f'print!("Name: "); {flush} {READ} {SHOW}', answers=[])
        self.kernel.listen(lambda: request.asked, "the question")
        self.kernel.listen(lambda: "Name: " in request.stdout + request.asked[0].content["prompt"], "its text", 5)
        self.kernel.channels.input("Ada")
        self.kernel.wait(request)
        self.assertTrue(request.stdout.endswith('4 "Ada\\n"\n'))

    def test_the_cell_waits_for_the_answer(self):
        request = self.kernel.send_cell(f"{READ} {SHOW}", answers=[])
        self.kernel.listen(lambda: request.asked, "the question")
        self.kernel.listen_for(2)
        self.assertFalse(request.ended)
        self.kernel.channels.input("late")
        self.kernel.wait(request)
        self.assertEqual(request.stdout, '5 "late\\n"\n')

    def test_where_nobody_can_be_asked_the_input_ends_at_once(self):
        request = self.run_cell(f"{READ} {SHOW}")
        self.assertEqual((request.stdout, request.asked), ('0 ""\n', []))
        self.assertLess(request.seconds, 10)
        self.assertEqual(self.printed("std::io::read_to_string(std::io::stdin())?.len()"), "0")

    def test_an_empty_answer_is_an_empty_line(self):
        self.assertEqual(self.run_cell(f"{READ} {SHOW}", answers=[""]).stdout, '1 "\\n"\n')

    def test_a_cell_that_asks_nothing_gets_no_question(self):
        self.assertEqual(self.run_cell("1 + 1", answers=["not asked for"]).asked, [])
        # And the next one's answer is its own.
        self.assertEqual(self.run_cell(f"{READ} {SHOW}", answers=["own"]).stdout, '4 "own\\n"\n')

    def test_a_stopped_question_keeps_the_variables(self):
        self.run_cell("let kept = 5;")
        request = self.kernel.send_cell(f"{READ} {SHOW}", answers=[])
        self.kernel.listen(lambda: request.asked, "the question")
        self.kernel.press_stop()
        self.kernel.wait(request, seconds=15)
        self.assertEqual(self.printed("kept"), "5")

    def test_asks_with_two_front_ends(self):
        second = self.kernel.another_client()
        request = second.send_cell(f"{READ} {SHOW}", answers=["second"])
        second.wait(request)
        self.assertEqual(request.stdout, '7 "second\\n"\n')
        self.assertEqual(sum(len(other.asked) for other in self.kernel.requests.values()), 0)
