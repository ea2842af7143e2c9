#!/usr/bin/env bash
# Fuzzes one target, or each in turn, for a number of seconds: fuzz/run.sh [TARGET|all] [SECONDS]
# HLSWARM_FUZZ_SEED fixes the order of what is tried; without it each run tries something else.
# Works with the stable compiler: the code is free of `unsafe`, so no address sanitizer is needed, and coverage
# instrumentation is all that libFuzzer asks for. `cargo +nightly fuzz run TARGET` works as well.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:-all}
seconds=${2:-60}

all=$(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | grep -v '^hlswarm-fuzz$')
[ "$target" = all ] && targets=$all || targets=$target
for name in $targets; do
  grep -qx "$name" <<<"$all" || { echo "no such target: $name (there are:" $all")" >&2; exit 2; }
done

triple=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1"
build=${CARGO_TARGET_DIR:-$PWD/target}
# With --target the flags do not reach build scripts and macros.
bins=()
for name in $targets; do bins+=(--bin "$name"); done
RUSTFLAGS="$flags" cargo build --quiet --release --target "$triple" --target-dir "$build" "${bins[@]}"
for name in $targets; do
  mkdir -p "corpus/$name" "artifacts/$name"
  "$build/$triple/release/$name" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
    -seed="${HLSWARM_FUZZ_SEED:-0}" -print_final_stats=1 -artifact_prefix="artifacts/$name/" "corpus/$name" "seeds/$name" 2>&1 |
    { grep -E 'stat::number_of_executed_units|stat::new_units_added|ERROR|SUMMARY|panicked|artifact_prefix' || true; } |
    sed "s/^/$name: /"
  [ "${PIPESTATUS[0]}" -eq 0 ] || { echo "$name: a crash; the input is in fuzz/artifacts/$name" >&2; exit 1; }
done
