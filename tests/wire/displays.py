"""Figures, tables, values: in order, in place, in several forms."""

from session import KernelTest


class Displays(KernelTest):
    def test_one(self):
        request = self.run_cell('display(&markdown("**x**"));')
        self.assertEqual(request.kinds, ["display_data"])
        self.assertEqual(request.displays, [{"text/markdown": "**x**", "text/plain": "**x**"}])

    def test_several_in_order_with_text_between_and_the_value_last(self):
        request = self.run_cell("""\
println!("one");
display(&markdown("*a*"));
println!("two");
display(&plot_loss(&[1.0, 0.1, 0.01]).draw()?);
print!("three");
display(&Table::new(["bits", "accuracy"]).row((4, percent(0.9))));
display(&markdown("*b*"));
markdown("*value*")""")
        texts, figures = ["stdout", "display_data"], request.displays
        self.assertEqual(request.kinds, [*texts, *texts, *texts, "display_data", "execute_result"])
        self.assertEqual([content["text"] for content in request.of_kind("stream")], ["one\n", "two\n", "three"])
        self.assertEqual(figures[0]["text/markdown"], "*a*")
        self.assertTrue(self.is_png(figures[1]["image/png"]))
        self.assertIn("accuracy", figures[2]["text/markdown"])
        self.assertEqual(figures[3]["text/markdown"], "*b*")
        self.assertEqual(request.result["text/markdown"], "*value*")

    def test_as_many_as_wanted(self):
        request = self.run_cell('for number in 0..50 { display(&markdown(number)); println!("{number}"); }')
        self.assertEqual(request.kinds, ["display_data", "stdout"] * 50)
        self.assertEqual([data["text/plain"] for data in request.displays], [str(number) for number in range(50)])
        self.assertEqual(request.stdout, "".join(f"{number}\n" for number in range(50)))

    def test_at_the_end_of_a_cell_without_a_semicolon(self):
        request = self.run_cell('display(&markdown("*a*"))')
        self.assertEqual(request.displays, [{"text/markdown": "*a*", "text/plain": "*a*"}])
        self.assertNotIn("DisplayHandle", str(request.outputs))

    def test_a_type_that_shows_itself(self):
        self.run_cell("""\
struct Temperature(f64);
impl Show for Temperature {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(format!("{} °C", self.0)).html(format!("<b>{} °C</b>", self.0))
    }
}""")
        forms = {"text/plain": "20.5 °C", "text/html": "<b>20.5 °C</b>"}
        self.assertEqual(self.run_cell("display(&Temperature(20.5));").displays, [forms])
        self.assertEqual(self.run_cell("Temperature(20.5)").result, forms)

    def test_text_that_looks_like_the_end_of_a_block(self):
        request = self.run_cell(r'display(&markdown("a\nEVCXR_END_CONTENT\nb")); println!("behind");')
        self.assertEqual(request.displays[0]["text/markdown"], "a\nEVCXR_END_CONTENT\nb")
        self.assertEqual(request.stdout, "behind\n")


class EvcxrsBlocks(KernelTest):
    """How other crates show things."""

    def test_each_is_a_display_where_it_is_printed(self):
        block = r"EVCXR_BEGIN_CONTENT text/html\n<b>{}</b>\nEVCXR_END_CONTENT\n"
        request = self.run_cell(f'print!("one\\n{block}two\\n{block}", 1, 2); print!("three{block}", 3);')
        self.assertEqual(request.kinds, ["stdout", "display_data"] * 3)
        self.assertEqual(request.stdout, "one\ntwo\nthree")
        self.assertEqual([data["text/html"].strip() for data in request.displays], [f"<b>{n}</b>" for n in (1, 2, 3)])

    def test_a_value_shows_itself_by_its_method(self):
        self.run_cell(r"""
struct Fancy;
impl Fancy {
    pub fn evcxr_display(&self) { println!("EVCXR_BEGIN_CONTENT text/html\n<i>fancy</i>\nEVCXR_END_CONTENT"); }
}""")
        request = self.run_cell("Fancy")
        self.assertEqual(request.kinds, ["execute_result"])
        self.assertEqual(request.result["text/html"].strip(), "<i>fancy</i>")

    def test_json_is_not_text(self):
        block = r"EVCXR_BEGIN_CONTENT application/json\n{{\"a\": [1]}}\nEVCXR_END_CONTENT"
        self.assertEqual(self.run_cell(f'println!("{block}");').displays, [{"application/json": {"a": [1]}}])


