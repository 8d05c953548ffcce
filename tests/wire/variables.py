"""What lives on from cell to cell: variables, types, functions, crates."""

from session import KernelTest


class Definitions(KernelTest):
    """Cells that are executed again, unchanged or changed: the new code is in use, for older values too."""

    def test_an_impl(self):
        self.run_cell("#[derive(Clone, Debug)]\nstruct Counter { n: u32 }")
        code = "impl Counter { fn next(&mut self) -> u32 { self.n += 1; self.n } }"
        for _ in range(2):
            self.run_cell(code)
        self.run_cell("let mut counter = Counter { n: 0 };")
        self.assertEqual(self.printed("counter.next()"), "1")
        self.run_cell(code.replace("+= 1", "+= 10"))
        self.assertEqual(self.printed("counter.next()"), "11")
        self.assertEqual(self.printed("Counter { n: 5 }.next()"), "15")

    def test_several_impls_of_one_type(self):
        self.run_cell("struct Pair(u32, u32);")
        first = "impl Pair { fn first(&self) -> u32 { self.0 } }"
        second = "impl Pair { fn second(&self) -> u32 { self.1 } }"
        for code in (first, second, second, first, second.replace("self.1", "2 * self.1")):
            self.run_cell(code)
        self.assertEqual(self.printed("Pair(1, 2).first() * 10 + Pair(1, 2).second()"), "14")

    def test_an_impl_of_a_trait(self):
        self.run_cell("struct Celsius(f64);")
        code = """\
impl std::fmt::Display for Celsius {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, "{} °C", self.0) }
}"""
        for _ in range(2):
            self.run_cell(code)
        self.assertEqual(self.printed("Celsius(20.5)"), "20.5 °C")
        self.run_cell(code.replace(" °C", " degrees"))
        self.assertEqual(self.printed("Celsius(20.5)"), "20.5 degrees")

    def test_an_impl_of_a_trait_with_parameters(self):
        self.run_cell("#[derive(Debug)]\nstruct Metres(f64);")
        for number in (1, 2, 2):
            self.run_cell(
                f"impl From<u32> for Metres {{ fn from(n: u32) -> Self {{ Metres({number}.0 * f64::from(n)) }} }}"
            )
            self.run_cell("impl From<f32> for Metres { fn from(n: f32) -> Self { Metres(n.into()) } }")
        self.assertEqual(
            self.run_cell("(Metres::from(3u32), Metres::from(3f32))").result["text/plain"], "(Metres(6.0), Metres(3.0))"
        )

    def test_a_struct_with_its_impl_in_one_cell(self):
        code = "struct Both; impl Both { fn value(&self) -> u32 { 1 } }"
        self.run_cell(code)
        self.run_cell(code)
        self.run_cell(code.replace("{ 1 }", "{ 2 }"))
        self.assertEqual(self.printed("Both.value()"), "2")

    def test_a_function(self):
        self.run_cell("fn inner() -> u32 { 1 }")
        self.run_cell("fn outer() -> u32 { 10 * inner() }")
        self.assertEqual(self.printed("outer()"), "10")
        self.run_cell("fn inner() -> u32 { 2 }")
        self.assertEqual(self.printed("outer()"), "20")
        self.run_cell("fn inner() -> u32 { 2 }")
        self.assertEqual(self.printed("outer()"), "20")

    def test_a_use_a_constant_and_a_macro(self):
        for _ in range(2):
            self.run_cell(
                "use std::collections::HashSet;\nconst SIZE: usize = 3;\nmacro_rules! twice { ($x:expr) => { 2 * $x } }"
            )
        self.assertEqual(self.printed("twice!(SIZE) + HashSet::<u8>::new().len()"), "6")
        self.run_cell("const SIZE: usize = 4;")
        self.assertEqual(self.printed("twice!(SIZE)"), "8")

    def test_an_impl_that_fails_leaves_the_old_one(self):
        self.run_cell("struct Kept; impl Kept { fn value(&self) -> u32 { 1 } }")
        self.fails("impl Kept { fn value(&self) -> u32 { true } }")
        self.assertEqual(self.printed("Kept.value()"), "1")

    def test_a_changed_struct_and_then_a_variable_of_it(self):
        self.run_cell("#[derive(Debug)]\nstruct Point { x: f32 }")
        self.run_cell("let old = Point { x: 1.0 };\nlet beside = 5;")
        self.run_cell("#[derive(Debug)]\nstruct Point { x: f32, y: f32 }")
        self.run_cell("let point = Point { x: 1.0, y: 2.0 };")
        self.assertEqual(self.run_cell("point").result["text/plain"], "Point { x: 1.0, y: 2.0 }")
        self.assertEqual(self.printed("beside"), "5")

    def test_an_unchanged_struct_keeps_its_variables(self):
        struct = "#[derive(Debug)]\nstruct Same { x: f32 }"
        self.run_cell(struct)
        self.run_cell("let same = Same { x: 1.0 };")
        self.run_cell(struct)
        self.assertEqual(self.printed("same.x"), "1")


