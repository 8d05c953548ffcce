"""Makes the folder in which a user of the hub works, as that user.

Usage: prepare.py ROOT FOLDER. The folder looks like a clone of the project: what nobody changes is a link to the shared one,
the notebooks and the checkpoints are the user's own copies. What is there already stays as it is.
"""

import shutil
import sys
from pathlib import Path

LINKS = ["kernel-helpers", "lab", "data", "Cargo.toml", "Cargo.lock", "README.md", "environment.md"]
COPIES = {"notebooks": ["*.pdf", "hand-in", ".ipynb_checkpoints"], "checkpoints": ["quick", "tiny", "generated", "sweeps"]}


def main():
    root, folder = (Path(argument) for argument in sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    # For others, there is nothing to see.
    folder.chmod(0o700)
    for name in LINKS:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(root / name)
    for name, left_out in COPIES.items():
        if not (folder / name).exists():
            # Beside its place first, so that a copy that breaks off is none.
            partial = folder / f".partial-{name}"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(root / name, partial, ignore=shutil.ignore_patterns(*left_out))
            partial.rename(folder / name)
    # JupyterLab's looks, as `cargo lab jupyter` has them; these follow the shared ones.
    shutil.copytree(root / "lab/jupyter/custom", folder / ".lab/jupyter/config/custom", dirs_exist_ok=True)


if __name__ == "__main__":
    main()