class Values(KernelTest):
    """The value of a cell's last expression, and only that, is its result."""

    def test_a_number(self):
        request = self.run_cell("let x = 3; x + 1")
        self.assertEqual(request.kinds, ["execute_result"])
        self.assertEqual(request.result, {"text/plain": "4"})

    def test_a_text_as_rust_writes_it(self):
        self.assertEqual(self.run_cell('"a\\n"').result["text/plain"], '"a\\n"')

    def test_what_it_prints_beside(self):
        request = self.run_cell('fn speaking() -> u32 { println!("aside"); 5 }\nspeaking()')
        self.assertEqual(request.kinds, ["stdout", "execute_result"])

    def test_none_of_a_statement(self):
        for code in (
            "1 + 1;",
            "let a = 1;",
            "()",
            "std::hint::black_box(());",
            "fn f() {}",
            "if true { }",
            "for _ in 0..2 {}",
        ):
            self.assertEqual(self.run_cell(code).kinds, [], code)

    def test_of_a_block_and_a_match(self):
        self.assertEqual(self.run_cell("if true { 1 } else { 2 }").result["text/plain"], "1")
        self.assertEqual(self.run_cell("match 2 { 1 => 'a', _ => 'b' }").result["text/plain"], "'b'")

    def test_with_a_remark_behind_it(self):
        self.assertEqual(self.run_cell("5 // five").result["text/plain"], "5")
        self.assertEqual(self.run_cell("6\n// six\n").result["text/plain"], "6")

    def test_a_variable_stays(self):
        self.run_cell("let list = vec![1, 2];")
        self.assertEqual(self.run_cell("list").result["text/plain"], "[1, 2]")
        self.assertEqual(self.run_cell("&list").result["text/plain"], "[1, 2]")
        self.assertEqual(self.printed("list.len()"), "2")

    def test_a_figure(self):
        request = self.run_cell("plot_loss(&[1.0, 0.1, 0.01]).draw()?")
        self.assertEqual(request.kinds, ["execute_result"])
        self.assertTrue(self.is_png(request.result["image/png"]))

    def test_without_debug(self):
        self.run_cell("struct Silent;")
        self.assertIn("Silent", self.run_cell("Silent").result["text/plain"])

    def test_that_would_choke_a_notebook(self):
        text = self.run_cell("(0..10_000_000).collect::<Vec<u32>>()").result["text/plain"]
        self.assertTrue(text.startswith("[0, 1, 2"))
        self.assertLess(len(text), 20_000)
        self.assertIn("characters", text[-200:])

    def test_a_network_shows_its_layers_after_training_too(self):
        self.run_cell("""\
let net = resnet_cifar(ResNetConfig { num_layers: 8, ..Default::default() })?.build(0, &Device::Cpu)?;
let data = Cifar10::load_first(256, 100)?;
train(&net, &data, &TrainConfig { epochs: 1, ..Default::default() })?;""")
        for value in ("net", "&net"):
            text = self.run_cell(value).result["text/plain"]
            self.assertLess(len(text), 20_000)
            self.assertIn("head_conv", text)
        self.assertLess(len(self.run_cell("data.train").result["text/plain"]), 20_000)

    def test_a_tensor_shows_its_values(self):
        text = self.run_cell("Tensor::new(&[[1f32, 2.0], [3.0, 4.5]], &Device::Cpu)?").result["text/plain"]
        self.assertIn("4.5000", text)


class LiveOutputs(KernelTest):
    PAUSE = "std::thread::sleep(std::time::Duration::from_millis(500));"

    def test_a_display_is_updated_in_place_while_the_cell_runs(self):
        request = self.run_cell(f"""\
let shown = display(&markdown("0 of 3"));
for number in 1..=3 {{
    {self.PAUSE}
    shown.update(&markdown(format!("{{number}} of 3")));
}}""")
        self.assertEqual(request.kinds, ["display_data"] + ["update_display_data"] * 3)
        (place,) = {content["transient"]["display_id"] for content in (m.content for m in request.outputs)}
        self.assertTrue(place)
        self.assertEqual([m.content["data"]["text/plain"] for m in request.outputs], [f"{n} of 3" for n in range(4)])
        times = [message.time for message in request.outputs]
        for earlier, later in zip(times, times[1:], strict=False):
            self.assertGreater(later - earlier, 0.2)
        later = self.run_cell('shown.update(&markdown("later"));')
        self.assertEqual(later.kinds, ["update_display_data"])
        self.assertEqual(later.outputs[0].content["transient"]["display_id"], place)

    def test_each_display_has_a_place_of_its_own(self):
        request = self.run_cell(
            'let a = display(&markdown("a")); let b = display(&markdown("b")); a.update(&markdown("c"));'
        )
        first, second, update = (message.content["transient"]["display_id"] for message in request.outputs)
        self.assertNotEqual(first, second)
        self.assertEqual(update, first)

    def test_a_figure_that_grows(self):
        request = self.run_cell("""\
let figure = display(&plot_loss(&[1.0]).draw()?);
figure.update(&plot_loss(&[1.0, 0.1]).draw()?);""")
        self.assertEqual(request.kinds, ["display_data", "update_display_data"])
        pictures = [message.content["data"]["image/png"] for message in request.outputs]
        self.assertTrue(all(map(self.is_png, pictures)))
        self.assertNotEqual(*pictures)

    def test_outputs_are_cleared(self):
        request = self.run_cell('println!("a"); clear_output(false); println!("b"); clear_output(true); println!("c");')
        self.assertEqual(request.kinds, ["stdout", "clear_output", "stdout", "clear_output", "stdout"])
        self.assertEqual([content["wait"] for content in request.of_kind("clear_output")], [False, True])
        self.assertEqual([content["text"] for content in request.of_kind("stream")], ["a\n", "b\n", "c\n"])

    def test_a_training_is_not_silent_within_an_epoch(self):
        self.run_cell("""\
let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;
let data = Cifar10::load()?;""")
        request = self.kernel.send_cell("train(&net, &data, &TrainConfig { epochs: 1, ..Default::default() })?;")
        self.kernel.listen(lambda: len(request.outputs) >= 3 or request.ended, "the training says something", 30)
        self.assertFalse(request.ended, f"nothing but its end: {request}")
        self.kernel.press_stop()
        self.kernel.wait(request)
        self.assertEqual(request.status, "ok", request)
        # What moves is one output in the saved notebook.
        self.assertLessEqual(len(request.displays), 2)
