"""What ``simlearn forecast --help`` says besides the options."""

from __future__ import annotations

import argparse

import jsonargparse

DESCRIPTION = """\
Roll a trained simulator out: from every trajectory of a dataset, or on a graph.

With --data, the forecast goes on where the data end; --start first begins
where they begin, to be laid over them. With --graph and --x0 it runs on a
graph that may never have been seen: an edge list (csv or text, weights after
the two nodes), GraphML, or the node-link JSON of networkx. FILE.h5 becomes a
dataset with alarms and p-values beside the states, FILE.csv a table.

A forecast that leaves the range of the training data is told so. An ensemble,
or a simulator with its sisters, is tested at its own states: whether they, and
the graph, are like those of the training. A forecast that stops being finite
is kept up to there, and the exit code is 5."""

EXAMPLES = """\
examples:
  go on where measured data end, for 200 steps
    simlearn forecast runs/heat --data heat.h5 --steps 200 --out next.h5
  another graph; a line of the list is two nodes, of the start a node and x
    simlearn forecast runs/genes --graph edges.csv --x0 x0.csv --steps 20 \\
        --out forecast.h5
  all nodes begin at 0.5; edges have a direction; keep every tenth step
    simlearn forecast runs/genes --graph edges.csv --directed true --x0 0.5 \\
        --steps 1000 --every 10 --out forecast.h5
  one model and its sisters from other seeds, tested for significance
    simlearn forecast runs/a --sibling runs/b --sibling runs/c \\
        --training-data train.h5 --graph edges.csv --x0 sample --steps 20 \\
        --out forecast.h5"""


class Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the paragraphs and the examples as they are written."""
