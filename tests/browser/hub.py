"""Two users of a JupyterHub, each in a browser of their own, at the same time.

usage: hub.py CHROMIUM ADDRESS FOLDER NAME:PASSWORD NAME:PASSWORD

Each logs in, makes a notebook and steps through a few cells. Pictures are left in FOLDER/screenshots.
"""

import pathlib
import re
import sys

from jupyterlab import PATIENCE, SECOND, Student
from playwright.sync_api import expect, sync_playwright

# What all share (the data, compiled helpers), what each has alone (the checkpoints), and what nobody may see.
DATA = "let data = Cifar10::load_first(256, 100)?;\ndata"
TRAINING = """\
let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;
let save_to = Some(checkpoints_dir()?.join("mine/of_{user}.safetensors"));
let history = train(&net, &data, &TrainConfig {{ epochs: 1, save_to, ..Default::default() }})?;
history"""
OTHERS = 'std::fs::read_dir("/home/{other}/labs").map(|_| ()).map_err(|error| error.to_string())'
SHARED = 'std::fs::write("../kernel-helpers/Cargo.toml", "").map_err(|error| error.to_string())'
FAILS = re.compile("Permission denied")


def log_in(page, address, name, password):
    page.goto(address)
    page.fill("#username_input", name)
    page.fill("#password_input", password)
    page.click("#login_submit")
    expect(page.locator(".jp-DirListing-item", has_text="hw4.ipynb")).to_be_visible(timeout=PATIENCE)


def run(user, index, source, expected):
    user.write(index, source)
    user.run(index)
    user.wait_for_end(index)
    expect(user.output(index)).to_contain_text(expected)
    user.add_cell(index)


def main(chromium, address, folder, *accounts):
    folder = pathlib.Path(folder)
    accounts = [account.split(":") for account in accounts]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        users = {}
        for name, password in accounts:
            # Cookies of its own.
            page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
            page.set_default_timeout(60 * SECOND)
            log_in(page, address, name, password)
            users[name] = Student(page, folder)
            users[name].create()
        names = list(users)
        for name, user in users.items():
            other = next(other for other in names if other != name)
            run(user, 0, DATA, "train [256, 3, 32, 32]")
            run(user, 1, TRAINING.format(user=name), "best test accuracy")
            run(user, 2, OTHERS.format(other=other), FAILS)
            run(user, 3, SHARED, FAILS)
            user.screenshot(f"hub-{name}")
            user.menu("File", "Save and Export Notebook As", "PDF")
            assert user.saved_file().read_bytes().startswith(b"%PDF")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
