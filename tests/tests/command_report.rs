//! `cargo lab report` and its typesetting: what is no notebook, what is too long for a page, and what a PDF may hold.

use homework_tests::notebook::{notebook, read, text, write};
use homework_tests::{generated_data, lab, project_root, scratch_folder};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn lab_on(subcommand: &str, notebook: &Path) -> Output {
    lab().arg(subcommand).arg(notebook).arg("--tiny").env("LAB_DATA", generated_data()).output().unwrap()
}

/// The project's Python, which finds our exporters as JupyterLab does.
fn python() -> Command {
    assert!(lab().arg("setup").output().unwrap().status.success());
    let mut command = Command::new(project_root().join(".lab/venv/bin/python"));
    command.env("PYTHONPATH", project_root().join("lab/python"));
    command
}

fn typeset(notebook: &Path) -> Output {
    let script = project_root().join("lab/python/to_pdf.py");
    python().arg(script).arg(notebook).arg(notebook.with_extension("pdf")).output().unwrap()
}

#[test]
fn what_is_no_notebook_is_said_to_be_none() {
    let folder = scratch_folder("what_is_no_notebook");
    let cell = |cell: &str| {
        format!("{{\"nbformat\": 4, \"nbformat_minor\": 4, \"metadata\": {{}}, \"cells\": [{cell}]}}")
    };
    let cases = [
        ("conflict", "<<<<<<< HEAD\n{}\n".to_owned(), "JSON"),
        ("nothing", String::new(), "JSON"),
        ("list", "[]".to_owned(), "nbformat"),
        ("no-cells", "{\"nbformat\": 4, \"nbformat_minor\": 5, \"metadata\": {}}".to_owned(), "cells"),
        (
            "no-outputs",
            cell("{\"cell_type\": \"code\", \"source\": \"\", \"metadata\": {}, \"execution_count\": null}"),
            "cells/0",
        ),
        ("number", cell("{\"cell_type\": \"markdown\", \"source\": 3, \"metadata\": {}}"), "cells/0/source"),
    ];
    for (name, content, problem) in cases {
        let path = folder.join(name).with_extension("ipynb");
        fs::write(&path, &content).unwrap();
        for result in [lab_on("run", &path), lab_on("report", &path), typeset(&path)] {
            let message = String::from_utf8_lossy(&result.stderr);
            let place = path.display().to_string();
            assert!(!result.status.success(), "{name}");
            for part in [&*place, "is not a notebook", problem, "git checkout"] {
                assert!(message.contains(part), "no {part:?} in {message}");
            }
            assert!(!message.contains("Traceback"), "{message}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "{name} is as it was");
    }
}

#[test]
fn a_hundred_thousand_lines_are_typeset_in_seconds() {
    let path = notebook("a_hundred_thousand_lines", &["1 + 1"]);
    let mut content = read(&path);
    let lines: String = (0..100_000).map(|line| format!("{line}\n")).collect();
    content["cells"][0]["outputs"] = json!([{ "output_type": "stream", "name": "stdout", "text": lines }]);
    write(&path, &content);
    let started = Instant::now();
    let result = typeset(&path);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(read(&path), content, "the notebook keeps all");
}

#[test]
fn an_exported_page_needs_neither_its_images_nor_the_network() {
    let path = notebook("an_exported_page", &["1 + 1"]);
    let picture = project_root().join("notebooks/images/notebook.png");
    fs::copy(picture, path.with_file_name("picture.png")).unwrap();
    let text = "# The loss $\\frac{a}{b}$\n\n![of $x$](picture.png)\n\n$$\\sum_i x_i$$\n\n`not $5$`";
    let mut content = read(&path);
    content["cells"][0] = json!({ "cell_type": "markdown", "id": "text", "metadata": {}, "source": text });
    write(&path, &content);
    let result = python().args(["-m", "nbconvert", "--to", "html"]).arg(&path).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let page = fs::read_to_string(path.with_extension("html")).unwrap();
    for part in ["<mfrac>", "<mo>∑</mo>", "alt=\"of x\"", "src=\"data:image/png;base64,", "not $5$"] {
        assert!(page.contains(part), "no {part}");
    }
    for part in ["picture.png", "mathjax", "\u{e000}"] {
        assert!(!page.to_lowercase().contains(part), "{part}");
    }
}

/// Writes the notebook's PDF and prints the Typst source that it was made from.
const SOURCE: &str = "
import pathlib, sys, tempfile, notebook_file, to_pdf
path = pathlib.Path(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    typesetting = to_pdf.Typesetting(notebook_file.read(path), folder, path.parent)
    path.with_suffix('.pdf').write_bytes(typesetting.pdf())
    print((typesetting.folder / 'notebook.typ').read_text())
";

/// Prints how many pictures are in a PDF, and the letters that its fonts are there for.
const CONTENT: &str = "
import pathlib, re, sys, zlib
parts = [pathlib.Path(sys.argv[1]).read_bytes()]
for stream in re.findall(rb'stream\\r?\\n(.*?)\\r?\\nendstream', parts[0], re.DOTALL):
    try:
        parts.append(zlib.decompress(stream))
    except zlib.error:
        pass
pdf = b'\\n'.join(parts)
print(len(re.findall(rb'/Subtype ?/Image', pdf)))
letters = re.findall(rb'^<[0-9A-F]{4}> <([0-9A-F]{4})>$', pdf, re.MULTILINE)
print(''.join(chr(int(letter, 16)) for letter in letters))
";

/// What a file outside of the notebook's folder holds; letters that no notebook has.
const SECRET: &str = "Жщю";

fn output_of(command: &mut Command) -> String {
    let result = command.output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    String::from_utf8(result.stdout).unwrap()
}

fn typst_source(notebook: &Path) -> String {
    output_of(python().args(["-c", SOURCE]).arg(notebook))
}

/// How many pictures are in a PDF, and the letters in it.
fn content(pdf: &Path) -> (usize, String) {
    let printed = output_of(python().args(["-c", CONTENT]).arg(pdf));
    let (pictures, letters) = printed.split_once('\n').unwrap();
    (pictures.parse().unwrap(), letters.to_owned())
}

/// A notebook with these cells in a folder below the test's own.
fn notebook_of(test: &str, cells: Value) -> PathBuf {
    let path = scratch_folder(test).join("notebooks/notebook.ipynb");
    fs::create_dir(path.parent().unwrap()).unwrap();
    write(&path, &json!({ "cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4 }));
    path
}

fn markdown(source: &str) -> Value {
    json!({ "cell_type": "markdown", "metadata": {}, "source": source })
}

fn code(outputs: &[Value]) -> Value {
    let output = |data: &Value| json!({ "output_type": "display_data", "metadata": {}, "data": data });
    let outputs: Vec<_> = outputs.iter().map(output).collect();
    json!({ "cell_type": "code", "metadata": {}, "source": "1", "execution_count": 1, "outputs": outputs })
}

/// A picture in base64, of one pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNg+M8AAAICAQB7CYF4AAAAAElFTkSuQmCC";

#[test]
fn a_display_that_its_cell_emptied_is_left_out() {
    let empty = json!({ "text/plain": "", "text/html": "" });
    let kept = json!({ "text/plain": "kept", "text/html": "" });
    let path = notebook_of("a_display_that_its_cell_emptied", json!([code(&[empty, kept])]));
    let source = typst_source(&path);
    assert_eq!(source.matches("-output[\n").count(), 1, "{source}");
    output_of(python().args(["-m", "nbconvert", "--to", "html"]).arg(&path));
    let page = fs::read_to_string(path.with_extension("html")).unwrap();
    assert_eq!(page.matches("<div class=\"jp-OutputArea-child").count(), 1);
    let finish = "import sys, executing, notebook_file as file\n\
                  client = executing.Client(file.read(sys.argv[1]))\n\
                  client.finish()\n\
                  file.save(client.nb, sys.argv[1])";
    output_of(python().args(["-c", finish]).arg(&path));
    let outputs = &read(&path)["cells"][0]["outputs"];
    assert_eq!(outputs.as_array().unwrap().len(), 1);
    assert_eq!(text(&outputs[0]["data"]["text/plain"]), "kept");
}

#[test]
fn a_picture_has_the_caption_of_the_cell_after_it_and_the_first_page_its_author() {
    let picture = || code(&[json!({ "image/png": PIXEL })]);
    let caption = markdown("**Figure 1.** Loss by $q$.");
    let path = notebook_of("captions", json!([picture(), caption, picture(), markdown("Plain text.")]));
    let mut content = read(&path);
    content["metadata"]["authors"] = json!([{ "name": "A # B" }, 5]);
    write(&path, &content);
    let source = typst_source(&path);
    assert_eq!(source.matches("\n#captioned-picture(\"").count(), 1, "{source}");
    assert_eq!(source.matches("\n#picture(\"").count(), 1, "{source}");
    assert!(source.contains("A \\# B"), "{source}");
}

/// Texts that would read a file if something in them were code for Typst or LaTeX.
fn attacks(secret: &str) -> Vec<String> {
    let read = format!("read(\"{secret}\")");
    let script = format!(
        "#let image(..names) = raw(read(names.pos().first()))\n#import \"@preview/cetz:0.3.0\"\n#raw({read})\n![]({secret})"
    );
    let attributes = [
        format!("::: {{typst:fill='{read}'}}\nx\n:::"),
        format!("<div typst:fill='{read}'>x</div>"),
        format!("[x]{{typst:text:fill='{read}'}} <span typst:text:fill='{read}'>x</span>"),
        format!("|a|\n|-|\n|[b]{{typst:fill='{read}'}}|\n\n: c {{#t typst:fill='{read}'}}"),
    ];
    let formulas = [
        format!("$\\text{{\" #{read} \"}}$ $#{read}$ $eval(\"{read}\")$ $\\label{{a}}x$"),
        format!("$$\\mathrm{{\"#{read}}}$$"),
    ];
    let addresses = [
        format!("[nowhere](#nowhere) [x](<\") #{read} (\">) @user"),
        format!("![\"), #{read}, (\"](data:image/png;base64,{PIXEL} \"\\\"#\")"),
    ];
    let fenced = [
        format!("```{{=typst}}\n{script}\n```\n\n`#{read}`{{=typst}}"),
        format!("~~~ {{.`#{read}}}\nx\n~~~\n\n~~~ {{.````#{read}}}\nx\n~~~"),
    ];
    let include = format!("\\input{{{secret}}}");
    let lists = [&attributes[..], &formulas, &addresses, &fenced].map(|texts| texts.join("\n\n"));
    lists.into_iter().chain([script, include]).collect()
}

/// A notebook that tries the attacks in all of its parts.
fn attacking(secret: &str) -> Value {
    const FORMS: [&str; 7] = [
        "text/markdown",
        "text/latex",
        "text/plain",
        "text/html",
        "text/typst",
        "application/typst",
        "image/svg+xml",
    ];
    let attacks = attacks(secret);
    let svg = format!(
        "<!DOCTYPE svg [<!ENTITY x SYSTEM 'file://{secret}'>]>\
         <svg xmlns='http://www.w3.org/2000/svg'><text>&x;</text></svg>"
    );
    let mut outputs = vec![json!({ "image/svg+xml": svg })];
    let mut cells = Vec::new();
    for attack in &attacks {
        let raw = |format| {
            let metadata = json!({ "format": format, "raw_mimetype": format });
            json!({ "cell_type": "raw", "metadata": metadata, "source": attack })
        };
        cells.extend(["typst", "text/typst", "text/latex", "text/markdown", "pdf", ""].map(raw));
        cells.push(markdown(attack));
        outputs.extend(FORMS.map(|form| json!({ form: attack })));
    }
    cells.push(code(&outputs));
    let script = &attacks[4];
    let metadata = json!({
        "title": script, "author": script, "header-includes": script, "lab": { "scale": script },
        "kernelspec": { "name": "rust", "display_name": "Rust", "language": script },
    });
    json!({ "cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4 })
}

#[test]
fn nothing_in_a_notebook_is_code_for_typst() {
    let path = notebook_of("nothing_in_a_notebook_is_code", json!([markdown(SECRET)]));
    let secret = path.parent().unwrap().with_file_name("secret.txt");
    fs::write(&secret, SECRET).unwrap();
    let letters = || {
        typst_source(&path);
        content(&path.with_extension("pdf")).1
    };
    let seen = letters();
    assert!(SECRET.chars().all(|letter| seen.contains(letter)), "this would be seen: {seen}");

    write(&path, &attacking(&secret.display().to_string()));
    let seen = letters();
    assert!(seen.contains('#') && !seen.contains(|letter| SECRET.contains(letter)), "{seen}");
}

#[test]
fn pictures_beside_a_notebook_are_in_its_pdf() {
    let svg =
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>";
    let attached = |content: &str| {
        let mut cell = markdown("![](attachment:my%20picture.png)");
        cell["attachments"] = json!({ "my picture.png": { "image/png": content } });
        cell
    };
    let cells = json!([
        markdown("# Title\n\n![alone](picture.png)\n\nInline ![inline](./below/my%20picture.png) too"),
        markdown("<img src=\"picture.png\">"),
        markdown(&format!(
            "![](data:image/png;base64,{PIXEL}) ![](inside.png) ![](../notebooks/drawing.svg)"
        )),
        attached(PIXEL),
        attached(svg),
        code(&[
            json!({ "image/png": PIXEL }),
            json!({ "text/markdown": "![](picture.png)" }),
            json!({ "image/svg+xml": svg })
        ]),
    ]);
    let path = notebook_of("pictures_beside_a_notebook", cells);
    let beside = |name: &str| path.with_file_name(name);
    let picture = project_root().join("notebooks/images/notebook.png");
    fs::create_dir(beside("below")).unwrap();
    fs::copy(&picture, beside("picture.png")).unwrap();
    fs::copy(&picture, beside("below/my picture.png")).unwrap();
    fs::write(beside("drawing.svg"), svg).unwrap();
    symlink("below/my picture.png", beside("inside.png")).unwrap();

    let source = typst_source(&path);
    assert!(!source.contains("left out"), "{source}");
    let count = |function: &str| source.matches(&format!("{function}(\"picture-")).count();
    assert_eq!((count("(image"), count("#picture")), (4, 7), "{source}");
    let (pictures, _) = content(&path.with_extension("pdf"));
    assert!(pictures >= 2, "the screenshot and the pixel");

    fs::remove_file(path.with_extension("pdf")).unwrap();
    output_of(python().args(["-m", "nbconvert", "--to", "pdf"]).arg(&path));
    assert_eq!(content(&path.with_extension("pdf")).0, pictures, "JupyterLab's menu knows the folder");
}

#[test]
fn a_picture_that_may_not_be_read_is_left_out_with_a_note() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    let test = "a_picture_that_may_not_be_read";
    let outside = project_root().join("target/tmp").join(test).join("outside.png").display().to_string();
    let network = format!("http://{address}/picture.png");
    let cases = [
        (&*outside, "it lies outside"),
        ("../outside.png", "it lies outside"),
        ("%2e%2e/outside.png", "it lies outside"),
        ("link.png", "it lies outside"),
        ("above/outside.png", "it lies outside"),
        (&*network, "nothing is fetched"),
        ("missing.png", "there is no such file"),
        ("attachment:missing.png", "its cell has no such attachment"),
        ("text.png", "it is none of PNG"),
        ("broken.png", "failed to decode image"),
        ("linking.svg", "failed to load linked image"),
        ("fetching.svg", "failed to load linked image"),
    ];
    let cells: Vec<_> = cases
        .iter()
        .map(|(address, _)| markdown(&format!("![]({address})\n\nInline ![x]({address}) too")))
        .collect();
    let path = notebook_of(test, json!(cells));
    let beside = |name: &str| path.with_file_name(name);
    fs::copy(project_root().join("notebooks/images/notebook.png"), &outside).unwrap();
    symlink(&outside, beside("link.png")).unwrap();
    symlink("..", beside("above")).unwrap();
    fs::write(beside("text.png"), SECRET).unwrap();
    fs::write(beside("broken.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    for (name, linked) in [("linking.svg", &outside), ("fetching.svg", &network)] {
        let image = format!("<image width='9' height='9' href='{linked}'/>");
        fs::write(beside(name), format!("<svg xmlns='http://www.w3.org/2000/svg'>{image}</svg>")).unwrap();
    }

    let source = typst_source(&path);
    for (address, reason) in cases {
        // What means something in Typst is escaped.
        let address = address.replace("//", "/\\/").replace('_', "\\_");
        let note = format!("The picture {address} is left out: {reason}");
        assert_eq!(source.matches(&note).count(), 2, "{note} in {source}");
    }
    assert_eq!(content(&path.with_extension("pdf")).0, 0);
    assert!(server.accept().is_err(), "nobody asked for a picture");
}

#[test]
fn what_cannot_be_typeset_ends_with_the_reason() {
    let path = notebook_of("what_cannot_be_typeset", json!([markdown(&format!("{} x", ">".repeat(5000)))]));
    let result = typeset(&path);
    let message = String::from_utf8_lossy(&result.stderr);
    assert!(
        !result.status.success() && message.trim() == "the notebook's text is nested too deeply",
        "{message}"
    );

    // What pandoc needs exponential time for.
    let mut content = read(&path);
    content["cells"] = json!([markdown(&"[".repeat(20_000))]);
    write(&path, &content);
    let hurry = "import sys, to_pdf, notebook_file as file\n\
                 to_pdf.TIME_LIMIT = 2\n\
                 to_pdf.export(file.read(sys.argv[1]), None)";
    let started = Instant::now();
    let result = python().args(["-c", hurry]).arg(&path).output().unwrap();
    let message = String::from_utf8_lossy(&result.stderr);
    assert!(message.contains("pandoc was not done after 2 seconds"), "{message}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
