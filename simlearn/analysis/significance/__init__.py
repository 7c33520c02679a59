"""Is a state usual for its graph? A test by the spread of an ensemble, with an exact null.

An ensemble of fields that were trained on different samples of the data agrees where the data
taught it, and parts where they did not. `significance` asks of a state whether the members part
more than they do at states like those of the training *on the same graph*; `relative_spread` asks
whether they part more on this graph than on graphs like those of the training; `Box` tells whether
what the networks see leaves what they saw. `doubt` says the three in words.
"""

from simlearn.analysis.significance.draws import Draw, resampled, rolled
from simlearn.analysis.significance.family import rewired
from simlearn.analysis.significance.inputs import Box
from simlearn.analysis.significance.learned import box_of, family_of, members_of
from simlearn.analysis.significance.ranks import benjamini_hochberg
from simlearn.analysis.significance.spread import Members, RelativeSpread, relative_spread
from simlearn.analysis.significance.states import Significance, significance
from simlearn.analysis.significance.words import UNSEEN, Doubt, doubt

__all__ = [
    "UNSEEN",
    "Box",
    "Doubt",
    "Draw",
    "Members",
    "RelativeSpread",
    "Significance",
    "benjamini_hochberg",
    "box_of",
    "doubt",
    "family_of",
    "members_of",
    "relative_spread",
    "resampled",
    "rewired",
    "rolled",
    "significance",
]
