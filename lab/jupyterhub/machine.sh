#!/bin/bash
# What a machine with Debian 13, Ubuntu 24.04 or later needs before the clone, for everybody on it: packages of the distribution,
# and Rust in a folder that all can read. Run as root; what is there stays.
# Usage: machine.sh [FOLDER], /opt/rust if not given
set -euo pipefail
folder=${1:-/opt/rust}
packages=()
# What is there, by whatever way, does as well.
need() {
    command -v "$1" > /dev/null || packages+=("${@:2}")
}
need cc build-essential
need git git ca-certificates
need npm nodejs npm
need python3 python3
need rustup rustup ca-certificates
python3 -c "import ensurepip" 2> /dev/null || packages+=(python3-venv)
if [ ${#packages[@]} -gt 0 ]; then
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "${packages[@]}"
fi
export RUSTUP_HOME=$folder/rustup CARGO_HOME=$folder/cargo
mkdir -p "$RUSTUP_HOME" "$CARGO_HOME"
rustup --quiet toolchain install stable --profile minimal --component rust-src --no-self-update
rustup --quiet default stable
chmod -R a+rX "$folder"
echo "Rust is there for everybody who has RUSTUP_HOME=$RUSTUP_HOME and, for this machine's administrator, CARGO_HOME=$CARGO_HOME."
