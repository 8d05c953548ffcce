"""JupyterLab's File > Save and Export Notebook As > PDF: the same PDF as `cargo lab report` writes.

nbconvert finds it through the entry point in `exporters-1.dist-info`. `cargo lab jupyter` puts this folder in front
of the installed packages, so it takes the place of nbconvert's own exporter, which needs a LaTeX installation.
"""

from nbconvert.exporters import Exporter

import notebook_file
import to_pdf


class PdfExporter(Exporter):
    export_from_notebook = "PDF"
    output_mimetype = "application/pdf"
    file_extension = ".pdf"

    def from_notebook_node(self, nb, resources=None, **kwargs):
        notebook, resources = super().from_notebook_node(nb, resources, **kwargs)
        about = resources.get("metadata", {})
        notebook = notebook_file.checked(notebook, about.get("name", "the notebook"))
        return to_pdf.export(notebook, about.get("path")), resources
