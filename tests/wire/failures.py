"""Cells that fail, what they leave behind, and the cells that are queued behind them."""

from session import KernelTest

FAIL = 'Err::<(), _>(std::io::Error::other("it went wrong"))?;'


class FailingCells(KernelTest):
    def test_a_compile_error(self):
        request = self.fails('let answer: u32 = "text";')
        self.assertEqual(request.kinds, ["error"])
        self.assertIn("mismatched types", request.error["evalue"])
        self.assertIn('let answer: u32 = "text";', request.traceback)
        self.assertIn("expected `u32`", request.traceback)
        self.assertEqual(request.reply["execution_count"], request.input[0])

    def test_a_syntax_error(self):
        self.assertEqual(self.fails("let x = ;").kinds, ["error"])
        self.assertEqual(self.fails("fn f() { ) }").kinds, ["error"])

    def test_a_question_mark(self):
        request = self.fails('load_state_dict("no such file.pt")?;')
        self.assertEqual(request.kinds, ["error"])
        self.assertIn("no such file.pt", request.error["evalue"])

    def test_a_question_mark_on_any_error(self):
        request = self.fails('let _: u32 = "many".parse()?;')
        self.assertEqual(request.kinds, ["error"])
        self.assertIn("invalid digit", request.error["evalue"])
        self.assertIn("ParseIntError", request.error["ename"])

    def test_a_message_is_said_once(self):
        mismatch = "Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?"
        request = self.fails(f"{mismatch}.matmul(&{mismatch})?")
        self.assertEqual(request.error["evalue"].strip(), "shape mismatch in matmul, lhs: [2, 3], rhs: [2, 3]")
        self.assertEqual(request.traceback.count("shape mismatch"), 1)

    def test_a_panic(self):
        request = self.fails('println!("before"); panic!("no {}", 1 + 1);')
        self.assertEqual(request.kinds, ["stdout", "error"])
        self.assertEqual(request.stdout, "before\n")
        self.assertIn("no 2", request.error["evalue"])
        self.assertNotIn("RUST_BACKTRACE", request.traceback)

    def test_panics_of_the_standard_library(self):
        self.assertIn("index out of bounds", self.fails("let list = vec![1]; list[7]").error["evalue"])
        self.assertIn("a number", self.fails('let none: Option<u32> = None; none.expect("a number");').error["evalue"])

    def test_a_panic_in_a_thread_of_its_own_is_no_failure(self):
        request = self.run_cell('std::thread::spawn(|| panic!("aside")).join().is_err()')
        self.assertEqual(request.result["text/plain"], "true")
        self.assertIn("aside", request.stderr)

    def test_what_is_printed_before_an_error_comes_before_it(self):
        request = self.fails(f'for number in 0..1000 {{ println!("{{number}}"); }} eprintln!("last"); {FAIL}')
        self.assertEqual(request.stdout.split(), [str(number) for number in range(1000)])
        self.assertEqual(request.stderr, "last\n")

    def test_a_failing_cell_has_no_value(self):
        request = self.fails(f"{FAIL} 5")
        self.assertEqual(request.kinds, ["error"])


