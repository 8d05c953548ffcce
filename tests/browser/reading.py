"""What a student sees of cells that go wrong, move in place, ask, and are changed."""

import re

from jupyterlab import PATIENCE, SECOND
from playwright.sync_api import expect

FAILING = 'let read = std::fs::read_to_string("no such file")?;'


def stops_running_all_at_an_error(student):
    student.create()
    cells = ["let first = 1;", FAILING, 'println!("never run");']
    for index, source in enumerate(cells):
        student.write(index, source)
        if index < 2:
            student.add_cell(index)
    student.menu("Run", "Run All Cells")
    student.wait_for_end(1)
    expect(student.output(1)).to_contain_text("No such file")
    expect(student.error_outputs()).to_have_count(1)
    student.page.wait_for_timeout(SECOND)
    expect(student.prompt(0)).to_have_text("[1]:")
    expect(student.prompt(1)).to_have_text("[2]:")
    expect(student.prompt(2)).to_have_text("[ ]:")
    expect(student.output(2)).not_to_contain_text("never run")
    student.screenshot("run_all_with_an_error")


def sees_two_figures_in_one_cell(student):
    student.create()
    student.write(
        0,
        """\
println!("before");
display(&plot_loss(&[1.0, 0.1, 0.01]).draw()?);
println!("between");
plot_loss(&[0.01, 0.1, 1.0]).draw()?""",
    )
    student.run(0)
    student.wait_for_end(0)
    outputs = student.output(0).locator(".jp-OutputArea-child")
    expect(outputs).to_have_count(4)
    for index, text in ((0, "before"), (2, "between")):
        expect(outputs.nth(index)).to_contain_text(text)
    for index in (1, 3):
        expect(outputs.nth(index).locator("img")).to_be_visible()
    student.screenshot("two_figures")


def watches_a_progress_that_moves_in_place(student):
    student.write(
        1,
        """\
let shown = display(&markdown("step 0"));
for step in 1..=4 {
    std::thread::sleep(std::time::Duration::from_millis(700));
    shown.update(&markdown(format!("step {step}")));
    print!("\\r{}%", 25 * step);
    std::io::Write::flush(&mut std::io::stdout())?;
}""",
    )
    student.run(1)
    expect(student.output(1)).to_contain_text("step 2", timeout=PATIENCE)
    expect(student.output(1)).to_contain_text("50%")
    student.screenshot("progress")
    student.wait_for_end(1)
    expect(student.output(1).locator(".jp-OutputArea-child")).to_have_count(2)
    expect(student.output(1)).to_have_text(re.compile(r"^\s*step 4\s*100%\s*$"))


def answers_a_question(student):
    student.write(
        2,
        """\
print!("Your name: ");
std::io::Write::flush(&mut std::io::stdout())?;
let mut name = String::new();
std::io::stdin().read_line(&mut name)?;
println!("Hello, {}!", name.trim());""",
    )
    student.run(2)
    box = student.output(2).locator("input.jp-Stdin-input")
    expect(box).to_be_visible(timeout=PATIENCE)
    student.screenshot("question")
    box.fill("Ada")
    box.press("Enter")
    student.wait_for_end(2)
    expect(student.output(2)).to_contain_text("Hello, Ada!")


def changes_a_cell_and_runs_it_again(student):
    student.write(3, "struct Scale(f64);")
    student.run(3)
    student.wait_for_end(3)
    student.write(4, "impl Scale { fn of(&self, x: f64) -> f64 { self.0 * x } }")
    student.run(4)
    student.wait_for_end(4)
    student.write(5, "Scale(2.0).of(3.0)")
    student.run(5)
    expect(student.output(5)).to_have_text(re.compile(r"^\s*(\[\d+\]:)?\s*6\.0\s*$"), timeout=PATIENCE)
    student.write(4, "impl Scale { fn of(&self, x: f64) -> f64 { self.0 * x + 1.0 } }")
    student.run(4)
    student.wait_for_end(4)
    expect(student.error_outputs()).to_have_count(0)
    student.run(5)
    expect(student.output(5)).to_contain_text("7.0", timeout=PATIENCE)
    student.screenshot("changed_cell")


