#!/usr/bin/env bash
# Runs every fuzz target for SECONDS_EACH (30), then schemathesis against the API with a seed of its own.
#
# What is found stays in fuzz/artifacts: repair it, and put the input into fuzz/corpus/TARGET, where every later run begins.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-30}
export RUSTC_BOOTSTRAP=1 # the instrumentation is not in stable Rust, but the pinned compiler has it

# No address sanitizer: there is no unsafe code here, and it would make the search three times slower.
cargo fuzz build --sanitizer none
for target in $(cargo fuzz list); do
    echo "fuzz: $target, $seconds s"
    mkdir -p "fuzz/work/$target"
    cargo fuzz run --sanitizer none "$target" "fuzz/work/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=8192 -timeout=5 -print_final_stats=0 -verbosity=0
done
if [ "${API:-yes}" = yes ]; then
    seed=${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM))}
    echo "fuzz: the API, seed $seed"
    FUZZ_SEED=$seed FUZZ_EXAMPLES=${FUZZ_EXAMPLES:-40} cargo test -p tests --test it -- fuzzed --nocapture
fi
