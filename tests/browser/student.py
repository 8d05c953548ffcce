"""What a student does in JupyterLab, in a headless browser.

usage: student.py CHROMIUM LAB FOLDER

LAB is the compiled `lab` command, FOLDER a folder inside the project with `notebooks/lab1.ipynb` in it, not executed.
Pictures of what the browser shows are left in FOLDER/screenshots.
"""

import difflib
import pathlib
import re
import sys
import time

import reading
from jupyterlab import PATIENCE, SECOND, Student, jupyterlab, kernels_of, processes_with, until
from playwright.sync_api import expect, sync_playwright

TRAINING = """\
let data = Cifar10::load_first(256, 100)?;
let net = resnet_cifar(ResNetConfig::default())?.build(0, &best_device()?)?;
let config = TrainConfig { epochs: 100_000, ..Default::default() };
let history = finetune(&net, &data, &config)?;"""


def opens_and_saves_without_a_change(student):
    file = student.folder / "notebooks/lab1.ipynb"
    before = file.read_text()
    student.open("lab1.ipynb")
    # With the kernel comes what it says about its language, which JupyterLab puts into the notebook.
    expect(student.page.locator("#jp-bottom-panel")).not_to_contain_text("Connecting", timeout=PATIENCE)
    student.notebook().locator(".jp-MarkdownCell").first.click()
    student.page.keyboard.press("Control+s")
    # JupyterLab does not save what it believes unchanged, so there is nothing to wait for.
    student.page.wait_for_timeout(2 * SECOND)
    # The compiler's version is the kernel's to tell, and may be a later one than when the notebook was executed.
    before, after = (re.sub(r'"version": "[\d.]+"', "", text).splitlines() for text in (before, file.read_text()))
    changes = list(difflib.unified_diff(before, after, lineterm=""))
    assert not changes, "what git shows of a notebook that was only opened and saved:\n" + "\n".join(changes)


def steps_through_the_first_cells(student):
    """Until a plot and a table can be seen."""
    plots = student.notebook().locator(".jp-RenderedImage img")
    tables = student.notebook().locator(".jp-RenderedHTMLCommon.jp-OutputArea-output table")
    student.cell(0).locator(".cm-content").click()
    for _ in range(20):
        student.step()
        if plots.count() > 0 and tables.count() > 0:
            break
    expect(plots.first).to_be_visible()
    expect(tables.first).to_be_visible()
    student.screenshot("lab1")


def stops_a_training_while_another_notebook_runs(student):
    training = student.create()
    student.write(0, TRAINING)
    student.run(0)
    # An epoch is shorter than the browser's looks at it.
    expect(student.output(0)).to_contain_text(re.compile(r"Epoch \d{2,}/100000"), timeout=PATIENCE)
    student.create()
    student.write(0, "plot_loss(&[1.0, 0.1, 0.01]).draw()?")
    student.run(0)
    expect(student.output(0).locator("img")).to_be_visible(timeout=PATIENCE)
    student.screenshot("scratch")
    student.turn_to(training)
    expect(student.prompt(0)).to_have_text("[*]:")
    student.press_stop()
    student.wait_for_end(0)
    expect(student.output(0)).to_contain_text("stopped")
    student.write(1, 'println!("{} epochs are kept", history.epochs.len());')
    student.run(1)
    expect(student.output(1)).to_contain_text(re.compile(r"[1-9]\d* epochs are kept"), timeout=PATIENCE)
    student.screenshot("stopped")


def looks_things_up(student):
    student.write(2, "let weights = net.load_w")
    student.page.keyboard.press("Tab")
    expect(student.page.locator(".jp-Completer:visible")).to_contain_text("load_weights", timeout=PATIENCE)
    student.page.keyboard.press("Enter")
    expect(student.cell(2).locator(".cm-content")).to_contain_text("load_weights")
    student.write(2, "prune_layers(")
    student.page.keyboard.press("Shift+Tab")
    expect(student.page.locator(".jp-Tooltip:visible")).to_contain_text("prunable layer", timeout=PATIENCE)
    student.screenshot("looked_up")
    student.page.keyboard.press("Escape")


def reads_what_went_wrong(student):
    student.write(2, 'load_state_dict("no such file.pt")?;')
    student.run(2)
    expect(student.output(2)).to_contain_text("no such file.pt", timeout=PATIENCE)
    # Long lines break between words.
    expect(student.output(2).locator("pre")).to_have_css("word-break", "normal")
    student.write(3, "let kept = 42; net.unknown_method();")
    student.run(3)
    expect(student.output(3)).to_contain_text("no method named `unknown_method`", timeout=PATIENCE)
    student.screenshot("errors")


def ends_a_cell_that_does_not_listen(student):
    student.write(4, 'println!("endless"); loop { std::hint::black_box(0); }')
    student.run(4)
    expect(student.output(4)).to_contain_text("endless", timeout=PATIENCE)
    student.press_stop()
    student.page.wait_for_timeout(0.5 * SECOND)
    student.press_stop()
    expect(student.output(4)).to_contain_text("All variables are lost", timeout=PATIENCE)
    student.write(5, "percent(0.5)")
    student.run(5)
    expect(student.output(5)).to_contain_text("50.00 %", timeout=PATIENCE)


def exports_a_pdf_from_the_menu(student):
    student.turn_to("lab1.ipynb")
    student.menu("File", "Save and Export Notebook As", "PDF")
    content = student.saved_file().read_bytes()
    assert content.startswith(b"%PDF") and len(content) > 20_000, f"{len(content)} bytes: {content[:80]}"


def turns_the_light_off(student):
    student.menu("Settings", "Theme", "JupyterLab Dark")
    expect(student.page.locator('body[data-jp-theme-light="false"]')).to_have_count(1)
    student.page.wait_for_timeout(SECOND)
    student.screenshot("dark")


STEPS = (
    opens_and_saves_without_a_change,
    steps_through_the_first_cells,
    stops_a_training_while_another_notebook_runs,
    looks_things_up,
    reads_what_went_wrong,
    ends_a_cell_that_does_not_listen,
    *reading.STEPS,
    exports_a_pdf_from_the_menu,
    turns_the_light_off,
)


def work(student):
    for step in STEPS:
        started = time.monotonic()
        try:
            step(student)
        except Exception:
            student.screenshot("failed")
            raise
        print(f"{step.__name__}: {time.monotonic() - started:.1f} s", flush=True)


def main(chromium, lab, folder):
    folder = pathlib.Path(folder).resolve()
    running = pathlib.Path.cwd() / ".lab/kernel/running"
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with jupyterlab(lab, folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60 * SECOND)
        expect.set_options(timeout=60 * SECOND)
        before = set(running.glob("*"))
        page.goto(f"{address}&reset")
        expect(page.locator(".jp-LauncherCard").first).to_be_visible()
        work(Student(page, folder))
        kernels = kernels_of(address)
        assert len(kernels) == 7, f"seven notebooks were open, and these kernels ran: {kernels}"
        folders = set(running.glob("*")) - before
        browser.close()
    for folder in folders:
        until(lambda: not processes_with(str(folder)), f"the processes of {folder} end with JupyterLab")


if __name__ == "__main__":
    main(*sys.argv[1:])