class WhatAFailingCellLeaves(KernelTest):
    def expect_kept(self, failure):
        self.fails(f"let first = 1; let second = vec![2]; {failure}")
        self.assertEqual(self.run_cell('println!("{first} {second:?}");').stdout, "1 [2]\n")

    def test_a_question_mark_keeps_what_earlier_lines_made(self):
        self.expect_kept(FAIL)

    def test_a_panic_keeps_what_earlier_lines_made(self):
        self.expect_kept('panic!("no");')

    def test_older_variables_keep_what_the_cell_did_to_them(self):
        self.run_cell("let mut list = vec![1];")
        self.fails(f"list.push(2); {FAIL}")
        self.assertEqual(self.printed("list.len()"), "2")
        self.fails('list.push(3); panic!("no");')
        self.assertEqual(self.printed("list.len()"), "3")

    def test_a_variable_that_is_given_a_new_value(self):
        self.run_cell('let name = "old".to_owned();')
        self.fails(f'let name = "new".to_owned(); {FAIL}')
        self.assertEqual(self.printed("name"), "new")

    def test_a_trained_network_survives_an_error_in_the_same_cell(self):
        self.run_cell("let data = Cifar10::load_first(256, 100)?;")
        network = "let net = resnet_cifar(ResNetConfig { num_layers: 8, ..Default::default() })?.build(0, &Device::Cpu)?;"
        training = "let history = train(&net, &data, &TrainConfig { epochs: 1, ..Default::default() })?;"
        self.fails(f"{network}\n{training}\n{FAIL}")
        self.assertEqual(self.printed("history.epochs.len()"), "1")
        self.run_cell("test(&net, &data)?")

    def test_a_compile_error_runs_nothing_and_takes_nothing(self):
        self.run_cell("let older = vec![1];")
        request = self.fails('println!("run"); let newer = older; newer.unknown_method();')
        self.assertEqual(request.stdout, "")
        self.assertEqual(self.printed("older.len()"), "1")


class Positions(KernelTest):
    """Where in the cell an error is."""

    def expect_line(self, request, line):
        self.assertRegex(request.traceback, rf"(line |:){line}\b", request)

    def test_of_a_compile_error(self):
        request = self.fails('let one = 1;\nlet two = 2;\nlet three: u32 = "3";\nlet four = 4;')
        self.expect_line(request, 3)
        self.assertNotIn("command_", request.traceback)

    def test_of_an_error_in_a_function(self):
        request = self.fails('fn sound() -> u32 {\n    1\n}\nfn wrong() -> u32 {\n    "2"\n}\nsound()')
        self.expect_line(request, 5)

    def test_behind_a_command(self):
        request = self.fails(":vars\nlet one = 1;\nlet wrong: u32 = true;")
        self.expect_line(request, 3)

    def test_of_a_question_mark(self):
        request = self.fails(
            'let one = 1;\n\nlet text = std::fs::read_to_string("no such file")?;\nprintln!("{text}");'
        )
        self.expect_line(request, 3)
        self.assertIn("No such file", request.error["evalue"])

    def test_of_a_panic(self):
        request = self.fails('let one = 1;\nprintln!("{one}");\n\nassert_eq!(one, 2);\n')
        self.expect_line(request, 4)

    def test_of_a_panic_in_a_function_of_an_earlier_cell(self):
        self.run_cell('fn dangerous() {\n    panic!("inside");\n}')
        self.assertIn("inside", self.fails("dangerous();").error["evalue"])

    def test_several_errors_are_one_output(self):
        request = self.fails("let a: u32 = true;\nlet b: u32 = false;")
        self.expect_line(request, 1)
        self.expect_line(request, 2)


class DidYouMean(KernelTest):
    def test_a_variable(self):
        self.run_cell("let weights = vec![1.0, 2.0];")
        self.assertIn("`weights`", self.fails("weigths.len()").traceback)

    def test_a_method(self):
        self.run_cell("let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;")
        request = self.fails('net.load_weigths("a")?;')
        self.assertIn("no method named `load_weigths`", request.traceback)
        self.assertIn("`load_weights`", request.traceback)

    def test_a_type(self):
        self.assertIn("`Tensor`", self.fails("Tensr::zeros(1, DType::F32, &Device::Cpu)?").traceback)


