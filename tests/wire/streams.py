"""What a cell prints."""

import time

from session import Kernel, KernelTest

FLUSH = "std::io::Write::flush(&mut std::io::stdout())?;"


def pause(milliseconds):
    return f"std::thread::sleep(std::time::Duration::from_millis({milliseconds}));"


def write(literal, stream="stdout"):
    """A statement that writes bytes as they are and flushes them."""
    to = f"std::io::{stream}()"
    return f"std::io::Write::write_all(&mut {to}, {literal})?; std::io::Write::flush(&mut {to})?;"


class Text(KernelTest):
    """Nothing is added to it, nothing is missing, and the next cell's output is its own."""

    def expect(self, code, stdout="", stderr=""):
        request = self.run_cell(code)
        self.assertEqual((request.stdout, request.stderr), (stdout, stderr))
        self.assertLessEqual(set(request.kinds), {"stdout", "stderr"})
        self.assertEqual(self.run_cell('println!("next");').stdout, "next\n")

    def test_without_a_newline(self):
        self.expect('print!("50%");', "50%")
        self.expect(f'print!("50%"); {FLUSH}', "50%")
        self.expect('eprint!("50%");', "", "50%")

    def test_with_carriage_returns(self):
        self.expect('print!("1\\r2\\r\\n3\\r");', "1\r2\r\n3\r")

    def test_of_many_dots(self):
        self.expect('for _ in 0..3000 { print!("."); }', "." * 3000)
        self.expect(f'for _ in 0..3000 {{ print!("."); {FLUSH} }}', "." * 3000)

    def test_of_empty_lines_and_spaces(self):
        self.expect('println!(); println!("  a  "); println!("\\t"); println!();', "\n  a  \n\t\n\n")

    def test_of_one_long_line(self):
        self.expect('println!("{}", "ab".repeat(100_000));', "ab" * 100_000 + "\n")

    def test_beyond_ascii(self):
        self.expect('println!("ä∑🦀 e\u0301");', "ä∑🦀 e\u0301\n")

    def test_with_control_characters(self):
        self.expect('print!("a\\0b\\u{8}\\u{1b}[31mred\\u{1b}[0m");', "a\0b\b\x1b[31mred\x1b[0m")

    def test_that_is_not_utf8(self):
        self.expect(write('b"a\\xff\\xfeb\\n"'), "a\ufffd\ufffdb\n")
        self.expect(write('b"\\xffa"', "stderr"), "", "\ufffda")
        self.expect(write('b"cut \\xf0\\x9f"'), "cut \ufffd")

    def test_of_a_character_in_two_pieces(self):
        self.expect(write('b"\\xf0\\x9f"') + pause(300) + write('b"\\xa6\\x80 crab"'), "🦀 crab")

    def test_of_a_child_process(self):
        self.expect('std::process::Command::new("echo").arg("child").status()?;', "child\n")

    def test_of_evcxrs_own_words(self):
        words = ["EVCXR_EXECUTION_COMPLETE", "EVCXR_PANIC_NOTIFICATION", "EVCXR_ERROR_OCCURRED"]
        words += ["EVCXR_VARIABLE_CHANGED_TYPE:next", "EVCXR_END_CONTENT", "LOAD_AND_RUN a b"]
        for word in words:
            with self.subTest(word):
                self.expect(f'println!("{word}");', f"{word}\n")
                self.expect(f'print!("{word}");', word)
                self.expect(f'eprintln!("{word}");', "", f"{word}\n")
                self.expect(f'print!("half a line {word}\\nmore");', f"half a line {word}\nmore")

    def test_of_events_of_the_kernels_own(self):
        for event in ('{"event":"ended"}', '{"event":"failed","name":"a","message":"b","line":1}'):
            self.expect(f'println!("{{}}", r#"{event}"#);', f"{event}\n")

    def test_of_a_block_that_never_ends(self):
        request = self.run_cell('println!("EVCXR_BEGIN_CONTENT text/html\\n<b>open</b>");')
        self.assertIn("<b>open</b>", request.stdout)
        self.assertEqual(self.run_cell('println!("next");').stdout, "next\n")

    def test_of_the_beginning_of_a_block(self):
        self.expect('print!("EVCXR_BEG");', "EVCXR_BEG")
        self.expect('print!("EVCXR_BEGIN_CONTENT ");', "EVCXR_BEGIN_CONTENT ")

    def test_of_warnings_there_is_none(self):
        self.expect("let unused = 1; fn never_called() {}")


