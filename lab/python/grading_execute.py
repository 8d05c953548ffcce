"""How nbgrader executes a submission with the project's kernel."""

import asyncio
import os

from jupyter_client.utils import ensure_async
from nbgrader.preprocessors import Execute

# So long after a press of the stop button the kernel takes a second one as an end of the process that runs the cells.
SOON = 0.5
# So long the kernel may take to be ready for the next cell.
SETTLED = 1


class ExecuteCells(Execute):
    """Executes in a folder of its own, and ends a cell that does not end when it is asked to."""

    def preprocess(self, nb, resources, km=None):
        resources.setdefault("metadata", {})["path"] = os.environ["LAB_GRADING_FOLDER"]
        return super().preprocess(nb, resources, km)

    async def _async_handle_timeout(self, timeout, cell=None):
        reply = await super()._async_handle_timeout(timeout, cell)
        await asyncio.sleep(SOON)
        await ensure_async(self.km.interrupt_kernel())
        await asyncio.sleep(SETTLED)
        return reply
