#!/usr/bin/env bash
# The library's tests on a 64-bit Arm processor: on such a machine as it is, elsewhere in an emulator, with Debian's packages
# gcc-aarch64-linux-gnu and qemu-user.
# Usage: arm.sh [--package NAME]…, without any: the packages with kernels and those that compute with them
set -euo pipefail
cd "$(dirname "$0")/../.."
target=aarch64-unknown-linux-gnu
packages=("$@")
if [ $# -eq 0 ]; then
    packages=(--package cpu-kernels --package nn --package deploy)
fi
if [ "$(uname -m)" = aarch64 ]; then
    exec cargo test --quiet "${packages[@]}" --lib
fi
rustup target add "$target" 2> /dev/null
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
# Engines that these tests are compared with take minutes in an emulator, and say nothing of our kernels.
exec cargo test --quiet --target "$target" "${packages[@]}" --lib -- --skip elsewhere
