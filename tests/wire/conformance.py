"""Jupyter's own tests of a kernel."""

from jupyter_kernel_test import KernelTests

FIGURE = "plot_loss(&[1.0, 0.1, 0.01]).draw()?"


class Conformance(KernelTests):
    kernel_name = "rust"
    language_name = "rust"
    file_extension = ".rs"
    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("an error");'
    completion_samples = [
        {"text": "prune_la", "matches": ["prune_layers"]},
        {"text": "ResNetConf", "matches": ["ResNetConfig"]},
        {"text": "let a = String::from_utf8_lo", "matches": ["from_utf8_lossy"]},
    ]
    complete_code_samples = ["1", "let a = 1;", 'println!("hello, world");', "fn f() {\n    1;\n}"]
    incomplete_code_samples = ["fn f() {", "let a = (1,", 'println!("hello']
    invalid_code_samples = ["let x = ;", "fn f() { ) }"]
    code_generate_error = 'panic!("on purpose");'
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": 'format!("{}, {}", "hello", "world")', "result": '"hello, world"'},
        {"code": 'markdown("**x**")', "result": "**x**", "mime": "text/markdown"},
        {"code": FIGURE, "mime": "image/png"},
    ]
    code_display_data = [
        {"code": 'display(&markdown("**x**"));', "mime": "text/markdown"},
        {"code": f"display(&{FIGURE});", "mime": "image/png"},
        {"code": 'display(&Table::new(["a"]).row(vec![1]));', "mime": "text/markdown"},
    ]
    code_history_pattern = "6 *?7"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "prune_layers"
    code_clear_output = "clear_output(false);"
    # For kernels that open a pager; the suite would skip it.
    test_pager = None


# Loaded with the base class, which would test a Python kernel.
del KernelTests
