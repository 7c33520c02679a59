"""What ``simlearn check --help`` says besides the options."""

from __future__ import annotations

DESCRIPTION = """\
Judge a trained simulator by the checks of a gate file, on data it was not
trained on. Writes report.json, junit.xml, summary.md and report.html.

The gate file names what is judged, too, if it says `simulator:` and `data:`;
then `simlearn check -c GATE.yaml` is enough. What the command line says wins."""

EPILOG = """\
suites:
  A gate file has named lists of checks: usually `smoke`, within a minute, for
  every change, and `full`, for every training. Without --suite, `full` is
  judged, or the first one where there is no `full`.

baselines:
  A limit in the gate says what is good enough; a baseline says what was
  reached. --update-baseline writes the numbers of a passing simulator into a
  small file to be committed, and prints what changes; a gate that fails is
  never written. --baseline FILE, or `baseline: FILE` in the gate, compares: a
  metric that is worse than the tolerance, the noise and the spread of the
  --sibling simulators allow fails the gate. Numbers of other data, another
  step, seed or other arguments of a check are refused, not compared.

remedies:
  --remedy tries what the report of a failing gate advises: first what needs no
  training (another integrator, a smaller step, a projection), then the run's
  own config with one change, trained anew from the same seed. The held-out
  data choose; the winner is confirmed on evidence that was kept aside. It is
  written to a run of its own, runs/NAME-remedied, and its config beside the
  report. The exit code stays 1: what was judged is no better for it.

exit codes:
  0  every check of severity error passed, and nothing became worse
  1  the gate failed: the simulator is not good enough
  2  an option, the gate file or the baseline is wrong, or does not fit
  3  data missing, damaged or too short    6  disk, memory, permission
  4  a plugin does not load                7  the archive is unusable
  5  numbers broke down outside a check   70  a bug of simlearn

examples:
  judge by the gate in the run's own folder, or by one that is kept elsewhere
    simlearn check runs/pendulum --data test.h5
    simlearn check runs/pendulum --data test.h5 -c pendulum.gate.yaml
  a quick look, with a reference drawn beside it
    simlearn check runs/pendulum --data test.h5 -c pendulum.gate.yaml \\
        --suite smoke --reference last-week=runs/old
  bless these numbers, with the spread of two more seeds; compare from then on
    simlearn check runs/pendulum --data test.h5 -c pendulum.gate.yaml \\
        --sibling runs/b --sibling runs/c --baseline b.json --update-baseline
    simlearn check runs/new --data test.h5 -c pendulum.gate.yaml \\
        --baseline b.json
  look for a remedy, with four trainings at most
    simlearn check runs/pendulum --data test.h5 -c pendulum.gate.yaml \\
        --remedy --remedy-tries 4
"""
