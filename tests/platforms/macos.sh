#!/usr/bin/env bash
# Checks that everything compiles for a Mac with Apple's processor, on any machine: types and names, as nothing is linked or run.
# A few crates compile C on the way, for which a stand-in takes the place of Apple's compiler: it writes empty files.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=aarch64-apple-darwin
rustup target add "$target" 2> /dev/null
tools=$PWD/target/tmp/stand-ins
mkdir -p "$tools"
cat > "$tools/cc" <<'STAND_IN'
#!/bin/sh
# Writes what `-o FILE` asks for, empty.
while [ $# -gt 0 ]; do
    if [ "$1" = -o ]; then : > "$2"; fi
    shift
done
STAND_IN
cat > "$tools/ar" <<'STAND_IN'
#!/bin/sh
# `ar cq LIBRARY FILES…`
if [ $# -gt 1 ]; then : > "$2"; fi
STAND_IN
chmod +x "$tools/cc" "$tools/ar"
export CC_aarch64_apple_darwin=$tools/cc AR_aarch64_apple_darwin=$tools/ar
cargo check --quiet --target "$target" --workspace --all-targets "$@"
