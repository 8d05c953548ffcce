"""Prints how many images a second PyTorch trains and evaluates, as one line of JSON: what `cargo lab bench --torch`
measures itself against.

The network is the labs' ResNet-20 in floating point: 1x1 convolutions on the skips where channels change, batch norm
after every convolution, and the optimizer of the fine-tuning.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

WARM_UP = 3


def conv_bn(inputs, outputs, kernel, stride):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = conv_bn(inputs, outputs, 3, stride)
        self.conv2 = conv_bn(outputs, outputs, 3, 1)
        self.skip = nn.Identity() if inputs == outputs else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x):
        return functional.relu(self.conv2(functional.relu(self.conv1(x))) + self.skip(x))


def resnet20():
    layers, inputs = [conv_bn(3, 16, 3, 1), nn.ReLU()], 16
    for outputs in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and outputs > 16 else 1
            layers.append(Block(inputs, outputs, stride))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


def rate(work, batch_size, steps):
    """Images a second, by the median step."""
    durations = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return batch_size / statistics.median(durations[WARM_UP:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    net = resnet20().to(memory_format=layout)
    images = torch.randn(options.batch_size, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.randint(10, (options.batch_size,))
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
    figures = {
        "train_img_per_s": train_rate,
        "eval_img_per_s": eval_rate,
        "threads": torch.get_num_threads(),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