class Order(KernelTest):
    def test_within_a_stream(self):
        lines = "".join(f"{number}\n" for number in range(5000))
        request = self.run_cell('for number in 0..5000 { println!("{number}"); eprintln!("{number}"); }')
        self.assertEqual((request.stdout, request.stderr), (lines, lines))

    def test_of_the_two_streams(self):
        code = [f'println!("1"); {pause(200)} eprintln!("2"); {pause(200)} println!("3"); {pause(200)} eprintln!("4");']
        self.assertEqual(self.run_cell(*code).kinds, ["stdout", "stderr"] * 2)

    def test_what_is_printed_last_arrives_before_the_end(self):
        lines = "".join(f"{number}\n" for number in range(1000))
        for _ in range(20):
            request = self.run_cell('for number in 0..1000 { eprintln!("{number}"); }')
            self.assertEqual(request.stderr, lines)
        for number in range(20):
            request = self.run_cell(f'print!("out {number}"); eprint!("err {number}");')
            self.assertEqual((request.stdout, request.stderr), (f"out {number}", f"err {number}"))

    def test_what_a_thread_prints_after_the_cell_is_not_lost(self):
        request = self.run_cell(
            f'std::thread::spawn(|| {{ {pause(1000)} println!("from the thread"); }}); println!("end");'
        )
        self.assertNotIn("from the thread", request.stdout)

        def everything():
            return "".join(other.stdout for other in self.kernel.requests.values())

        self.kernel.listen(lambda: "from the thread\n" in everything(), "the thread's line", 10)
        self.assertEqual(self.run_cell('println!("next");').stdout, "next\n")
        # Here alone text may come when the kernel is idle.
        self.kernel.requests.clear()


class Soon(KernelTest):
    """Text appears when it is written."""

    def expect_soon(self, statement, text):
        request = self.run_cell(f'{statement} {pause(3000)} println!("end");')
        self.assertGreater(request.arrival("end") - request.arrival(text), 2, request)
        self.assertEqual(request.stdout + request.stderr, f"{text}end\n")

    def test_a_line(self):
        self.expect_soon('println!("line");', "line\n")

    def test_half_a_line(self):
        self.expect_soon(f'print!("half"); {FLUSH}', "half")

    def test_half_a_line_that_is_not_flushed(self):
        self.expect_soon('print!("half");', "half")

    def test_half_a_line_on_standard_error(self):
        request = self.run_cell(f'eprint!("half"); {pause(3000)} println!("end");')
        self.assertGreater(request.arrival("end") - request.arrival("half"), 2)

    def test_a_counter_that_moves_in_place(self):
        request = self.run_cell(f'for n in 1..=5 {{ print!("\\r{{n}}/5"); {FLUSH} {pause(500)} }}')
        self.assertEqual(request.stdout, "\r1/5\r2/5\r3/5\r4/5\r5/5")
        arrivals = [request.arrival(f"{n}/5") for n in range(1, 6)]
        for earlier, later in zip(arrivals, arrivals[1:], strict=False):
            self.assertGreater(later - earlier, 0.2)


class Much(KernelTest):
    # What the first cell of a kernel takes is the kernel's start.
    PREPARATION = "1"

    def test_a_hundred_thousand_lines_are_complete_and_as_fast_as_pythons(self):
        lines = "".join(f"{number}\n" for number in range(100_000))
        python = Kernel(self.scratch, name="python3")
        try:
            theirs = python.run("for number in range(100_000): print(number)")
        finally:
            python.manager.shutdown_kernel()
            Kernel.__bases__[0].close(python)
        self.assertEqual(theirs.stdout, lines)
        ours = self.run_cell('for number in 0..100_000 { println!("{number}"); }')
        self.assertTrue(
            ours.stdout == lines, f"{len(ours.stdout)} of {len(lines)} characters, and {ours.stdout[-80:]!r}"
        )
        messages = len(ours.of_kind("stream"))
        print(f"1e5 lines: {ours.seconds:.2f} s in {messages} messages, ipykernel {theirs.seconds:.2f} s")
        # Jupyter's server drops what exceeds a thousand messages a second.
        self.assertLess(messages, 200)
        self.assertLess(ours.seconds, theirs.seconds + 2)

    def test_a_million_lines_are_cut_with_a_word(self):
        started = time.monotonic()
        request = self.run_cell('for number in 0..1_000_000 { println!("{number}"); }')
        self.assertLess(time.monotonic() - started, 30)
        shown = request.stdout + request.stderr
        self.assertTrue(shown.startswith("0\n1\n2\n"), shown[:80])
        self.assertLess(len(shown), 5_000_000)
        self.assertRegex(shown, "(?i)cut|left out|omitted|not shown|more")
        self.assertEqual(self.run_cell('println!("next");').stdout, "next\n")

    def test_the_figure_and_the_value_behind_a_million_lines_are_shown(self):
        shows = 'display(&markdown("*figure*")); 5'
        request = self.run_cell(f'for number in 0..1_000_000 {{ println!("{{number}}"); }} {shows}')
        self.assertEqual([data["text/markdown"] for data in request.displays], ["*figure*"])
        self.assertEqual(request.result["text/plain"], "5")

    def test_an_error_behind_a_million_lines_is_shown(self):
        request = self.fails('for number in 0..1_000_000 { println!("{number}"); } panic!("at the end");')
        self.assertIn("at the end", request.error["evalue"])
