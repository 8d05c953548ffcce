"""Compares what our readers make of files with what PyTorch and safetensors make of them.

    python tests/fuzz/compare_with_torch.py FOLDER

The folder is the one that `FUZZ_ACCEPTED` named while fuzzing: files that were accepted, each beside a `.json` with the
type, the shape and the digest of each tensor. A file that PyTorch refuses is only counted; where both accept, every
tensor must be the same. Needs the packages torch and safetensors.
"""

import collections
import hashlib
import json
import pathlib
import sys
import warnings

import safetensors.torch
import torch

# Differences that are printed before the rest is only counted.
SHOWN = 20

TYPES = {
    torch.float64: "f64",
    torch.float32: "f32",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int16: "i16",
    torch.uint32: "u32",
    torch.uint8: "u8",
    # As candle has neither, our readers widen them.
    torch.int8: "i16",
    torch.bool: "u8",
}


def described(tensor):
    """As our readers describe it."""
    dtype, shape = TYPES.get(tensor.dtype, str(tensor.dtype)), list(tensor.shape)
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.detach().reshape(-1))
    if flat.dtype == torch.int8:
        flat = flat.to(torch.int16)
    elif flat.dtype == torch.bool:
        flat = (flat.view(torch.uint8) != 0).to(torch.uint8)
    content = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return {"dtype": dtype, "shape": shape, "bytes": hashlib.sha256(content).hexdigest()}


def tensors(value):
    """The named tensors of a dictionary."""
    return {name: item for name, item in value.items() if isinstance(name, str) and isinstance(item, torch.Tensor)}


def state_dict(value):
    """A dictionary's own tensors, or those of the only dictionary with tensors inside it."""
    if not isinstance(value, dict):
        return None
    if tensors(value):
        return tensors(value)
    inside = {id(item): tensors(item) for item in value.values() if isinstance(item, dict) and tensors(item)}
    return next(iter(inside.values())) if len(inside) == 1 else None


def load(path):
    if path.suffix == ".safetensors":
        return safetensors.torch.load(path.read_bytes())
    return state_dict(torch.load(path, map_location="cpu", weights_only=True))


def main(folder):
    counts, reasons = collections.Counter(), collections.Counter()
    for path in sorted(pathlib.Path(folder).iterdir()):
        if path.suffix not in (".pt", ".safetensors"):
            continue
        ours = json.loads(path.with_suffix(".json").read_text())
        counts["accepted by us"] += 1
        try:
            theirs = load(path)
        except Exception as error:
            counts["of these refused by PyTorch"] += 1
            reasons[f"{type(error).__name__}: {error}".splitlines()[0][:100]] += 1
            continue
        counts["accepted by both"] += 1
        found = theirs and {name: described(tensor) for name, tensor in theirs.items()}
        if found != ours:
            counts["DIFFERENT"] += 1
            names = sorted(name for name in ours.keys() | (found or {}).keys() if ours.get(name) != (found or {}).get(name))
            if counts["DIFFERENT"] <= SHOWN:
                print(f"{path}: {', '.join(map(repr, names))[:200]}")
    for what, count in counts.items():
        print(f"{count:8} {what}")
    for reason, count in reasons.most_common(12):
        print(f"{count:8} {reason}")
    return counts["DIFFERENT"] > 0 or counts["accepted by both"] == 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.exit(main(sys.argv[1]))
