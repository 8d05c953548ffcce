"""Compares what other engines make of an exported network with what this project computes.

    python lab/python/onnx_check.py MODEL.onnx DATA OURS.safetensors

DATA is the folder with CIFAR-10's binary files, and OURS holds our `logits` of its test images, [N, 10], as a safetensors
file. For each engine a line says of how many images the predictions are the same. Needs the packages in
`onnx-requirements.txt`.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib

import numpy
import onnx
from engine import ENGINES

MEAN = numpy.array([0.4914, 0.4822, 0.4465])
DEVIATION = numpy.array([0.2023, 0.1994, 0.2010])
SHAPE = (3, 32, 32)
BATCH = 100


def test_images(folder):
    """The images, normalized as for our networks, and their labels."""
    records = numpy.fromfile(folder / "test_batch.bin", numpy.uint8).reshape(-1, 1 + 3 * 32 * 32)
    levels = (numpy.arange(256)[:, None] / 255 - MEAN) / DEVIATION
    planes = records[:, 1:].reshape(-1, 3, 32 * 32)
    images = numpy.stack([levels.astype(numpy.float32)[planes[:, color], color] for color in range(3)], axis=1)
    return images.reshape(-1, *SHAPE), records[:, 0]


def our_logits(path):
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    tensor = json.loads(content[8:start])["logits"]
    first, last = tensor["data_offsets"]
    return numpy.frombuffer(content[start + first : start + last], "<f4").reshape(tensor["shape"])


def compared(engine, path, images, labels, ours):
    compute = ENGINES[engine](path, os.cpu_count())
    theirs = numpy.concatenate([compute(images[at : at + BATCH]) for at in range(0, len(images), BATCH)])
    predictions = theirs.argmax(1)
    return {
        "engine": f"{engine} {importlib.metadata.version(engine)}",
        "images": len(images),
        "equal_predictions": int((predictions == ours.argmax(1)).sum()),
        "largest_difference": float(numpy.abs(theirs - ours).max()),
        "accuracy": float((predictions == labels).mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("ours", type=pathlib.Path)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="one engine alone; all if not given")
    parser.add_argument("--json", action="store_true", help="print an object of JSON for each engine")
    options = parser.parse_args()
    onnx.checker.check_model(options.model, full_check=True)
    (images, labels), ours = test_images(options.data), our_logits(options.ours)
    if len(images) != len(ours):
        parser.error(f"{options.ours}: expected logits of {len(images)} images, found {len(ours)}")
    for engine in options.engine or ENGINES:
        result = compared(engine, options.model, images, labels, ours)
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            print(
                "{engine}: {equal_predictions} of {images} predictions are the same, "
                "logits differ by {largest_difference:.2g} at most, accuracy {accuracy:.2%}".format(**result),
                flush=True,
            )


if __name__ == "__main__":
    main()
