"""The stop button: once for what listens, twice for the rest."""

import time

from jupyter_client.kernelspec import KernelSpecManager
from session import KernelTest, slow_to_compile

ENDLESS = 'println!("endless"); loop { std::hint::black_box(0); }'
TRAINING = """\
println!("training");
let config = TrainConfig { epochs: 10_000, log_every_epochs: 0, ..Default::default() };
let history = train(&net, &data, &config)?;
let second = train(&net, &data, &config);"""


class Stopping(KernelTest):
    PREPARATION = """\
let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;
let data = Cifar10::load_first(256, 100)?;
fn tripled(x: u32) -> u32 { 3 * x }
use std::collections::BTreeMap;"""

    def setUp(self):
        super().setUp()
        # The test before may have ended the process that holds the variables.
        if self.kernel.run("&net;").status != "ok":
            self.run_cell(self.PREPARATION)

    def stop(self, code, text, presses=1):
        """Presses the button when the cell has printed its first line, again half a second later."""
        request = self.kernel.send_cell(code)
        self.kernel.wait_for_text(request, text)
        for _ in range(presses):
            self.kernel.listen_for(0.5)
            self.kernel.press_stop()
        pressed = time.monotonic()
        self.kernel.wait(request, seconds=20)
        self.seconds = request.reply_message.time - pressed
        return request

    def expect_lost(self, request):
        self.expect_failure(request)
        self.assertIn("lost", request.traceback)
        # Functions, imports and the helpers are there again.
        after = self.run_cell('println!("{} {:?}", tripled(2), BTreeMap::<u8, u8>::new()); percent(0.25)')
        self.assertEqual((after.stdout, after.result["text/plain"]), ("6 {}\n", '"25.00 %"'))

    def test_comes_as_a_message(self):
        self.assertEqual(KernelSpecManager().get_kernel_spec("rust").interrupt_mode, "message")

    def test_once_ends_a_training_and_keeps_the_variables(self):
        request = self.stop(TRAINING, "training")
        self.assertEqual(request.status, "ok", request)
        self.assertLess(self.seconds, 5)
        after = self.run_cell('println!("{:?} {:?}", history.note, second.map(|_| ()));')
        self.assertIn("stopped after epoch", after.stdout)
        # One press ends all trainings of the cell.
        self.assertIn("no further training starts in this cell", after.stdout)
        self.run_cell("test(&net, &data)?")

    def test_drops_the_queue(self):
        request = self.kernel.send_cell(TRAINING)
        queued = [self.kernel.send_cell(f'println!("queued {number}");') for number in range(3)]
        self.kernel.wait_for_text(request, "training")
        self.kernel.press_stop()
        self.kernel.wait(request, *queued, seconds=20)
        self.assertEqual([cell.status for cell in queued], ["aborted"] * 3)
        self.assertEqual([cell.outputs + cell.of_kind("execute_input") for cell in queued], [[]] * 3)
        self.assertEqual(self.run_cell('println!("next");').stdout, "next\n")

    def test_once_ends_a_test_with_an_error(self):
        request = self.stop('println!("testing"); loop { test(&net, &data)?; }', "testing")
        self.expect_failure(request)
        self.assertIn("images were tested", request.error["evalue"])
        self.run_cell("&net;")

    def test_once_ends_a_loop_that_listens(self):
        pause = "std::thread::sleep(std::time::Duration::from_millis(20));"
        loop = (
            f'println!("loop"); let mut turns = 0; while !stop_requested() {{ turns += 1; {pause} }} println!("out");'
        )
        request = self.stop(loop, "loop")
        self.assertEqual((request.status, request.stdout), ("ok", "loop\nout\n"))
        self.assertLess(self.seconds, 2)
        self.assertGreater(int(self.printed("turns")), 1)
        # The next cell starts afresh.
        self.assertEqual(self.printed("stop_requested()"), "false")

    def test_twice_ends_the_rest_and_says_what_is_lost(self):
        request = self.stop(ENDLESS, "endless", presses=2)
        self.assertLess(self.seconds, 5)
        self.assertEqual(request.stdout, "endless\n")
        self.expect_lost(request)

    def test_twice_ends_a_cell_that_sleeps(self):
        request = self.stop('println!("sleeps"); std::thread::sleep(std::time::Duration::MAX);', "sleeps", presses=2)
        self.expect_lost(request)

    def test_panics_and_errors_are_still_short_after_the_second_press(self):
        self.expect_lost(self.stop(ENDLESS, "endless", presses=2))
        request = self.fails('panic!("short");')
        self.assertEqual(request.kinds, ["error"])
        self.assertEqual(request.traceback.count("short"), 1 + request.traceback.count('panic!("short")'))
        self.assertNotIn("RUST_BACKTRACE", request.traceback)
        self.assertEqual(self.fails('load_state_dict("no such file.pt")?;').kinds, ["error"])

    def test_the_queue_is_dropped_by_the_second_press_too(self):
        request = self.kernel.send_cell(ENDLESS)
        queued = self.kernel.send_cell('println!("queued");')
        self.kernel.wait_for_text(request, "endless")
        self.kernel.press_stop()
        self.kernel.listen_for(0.5)
        self.kernel.press_stop()
        self.kernel.wait(request, queued, seconds=20)
        self.assertEqual(queued.status, "aborted")
        self.expect_lost(request)

    def test_two_presses_far_apart_are_two_first_ones(self):
        request = self.kernel.send_cell('println!("waits"); std::thread::sleep(std::time::Duration::from_secs(16));')
        self.kernel.wait_for_text(request, "waits")
        for pause in [11, 1]:
            self.kernel.press_stop()
            self.kernel.listen_for(pause)
        self.kernel.wait(request, seconds=20)
        self.assertEqual(request.status, "ok")
        self.run_cell("&net;")

    def test_does_nothing_while_nothing_runs(self):
        self.kernel.press_stop()
        self.kernel.listen_for(0.2)
        self.kernel.press_stop()
        self.kernel.press_stop()
        self.assertEqual(self.printed("stop_requested()"), "false")
        self.run_cell("&net;")

    def test_while_a_cell_compiles(self):
        request = self.kernel.send_cell(f'println!("it runs");\n{slow_to_compile()}')
        self.kernel.listen(lambda: request.state == "busy", "the compilation begins")
        self.kernel.listen_for(0.7)
        self.assertFalse(request.ended, "the cell compiles too fast for this test")
        self.kernel.press_stop()
        pressed = time.monotonic()
        self.kernel.wait(request, seconds=20)
        self.assertLess(request.reply_message.time - pressed, 5)
        self.expect_failure(request)
        self.assertEqual(request.stdout, "")
        self.run_cell("&net;")
