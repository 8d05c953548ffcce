"""Loads weights by the code in `kernel-helpers/deploy/PYTORCH.md`, and compares with what this project makes of them.

    python tests/torch/load_weights.py FOLDER

FOLDER holds cases: `NAME.safetensors` is a checkpoint, and `NAME.expected.safetensors` has `images`, our `logits` of them, and
under the names of the checkpoint the weights as they are used. In `NAME.json` is how they are quantized on every pass, null if
they are not: `bits` and `symmetric`. Prints a line for each case, and fails where weights differ in a bit or logits in more than rounding.
"""

import json
import pathlib
import re
import sys

import torch
from safetensors.torch import load_file

DOCUMENT = pathlib.Path(__file__).parents[2] / "kernel-helpers/deploy/PYTORCH.md"
TOLERANCE = 1e-4

code = {}
exec("\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)), code)


def check(case, expected_path, quantizer):
    expected = load_file(expected_path)
    images, logits = expected.pop("images"), expected.pop("logits")
    tensors = code["load"](case)
    if quantizer:
        body = [name for name, tensor in tensors.items() if name.startswith("body_op") and tensor.dim() == 4]
        tensors.update({name: code["quantized"](tensors[name], **quantizer) for name in body})
    for name, weight in expected.items():
        assert torch.equal(tensors[name], weight), f"{case.name}: {name} differs by {(tensors[name] - weight).abs().max()}"
    net = code["ResNet20"]().eval()
    result = net.load_state_dict(tensors, strict=False)
    learned = [name for name in result.unexpected_keys if not name.endswith(("weight_step", "weight_codebook"))]
    assert not result.missing_keys and not learned, result
    with torch.no_grad():
        difference = (net(images) - logits).abs().max() / logits.abs().max()
    print(f"{case.stem}: {len(expected)} weights are the same, logits differ by {difference:.1e}")
    assert difference < TOLERANCE, case.name


def main():
    folder = pathlib.Path(sys.argv[1])
    for description in sorted(folder.glob("*.json")):
        paths = [description.with_suffix(suffix) for suffix in (".safetensors", ".expected.safetensors")]
        check(*paths, json.loads(description.read_text()))
    assert not code["network"](folder / "float.safetensors").training


if __name__ == "__main__":
    main()
