"""Other engines for networks in ONNX's form.

    python lab/python/engine.py onnxruntime|openvino THREADS MODEL.onnx

Computes what comes through standard input, and answers through standard output, until the former ends. A request is the
shape of the images, four 32-bit integers, and their values, 32-bit floats; an answer the shape of the logits, two 32-bit
integers, the seconds that they took, a 64-bit float, and their values. Little-endian. Needs the packages in
`onnx-requirements.txt`.
"""

import math
import struct
import sys
import time

import numpy


def onnxruntime(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def openvino(path, threads):
    import openvino

    # Processors that have them would otherwise compute in 16 bits.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    core, compiled = openvino.Core(), {}

    def compute(images):
        # For images of one shape it is faster than for any.
        if images.shape not in compiled:
            model = core.read_model(path)
            model.reshape(list(images.shape))
            compiled[images.shape] = core.compile_model(model, "CPU", settings).create_infer_request()
        return compiled[images.shape].infer({"images": images})["logits"]

    return compute


ENGINES = {"onnxruntime": onnxruntime, "openvino": openvino}


def main():
    name, threads, path = sys.argv[1:]
    compute = ENGINES[name](path, int(threads))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(16):
        shape = struct.unpack("<4I", head)
        values = requests.read(4 * math.prod(shape))
        images = numpy.frombuffer(values, "<f4").reshape(shape)
        start = time.perf_counter()
        logits = compute(images)
        seconds = time.perf_counter() - start
        answers.write(struct.pack("<2Id", *logits.shape, seconds) + logits.astype("<f4").tobytes())
        answers.flush()


if __name__ == "__main__":
    main()
