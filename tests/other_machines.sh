#!/usr/bin/env bash
# Run the suite as other machines would: with other instruction sets, matrix libraries and Python versions.
#
#     bash tests/other_machines.sh [arguments of pytest]     for example: tests/methods -k vim
#
# $PYTHONS may name further interpreters that have oodbench[test], with another torch or Python: each runs the
# suite once more. What a condition does not change (a library that is not there, a processor that has not more)
# it runs as before. Prints what passed in the end; fails if anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
logs=$(mktemp -d)
summary=() failed=0

run() {  # name, then what goes before pytest
    local name=$1 log="$logs/${#summary[@]}.log" start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@" -m pytest -p no:cacheprovider "${arguments[@]}" >"$log" 2>&1; then
        summary+=("passed  $name ($((SECONDS - start)) s)")
    else
        summary+=("FAILED  $name ($((SECONDS - start)) s), see $log")
        failed=1
    fi
    tail -n 1 "$log"
}

arguments=("$@")
run "as this machine is" env -u OPENBLAS_CORETYPE "$python"
run "torch without vector instructions" env ATEN_CPU_CAPABILITY=default "$python"
run "oneDNN with SSE 4.1" env ONEDNN_MAX_CPU_ISA=SSE41 "$python"
run "MKL that is the same on any processor" env MKL_CBWR=COMPATIBLE "$python"
for core in Prescott Haswell SkylakeX; do
    if [[ $core == SkylakeX ]] && ! grep -qm1 avx512f /proc/cpuinfo; then
        summary+=("left    OpenBLAS for SkylakeX: this processor has no AVX-512")
        continue
    fi
    run "OpenBLAS for $core" env OPENBLAS_CORETYPE=$core "$python"
done
for other in ${PYTHONS:-}; do
    run "$("$other" -c 'import sys, torch; print("Python %d.%d, torch %s" % (*sys.version_info[:2], torch.__version__))')" "$other"
done

printf '\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
