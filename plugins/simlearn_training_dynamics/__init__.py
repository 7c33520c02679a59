"""Training watched as a dynamical system.

It brings no components but callbacks for Lightning's Trainer, which a config names by full path:

    trainer:
      callbacks:
        - {class_path: simlearn_training_dynamics.callbacks.Sharpness, init_args: {every: 100}}

They look at a training and change no number of it. What they find goes into metrics.csv, into the
archive, and from there into the report of a gate.
"""

from __future__ import annotations

import simlearn


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """None: callbacks are named by full path."""
    return []
