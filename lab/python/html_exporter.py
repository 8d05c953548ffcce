"""JupyterLab's File > Save and Export Notebook As > HTML: one file with its images, whose formulas need no network.

nbconvert's own exporter links to the images beside the notebook, and to a script on the network that typesets formulas.
Here pandoc makes MathML of them, which browsers typeset themselves. Found like the exporter in `pdf_exporter.py`.
"""

import copy
import json
import re
import subprocess
from html import escape

import pypandoc
from jinja2 import pass_context
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from notebook_file import drop_empty_outputs

TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js_mathjax %}{% endblock %}
{% block data_latex scoped %}
<div class="jp-RenderedLatex jp-OutputArea-output {{ extra_class }}" data-mime-type="text/latex">
{{ output.data['text/latex'] | markdown2html }}
</div>
{% endblock data_latex %}
"""
BETWEEN = "<!-- next formula -->"
# What stands for a formula until pandoc has made MathML of all; of characters that mean nothing and survive everything.
PLACE = re.compile("\ue000([0-9]+)\ue001")
IN_ATTRIBUTE = re.compile('\\s[a-z-]+="[^"]*\ue000[^"]*"')


class Renderer(IPythonRenderer):
    """Collects the formulas and leaves their places."""

    def __init__(self, formulas, **options):
        super().__init__(**options)
        self.formulas = formulas

    def formula(self, kind, source):
        self.formulas.append((kind, source))
        return f"\ue000{len(self.formulas) - 1}\ue001"

    def inline_math(self, body):
        return self.formula("InlineMath", body)

    def block_math(self, body):
        return self.formula("DisplayMath", body)

    def latex_environment(self, name, body):
        return self.formula("DisplayMath", f"\\begin{{{name}}}{body}\\end{{{name}}}")


def math_ml(formulas):
    """Every formula in MathML; those that pandoc does not understand as they were written."""
    blocks = []
    for kind, source in formulas:
        blocks.append({"t": "Plain", "c": [{"t": "Math", "c": [{"t": kind}, source]}]})
        blocks.append({"t": "RawBlock", "c": ["html", BETWEEN]})
    document = {"pandoc-api-version": [1, 23], "meta": {}, "blocks": blocks}
    command = [pypandoc.get_pandoc_path(), "--from=json", "--to=html", "--mathml", "--wrap=none"]
    done = subprocess.run(command, input=json.dumps(document), capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        raise RuntimeError(f"pandoc failed: {done.stderr.strip()}")
    return [text.strip() for text in done.stdout.split(BETWEEN)[:-1]]


class HtmlExporter(HTMLExporter):
    export_from_notebook = "HTML"
    raw_template = TEMPLATE

    def __init__(self, **options):
        super().__init__(**options)
        self.embed_images = True
        self.formulas = []

    @pass_context
    def markdown2html(self, context, source):
        renderer = Renderer(
            self.formulas,
            escape=False,
            attachments=context.get("cell", {}).get("attachments", {}),
            embed_images=self.embed_images,
            path=context.get("resources", {}).get("metadata", {}).get("path", ""),
            anchor_link_text=self.anchor_link_text,
            exclude_anchor_links=self.exclude_anchor_links,
            **self.lexer_options,
        )
        return MarkdownWithMath(renderer=renderer).render(source)

    def from_notebook_node(self, nb, resources=None, **options):
        self.formulas.clear()
        nb = copy.deepcopy(nb)
        drop_empty_outputs(nb)
        html, resources = super().from_notebook_node(nb, resources, **options)
        rendered = math_ml(self.formulas)
        # A heading's anchor and an image's description hold text alone.
        html = IN_ATTRIBUTE.sub(lambda found: PLACE.sub(self.source, found[0]), html)
        return PLACE.sub(lambda place: rendered[int(place[1])], html), resources

    def source(self, place):
        return escape(self.formulas[int(place[1])][1])
