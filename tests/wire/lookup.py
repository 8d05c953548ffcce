"""What can be asked of a kernel: names, documentation, whether a cell is complete, what was executed, who it is."""

import subprocess

from session import KernelTest, until


class Completion(KernelTest):
    PREPARATION = """\
let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;
let longish_name = 5u32;"""

    def expect(self, code, name):
        """That a name is offered for the word before `|`, in exactly its place."""
        reply = self.kernel.complete(code)
        self.assertEqual(reply["status"], "ok")
        self.assertIn(name, reply["matches"], code)
        cursor = code.index("|")
        word = len(code[:cursor]) - len(code[:cursor].rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"))
        self.assertEqual((reply["cursor_start"], reply["cursor_end"]), (cursor - word, cursor), code)
        return reply

    def test_inserts_names_alone(self):
        self.assertEqual(self.expect("net.load_w|", "load_weights")["matches"], ["load_weights"])
        self.assertEqual(self.expect("prune_la|", "prune_layers")["matches"], ["prune_layers"])
        self.expect("Tens|", "Tensor")
        self.expect("String::from_utf|", "from_utf8")

    def test_in_any_place_of_a_line(self):
        for code in (
            "let a = net.load_w| + 1;",
            "percent(net.load_w|)",
            "let a = (1, net.load_w|, 3);",
            "let first = 1;\nnet.load_w|\nlet last = 2;",
            'let ä = "🦀"; net.load_w|;',
            "if true { net.load_w| }",
        ):
            self.expect(code, "load_weights")

    def test_of_variables_of_earlier_cells_and_of_this_one(self):
        self.expect("longish_n|", "longish_name")
        self.expect("let another_long_name = 1; another_l|", "another_long_name")

    def test_of_everything_behind_a_dot(self):
        self.assertLessEqual({"load_weights", "clone"}, set(self.expect("net.|", "load_weights")["matches"]))

    def test_says_types_and_signatures_beside_the_names(self):
        reply = self.expect("net.load_w|", "load_weights")
        (entry,) = reply["metadata"]["_jupyter_types_experimental"]
        self.assertEqual((entry["text"], entry["start"], entry["end"]), ("load_weights", 4, 10))
        self.assertIn(entry["type"], ("function", "method"))
        self.assertIn("path", entry["signature"])
        matches = self.kernel.complete("net.|")
        texts = [entry["text"] for entry in matches["metadata"]["_jupyter_types_experimental"]]
        self.assertEqual(texts, matches["matches"])

    def test_of_what_is_not_there(self):
        reply = self.kernel.complete("zzzzqqqq|")
        self.assertEqual((reply["status"], reply["matches"]), ("ok", []))
        self.assertEqual(self.kernel.complete("|")["status"], "ok")

    def test_while_a_cell_runs(self):
        request = self.kernel.send_cell('println!("runs"); std::thread::sleep(std::time::Duration::from_secs(10));')
        self.kernel.wait_for_text(request, "runs")
        questions = [self.kernel.send_complete("net.load_w|"), self.kernel.send_inspect("prune_layers|(")]
        self.kernel.listen(lambda: all(question.reply_message for question in questions), "the answers", 20)
        self.assertIsNone(request.reply_message, "the answers came after the cell's end")
        self.assertLess(max(question.seconds for question in questions), 5)
        self.assertEqual(questions[0].reply["matches"], ["load_weights"])
        self.assertTrue(questions[1].reply["found"])
        self.kernel.wait(request, *questions)
        self.assertEqual(request.kinds, ["stdout"])


class Inspection(KernelTest):
    def text(self, code):
        reply = self.kernel.inspect(code)
        self.assertEqual((reply["status"], reply["found"]), ("ok", True), code)
        return reply["data"]["text/plain"]

    def test_anywhere_in_a_name(self):
        for code in (
            "|prune_layers()",
            "prune|_layers()",
            "prune_layers|()",
            "prune_layers(|)",
            "let a = 1; prune_lay|ers(a);",
        ):
            text = self.text(code)
            self.assertIn("prunable layer", text, code)
            self.assertIn("fn prune_layers", text, code)

    def test_behind_an_argument(self):
        self.run_cell("let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;")
        for code in (
            "prune_layers(&net|",
            "prune_layers(&net, |)",
            "prune_layers(&net, 0.5|",
            "let s = prune_layers(&net, 0.|);",
        ):
            self.assertRegex(self.text(code), "prune_layers|Model", code)
        self.assertIn("prunable layer", self.text("prune_layers(&net, |"))

    def test_of_the_standard_library(self):
        self.assertIn("capacity", self.text("Vec::<u32>::with_capa|city(5)"))

    def test_of_a_variable(self):
        self.run_cell("let longish_name = vec![5u32];")
        self.assertIn("Vec<u32>", self.text("longish|_name.len()"))

    def test_in_a_later_line_beyond_ascii(self):
        self.assertIn("prunable layer", self.text('let ä = "🦀";\nprune_|layers();'))

    def test_of_a_function_of_an_earlier_cell(self):
        self.run_cell("/// Makes three of one.\nfn tripled(x: u32) -> u32 { 3 * x }")
        self.assertIn("three of one", self.text("trip|led(2)"))

    def test_of_nothing(self):
        for code in ("|", "unknown_nam|e()", "let a = 1; | "):
            reply = self.kernel.inspect(code)
            self.assertEqual((reply["status"], reply["found"], reply["data"]), ("ok", False, {}), code)


class IsComplete(KernelTest):
    def expect(self, status, *codes):
        for code in codes:
            self.assertEqual(self.kernel.ask("is_complete_request", {"code": code})["status"], status, code)

    def test_complete(self):
        self.expect(
            "complete", "", "1", "let a = 1;", "fn f() { 1 }", "f(\n)", "// remark", 'let s = "}{";', "let c = '{';"
        )
        self.expect("complete", ":vars", ':dep own = "1"', "#[derive(Debug)]\nstruct A;", 'let r = r#"""#;')

    def test_incomplete(self):
        self.expect(
            "incomplete",
            "fn f() {",
            "let a = (1,",
            "let a = [",
            'let s = "half',
            "/* half",
            "if true {\n    1\n} else {",
        )
        self.expect("incomplete", "#[derive(Debug)]", "let a =", "1 +", "list.iter()\n    .map(")

    def test_invalid(self):
        self.expect("invalid", "let x = ;", "fn f() { ) }", "}", ")", "let = 5;")

    def test_says_how_far_to_indent(self):
        for code, indent in (
            ("fn f() {", 4),
            ("fn f() {\n    if true {", 8),
            ("let a = vec![", 4),
            ("fn f() {\n    1;", 4),
        ):
            reply = self.kernel.ask("is_complete_request", {"code": code})
            self.assertEqual(reply, {"status": "incomplete", "indent": " " * indent}, code)


class History(KernelTest):
    CELLS = ("let first = 1;", "let second = 2;", "first + second", "let first = 1;")

    def setUp(self):
        """A session of each test's own."""
        self.kernel.restart()
        for code in self.CELLS:
            self.run_cell(code)

    def ask(self, access, **content):
        content = {"output": False, "raw": True, "hist_access_type": access, **content}
        reply = self.kernel.ask("history_request", content)
        self.assertEqual(reply["status"], "ok")
        return reply["history"]

    def test_tail(self):
        tail = self.ask("tail", n=3)
        self.assertEqual([entry[1:] for entry in tail], [[n + 1, self.CELLS[n]] for n in (1, 2, 3)])
        self.assertEqual(len({entry[0] for entry in tail}), 1)

    def test_range(self):
        session = self.ask("tail", n=1)[0][0]
        two = self.ask("range", session=session, start=2, stop=4)
        self.assertEqual(two, [[session, 2, self.CELLS[1]], [session, 3, self.CELLS[2]]])
        self.assertEqual(self.ask("range", session=0, start=2, stop=4), two)

    def test_search(self):
        self.assertEqual(
            [entry[2] for entry in self.ask("search", pattern="let*", n=10)], [self.CELLS[n] for n in (0, 1, 3)]
        )
        self.assertEqual([entry[1] for entry in self.ask("search", pattern="let f?rst*", n=10)], [1, 4])
        self.assertEqual(len(self.ask("search", pattern="let first*", unique=True, n=10)), 1)
        self.assertEqual([entry[1] for entry in self.ask("search", pattern="let*", n=1)], [4])
        self.assertEqual(self.ask("search", pattern="nothing like it", n=10), [])

    def test_with_outputs(self):
        self.assertEqual(self.ask("tail", n=2, output=True)[0][2], ["first + second", "3"])

    def test_has_failed_cells_and_no_silent_ones(self):
        self.fails("let wrong: u32 = true;")
        self.run_cell("let unseen = 1;", silent=True)
        self.assertEqual(self.ask("tail", n=1)[0][2], "let wrong: u32 = true;")


class WhoItIs(KernelTest):
    def test_kernel_info(self):
        info = self.kernel.ask("kernel_info_request", {})
        version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        self.assertEqual(info["status"], "ok")
        self.assertRegex(info["protocol_version"], r"^5\.\d+$")
        self.assertTrue(info["implementation"])
        self.assertRegex(info["implementation_version"], r"^\d+\.\d+")
        self.assertIn("Rust", info["banner"])
        language = info["language_info"]
        self.assertEqual((language["name"], language["version"], language["file_extension"]), ("rust", version, ".rs"))
        self.assertEqual(language["pygments_lexer"], "rust")
        self.assertIn(language["mimetype"], ("text/rust", "text/x-rust", "text/x-rustsrc"))
        self.assertIn(language["codemirror_mode"], ("rust", {"name": "rust"}))
        self.assertTrue(info["help_links"])
        for link in info["help_links"]:
            self.assertTrue(link["text"] and link["url"].startswith("https://"), link)

    def test_kernel_info_is_told_on_the_control_channel_while_a_cell_runs(self):
        request = self.kernel.send_cell('println!("runs"); std::thread::sleep(std::time::Duration::from_secs(4));')
        self.kernel.wait_for_text(request, "runs")
        info = self.kernel.send("kernel_info_request", {}, "control")
        self.kernel.listen(lambda: info.reply_message, "the answer", 3)
        self.assertIsNone(request.reply_message)
        self.kernel.wait(request, info)

    def test_there_are_no_comms(self):
        self.assertEqual(self.kernel.ask("comm_info_request", {}), {"status": "ok", "comms": {}})
        content = {"target_name": "jupyter.widget"}
        self.assertEqual(self.kernel.ask("comm_info_request", content), {"status": "ok", "comms": {}})

    def test_an_unknown_comm_is_closed(self):
        request = self.kernel.send("comm_open", {"comm_id": "a-comm", "target_name": "unknown", "data": {}})
        self.kernel.listen(lambda: request.state == "idle", "the comm is closed", 10)
        self.assertEqual([message.kind for message in request.outputs], ["comm_close"])
        self.assertEqual(request.outputs[0].content["comm_id"], "a-comm")
        # What is said to a comm that is not there is let pass.
        for kind in ("comm_msg", "comm_close"):
            said = self.kernel.send(kind, {"comm_id": "a-comm", "data": {}})
            self.kernel.listen(lambda said=said: said.state == "idle", kind, 10)
            self.assertIsNone(said.reply_message)

    def test_what_it_does_not_know_does_no_harm(self):
        self.kernel.send("unheard_of_request", {"a": 1})
        self.kernel.send("complete_request", {"code": "no cursor"})
        self.kernel.send("execute_request", {"no": "code"})
        self.kernel.listen_for(1)
        self.assertEqual(self.run_cell("1 + 1").result["text/plain"], "2")
        self.kernel.requests.clear()

    def test_the_heart_beats_while_a_cell_runs(self):
        heart = self.kernel.channels.hb_channel
        request = self.kernel.send_cell('println!("runs"); std::thread::sleep(std::time::Duration::from_secs(4));')
        self.kernel.wait_for_text(request, "runs")
        heart.unpause()
        self.kernel.listen_for(2)
        self.assertTrue(until(heart.is_beating, "the heart beats"))
        self.assertFalse(request.ended)
        self.kernel.wait(request)