def restarts_and_runs_all(student):
    student.create()
    for index, source in enumerate(("let mut count = 1;", "count += 1;", 'println!("count is {count}");')):
        student.write(index, source)
        student.run(index)
        student.wait_for_end(index)
    expect(student.output(2)).to_contain_text("count is 2")
    student.run(1)
    student.wait_for_end(1)
    expect(student.prompt(1)).to_have_text("[4]:")
    student.menu("Kernel", "Restart Kernel and Run All Cells")
    student.page.locator(".jp-Dialog button", has_text="Restart").click()
    expect(student.prompt(1)).to_have_text("[2]:", timeout=PATIENCE)
    expect(student.prompt(2)).to_have_text("[3]:", timeout=PATIENCE)
    expect(student.output(2)).to_contain_text("count is 2")


def goes_on_after_a_crash(student):
    student.write(3, 'println!("about to crash"); std::process::abort();')
    student.run(3)
    student.wait_for_end(3)
    expect(student.error_outputs()).to_have_count(1)
    expect(student.output(3)).to_contain_text("lost")
    student.screenshot("crash")
    student.write(4, "percent(0.5)")
    student.run(4)
    expect(student.output(4)).to_contain_text("50.00 %", timeout=PATIENCE)


def reads_errors_in_both_themes(student):
    """Every piece of an error's text stands out from what is behind it, by the web's rule for readable text."""
    student.create()
    student.write(0, 'let wrong: u32 = "text";\nlet another: bool = 1;')
    student.add_cell(0)
    student.write(1, 'panic!("on purpose");')
    for index in (0, 1):
        student.run(index)
        student.wait_for_end(index)
    for theme, light in (("JupyterLab Light", "true"), ("JupyterLab Dark", "false")):
        student.menu("Settings", "Theme", theme)
        expect(student.page.locator(f'body[data-jp-theme-light="{light}"]')).to_have_count(1)
        student.page.wait_for_timeout(SECOND)
        student.screenshot(f"errors_{theme.split()[-1].lower()}")
        unreadable = student.page.evaluate(UNREADABLE)
        assert not unreadable, f"{theme}: {unreadable}"
    student.menu("Settings", "Theme", "JupyterLab Light")


# The pieces of text in error outputs whose contrast with their background is below 4.5, with both colors.
UNREADABLE = """() => {
    const channels = color => color.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => {
        const linear = [r, g, b].map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const background = element => {
        const color = channels(getComputedStyle(element).backgroundColor);
        const opaque = color.length < 4 || color[3] === 1;
        return opaque || !element.parentElement ? color : background(element.parentElement);
    };
    const found = [];
    const area = '.jp-NotebookPanel:not(.lm-mod-hidden) [data-mime-type="application/vnd.jupyter.stderr"]';
    for (const output of document.querySelectorAll(area)) {
        const walker = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            if (!node.textContent.trim()) continue;
            const text = channels(getComputedStyle(node.parentElement).color);
            const behind = background(node.parentElement);
            const [dark, bright] = [luminance(text), luminance(behind)].sort((a, b) => a - b);
            const contrast = (bright + 0.05) / (dark + 0.05);
            if (contrast < 4.5) found.push([node.textContent.trim().slice(0, 40), text, behind, contrast.toFixed(1)]);
        }
    }
    return found;
}"""


STEPS = (
    stops_running_all_at_an_error,
    sees_two_figures_in_one_cell,
    watches_a_progress_that_moves_in_place,
    answers_a_question,
    changes_a_cell_and_runs_it_again,
    restarts_and_runs_all,
    goes_on_after_a_crash,
    reads_errors_in_both_themes,
)