class Variables(KernelTest):
    def test_change(self):
        self.run_cell("let mut total = 0;")
        for _ in range(3):
            self.run_cell("total += 2;")
        self.assertEqual(self.printed("total"), "6")

    def test_take_another_type(self):
        self.run_cell("let thing = 1;")
        self.run_cell('let thing = "text".to_owned();')
        self.assertEqual(self.printed("thing"), "text")

    def test_are_moved_once(self):
        self.run_cell("let list = vec![1];")
        self.run_cell("drop(list);")
        self.assertIn("list", self.fails("list.len()").traceback)

    def test_of_types_that_are_long_to_name(self):
        self.run_cell("let map: std::collections::BTreeMap<String, Vec<Option<(u8, f64)>>> = Default::default();")
        self.run_cell("let boxed: Box<dyn Fn(u32) -> u32 + Send> = Box::new(|x| x + 1);")
        self.assertEqual(self.printed("boxed(map.len() as u32)"), "1")

    def test_of_candles_builder(self):
        self.run_cell("let map = candle_nn::VarMap::new();")
        self.run_cell("let builder = candle_nn::VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);")
        self.run_cell('let layer = candle_nn::linear(2, 3, builder.pp("layer"))?;')
        self.assertEqual(self.printed("layer.weight().dims().len() + map.all_vars().len()"), "4")

    def test_of_random_generators(self):
        self.run_cell("let mut random = ChaCha8Rng::seed_from_u64(1);")
        self.run_cell("let first: f32 = random.random();")
        self.run_cell("let mut random = ChaCha8Rng::seed_from_u64(1);")
        self.assertEqual(self.printed("first == random.random::<f32>()"), "true")

    def test_gradients_are_right_across_cells(self):
        """With candle linked into each cell, w and x would be the same tensor, and the gradient of w [11, 22, 33]."""
        self.run_cell("let w = Var::new(&[1f64, 2.0, 3.0], &Device::Cpu)?;")
        self.run_cell("let x = Tensor::new(&[10f64, 20.0, 30.0], &Device::Cpu)?;")
        self.run_cell("let gradients = (w.as_tensor() * &x)?.sum_all()?.backward()?;")
        result = self.run_cell("gradients.get(&w).unwrap().to_vec1::<f64>()?").result
        self.assertEqual(result["text/plain"], "[10.0, 20.0, 30.0]")


class Crates(KernelTest):
    """`:dep` in a cell; of a folder, as there may be no network."""

    def setUp(self):
        super().setUp()
        own = self.scratch / "own"
        (own / "src").mkdir(parents=True, exist_ok=True)
        (own / "Cargo.toml").write_text('[package]\nname = "own"\nversion = "0.1.0"\n')
        (own / "src/lib.rs").write_text("#[derive(Debug)]\npub struct Seven;\npub fn seven() -> u32 { 7 }\n")

    DEP = ':dep own = { path = "own" }'

    def test_are_used_in_the_same_cell(self):
        self.assertEqual(self.run_cell(f'{self.DEP}\nprintln!("{{}}", own::seven());').stdout, "7\n")
        self.run_cell("let seven = own::Seven;")
        self.assertEqual(self.run_cell("seven").result["text/plain"], "Seven")

    def test_leave_the_variables(self):
        self.run_cell("#[derive(Debug)]\nstruct Mine { x: u32 }")
        self.run_cell("let mine = Mine { x: 3 }; let list = vec![Mine { x: 4 }]; let number = 5;")
        self.run_cell("let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;")
        request = self.run_cell(self.DEP)
        self.assertNotIn("lost", request.stdout + request.stderr)
        self.assertEqual(self.run_cell("(mine, list.len(), number)").result["text/plain"], "(Mine { x: 3 }, 1, 5)")
        self.run_cell("&net;")

    def test_that_are_not_there(self):
        self.run_cell("let kept = 1;")
        self.fails(':dep nowhere = { path = "nowhere" }\nnowhere::f()')
        self.assertEqual(self.printed("kept"), "1")

    def test_candle_is_the_helpers_own(self):
        self.run_cell("let w = Var::new(&[1f64, 2.0, 3.0], &Device::Cpu)?;")
        request = self.run_cell("""\
:dep candle-core = "0.11.1"
use candle_core::Tensor as Own;
let x: Own = Own::new(&[10f64, 20.0, 30.0], &Device::Cpu)?;
let gradients = (w.as_tensor() * &x)?.sum_all()?.backward()?;
gradients.get(&w).unwrap().to_vec1::<f64>()?""")
        self.assertEqual(request.result["text/plain"], "[10.0, 20.0, 30.0]")

    def test_another_candle_is_refused(self):
        request = self.fails(':dep candle-core = "0.9.0"')
        self.assertIn("candle", request.error["evalue"])
        self.assertEqual(self.printed("1 + 1"), "2")


class TheTable(KernelTest):
    """`:vars` shows what is there."""

    PREPARATION = """\
let tensor = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
let numbers = vec![1u64; 5];
let word = "hello".to_owned();
let flag = true;"""

    def test_has_name_type_length_and_size_of_each_variable(self):
        (output,) = self.run_cell(":vars").outputs
        text = output.content["data"]["text/plain"]
        lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
        for name, parts in {
            "tensor": (r"\bTensor\b", r"\[2, 3\]", r"\b\d+ ?(B|bytes)"),
            "numbers": (r"Vec<u64>", r"\b5\b", r"\b\d+ ?(B|bytes)"),
            "word": ("String", r"\b5\b", r"\b\d+ ?(B|bytes)"),
            "flag": ("bool", r"\b1 ?(B|byte)"),
        }.items():
            for part in parts:
                self.assertRegex(lines[name], part)
        rich = {"text/html", "text/markdown"} & set(output.content["data"])
        self.assertTrue(rich, output.content["data"].keys())

    def test_shows_no_variable_of_the_kernels_own(self):
        text = self.run_cell(":vars").outputs[0].content["data"]["text/plain"]
        self.assertNotIn("_started", text)

    def test_follows_what_happens(self):
        self.run_cell("let short_lived = 1u8;")
        self.assertIn("short_lived", str(self.run_cell(":vars").outputs[0].content))
        self.run_cell("let moved = vec![1u16];")
        self.run_cell("drop(moved);")
        text = self.run_cell(":vars").outputs[0].content["data"]["text/plain"]
        self.assertNotIn("moved", text)
        self.assertIn("numbers", text)
