"""Prints how many images a second PyTorch trains and evaluates a network, and the memory that it takes for that, as one
line of JSON: what `cargo lab bench --torch` measures itself against.

The networks are those of `kernel_helpers::models`, layer by layer; the optimizer is that of the labs' fine-tuning.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

WARM_UP = 3
CLASSES = 10
COLORS = (3, 32, 32)
DIGITS = (1, 28, 28)


def conv_bn(inputs, outputs, kernel=3, stride=1, groups=1):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def pooled_classifier(channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = conv_bn(inputs, outputs, stride=stride)
        self.conv2 = conv_bn(outputs, outputs)
        self.skip = nn.Identity() if inputs == outputs else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x):
        return functional.relu(self.conv2(functional.relu(self.conv1(x))) + self.skip(x))


def residual(blocks_per_stage, width=1):
    """1x1 convolutions on the skips where channels change, batch norm after every convolution."""
    layers, inputs = [conv_bn(3, 16), nn.ReLU()], 16
    for stage in range(3):
        outputs = 16 * width << stage
        for block in range(blocks_per_stage):
            layers.append(Block(inputs, outputs, stride=2 if stage > 0 and block == 0 else 1))
            inputs = outputs
    return nn.Sequential(*layers, pooled_classifier(inputs))


def vgg():
    layers = []
    for inputs, outputs in [(3, 64), (64, 128), (128, 256)]:
        layers += [conv_bn(inputs, outputs), nn.ReLU(), conv_bn(outputs, outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, pooled_classifier(256))


def mobilenet():
    widths, strides = [32, 64, 128, 128, 256, 256, 512, 512], [1, 2, 1, 2, 1, 2, 1]
    layers = [conv_bn(3, widths[0]), nn.ReLU()]
    for inputs, outputs, stride in zip(widths, widths[1:], strides):
        layers += [conv_bn(inputs, inputs, stride=stride, groups=inputs), nn.ReLU()]
        layers += [conv_bn(inputs, outputs, kernel=1), nn.ReLU()]
    return nn.Sequential(*layers, pooled_classifier(widths[-1]))


def perceptron(*widths):
    layers = [nn.Flatten()]
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], CLASSES))


def lenet():
    first = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, perceptron(16 * 5 * 5, 120, 84))


NETWORKS = {
    "resnet20": (lambda: residual(3), COLORS),
    "resnet56": (lambda: residual(9), COLORS),
    "wrn16_4": (lambda: residual(2, width=4), COLORS),
    "vgg": (vgg, COLORS),
    "mobilenet": (mobilenet, COLORS),
    "lenet": (lenet, DIGITS),
    "mlp": (lambda: perceptron(28 * 28, 512, 256), DIGITS),
}


def rate(work, batch_size, steps):
    """Images a second, by the median step."""
    durations = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return batch_size / statistics.median(durations[WARM_UP:])


def peak_rss_mb():
    """The most memory that this process has held so far; None where the system does not tell.

    Not `ru_maxrss`, which starts with what the process that started this one held.
    """
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="resnet20")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()
    before = peak_rss_mb()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    make, image = NETWORKS[options.network]
    net = make().to(memory_format=layout)
    images = torch.randn(options.batch_size, *image).contiguous(memory_format=layout)
    labels = torch.randint(CLASSES, (options.batch_size,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.002, momentum=0.875, weight_decay=1e-4)

    def train():
        optimizer.zero_grad()
        functional.cross_entropy(net(images), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def evaluate():
        net(images)

    train_rate = rate(train, options.batch_size, options.steps)
    net.eval()
    eval_rate = rate(evaluate, options.batch_size, options.steps)
    after = peak_rss_mb()
    figures = {
        "train_img_per_s": train_rate,
        "eval_img_per_s": eval_rate,
        "threads": torch.get_num_threads(),
        "memory_mb": None if after is None else after - before,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
