#!/bin/sh
# Learn the motion of Sun and planets from the real ephemeris, and judge what was learned.
# The same commands work by hand; this script only runs what is independent side by side.
#   SIMLEARN=.venv/bin/simlearn sh examples/solar_system.sh
set -eu
cd "$(dirname "$0")/.."
SIMLEARN=${SIMLEARN:-simlearn}
DATA=runs/data
export OMP_NUM_THREADS=1 # nine bodies gain nothing from threads, and two fits run side by side
began=$(date +%s)
mkdir -p "$DATA"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'kill 0; exit 130' INT
trap 'kill 0; exit 143' TERM

# Runs a fit, keeps what it says in a file, and prints the run folder it made.
fit() {
  "$SIMLEARN" fit -c "configs/fit/$1.yaml" >"$work/$1.out" 2>"$work/$1.err" || {
    cat "$work/$1.err" >&2
    return 1
  }
  sed -n 's/^run: //p' "$work/$1.out"
}

echo "1/4  the ephemeris: 20 years to learn from (1980-1999), 20 years to forecast (2000-2019)"
"$SIMLEARN" generate -c configs/data/solar-system-train.yaml --out "$DATA/solar-system-train.h5" --overwrite &
first=$!
"$SIMLEARN" generate -c configs/data/solar-system-test.yaml --out "$DATA/solar-system-test.h5" --overwrite
wait "$first"

echo "2/4  two references: Newton's law with published masses, and a plain neural ODE (in the background)"
{
  fit solar-system-newton >"$work/newton"
  fit solar-system-neural-ode >"$work/ode"
} &
second=$!

echo "3/4  one learned mass for each body, one learned force between all pairs"
"$SIMLEARN" fit -c configs/fit/solar-system.yaml >"$work/main.out"
run=$(sed -n 's/^run: //p' "$work/main.out")
echo "run: $run"
wait "$second"

echo "4/4  the gate: 10 years against held-out data, 1000 years of energy, momentum, masses, force"
code=0
"$SIMLEARN" check "$run" --data "$DATA/solar-system-test.h5" --training-data "$DATA/solar-system-train.h5" \
  --reference "newton=$(cat "$work/newton")" --reference "neural-ode=$(cat "$work/ode")" \
  -c configs/gate/solar-system.yaml --out "$run/report" || code=$?
echo "took $(($(date +%s) - began)) s; open $run/report/report.html"
exit "$code"