class QueuedCells(KernelTest):
    """As "Run All" sends them: all at once."""

    def expect_aborted(self, *requests):
        for request in requests:
            self.assertEqual(request.status, "aborted", request)
            self.assertEqual((request.input, request.outputs), (None, []))

    def queue(self, first, **flags):
        """A cell that fails, with two more behind it."""
        cells = [self.kernel.send_cell(first, **flags)]
        cells += [self.kernel.send_cell(code) for code in ('println!("second");', "let third = 3;")]
        self.kernel.wait(*cells)
        self.expect_failure(cells[0])
        return cells

    def expect_stopped_by(self, first):
        failed, *others = self.queue(first)
        self.expect_aborted(*others)
        following = self.run_cell('println!("following");')
        self.assertEqual(following.stdout, "following\n")
        self.assertEqual(following.input[0], failed.input[0] + 1)
        self.fails("third")

    def test_behind_a_question_mark(self):
        self.expect_stopped_by(f"std::thread::sleep(std::time::Duration::from_secs(1)); {FAIL}")

    def test_behind_a_failure_at_once(self):
        self.expect_stopped_by(FAIL)

    def test_behind_a_compile_error(self):
        self.expect_stopped_by("let wrong: u32 = true;")

    def test_behind_a_panic(self):
        self.expect_stopped_by('panic!("no");')

    def test_behind_the_end_of_the_process(self):
        self.expect_stopped_by("std::process::abort();")

    def test_run_where_the_failing_cell_lets_them(self):
        _, second, third = self.queue(FAIL, stop_on_error=False)
        self.assertEqual((second.status, second.stdout), ("ok", "second\n"))
        self.assertEqual(third.status, "ok")
        self.assertEqual(self.printed("third"), "3")

    def test_behind_a_success(self):
        cells = [self.kernel.send_cell(f'println!("{number}");') for number in range(5)]
        self.kernel.wait(*cells)
        self.assertEqual([cell.stdout for cell in cells], [f"{number}\n" for number in range(5)])
        numbers = [cell.input[0] for cell in cells]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + 5)))

    def test_questions_in_the_queue_are_answered(self):
        failing = self.kernel.send_cell(f"std::thread::sleep(std::time::Duration::from_secs(1)); {FAIL}")
        queued = self.kernel.send_cell('println!("second");')
        questions = [self.kernel.send_complete("prune_la|"), self.kernel.send_inspect("prune_layers|(")]
        questions += [self.kernel.send("is_complete_request", {"code": "1"})]
        questions += [self.kernel.send("kernel_info_request", {}), self.kernel.send("comm_info_request", {})]
        self.kernel.wait(failing, queued, *questions)
        self.expect_aborted(queued)
        self.assertEqual([question.status for question in questions], ["ok", "ok", "complete", "ok", "ok"])
        self.assertEqual(questions[0].reply["matches"], ["prune_layers"])


class TheEndOfTheProcess(KernelTest):
    """Of the process that runs the cells; the kernel goes on."""

    def expect_survival(self, ending, helper=""):
        if helper:
            self.run_cell(helper)
        self.run_cell("fn tripled(x: u32) -> u32 { 3 * x }\nlet lost = 1;")
        request = self.fails(f'println!("the last word");\n{ending}')
        self.assertEqual(request.stdout, "the last word\n")
        self.assertIn("lost", request.traceback)
        # Functions and the helpers are there again, variables are not.
        self.assertEqual(self.run_cell('println!("{}", tripled(2)); percent(0.5)').stdout, "6\n")
        self.assertEqual(self.fails("lost + 1").kinds, ["error"])
        self.run_cell("let lost = 2;")
        self.assertEqual(self.printed("lost"), "2")
        panicking = self.fails('panic!("short");')
        self.assertEqual(panicking.kinds, ["error"])
        self.assertNotIn("RUST_BACKTRACE", panicking.traceback)

    def test_by_abort(self):
        self.expect_survival("std::process::abort();")

    def test_by_exit(self):
        self.expect_survival("std::process::exit(0);")

    def test_by_a_stack_overflow(self):
        helper = "#[allow(unconditional_recursion)]\nfn deep(n: u64) -> u64 { std::hint::black_box(n) + deep(n + 1) }"
        self.expect_survival("deep(0)", helper)

    def test_by_a_panic_while_panicking(self):
        helper = 'struct Bomb;\nimpl Drop for Bomb { fn drop(&mut self) { panic!("again") } }'
        self.expect_survival('{ let _bomb = Bomb; panic!("once"); }', helper)
