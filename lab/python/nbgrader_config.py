"""nbgrader's configuration for a course, which `cargo lab assignment` copies into its folder."""

from nbgrader.preprocessors import DeduplicateIds, OverwriteCells, OverwriteKernelspec, CheckCellMetadata
from nbgrader.preprocessors import AssignLatePenalties, IgnorePattern, LimitOutput, SaveAutoGrades

try:
    from grading_execute import ExecuteCells
except ImportError:
    # Only `cargo lab grade` executes anything.
    from nbgrader.preprocessors import Execute as ExecuteCells

c = get_config()  # noqa: F821

c.ClearSolutions.code_stub = {"rust": 'todo!("write this function")'}
c.ClearSolutions.text_stub = "*Your answer*"

# What a cell shows that is not executed, it has shown to the student.
c.Autograde.sanitize_preprocessors = [DeduplicateIds, OverwriteKernelspec, OverwriteCells, CheckCellMetadata]
c.Autograde.autograde_preprocessors = [
    ExecuteCells,
    IgnorePattern,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]
c.ExecuteCells.skip_cells_with_tag = "as-submitted"
c.ExecuteCells.iopub_timeout = 60
c.ExecuteCells.startup_timeout = 300
