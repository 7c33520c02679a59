"""Draws a `Curve` and a `Film`: the only room that imports matplotlib, and only to draw."""

from simlearn.stability.draw.film import FRAMES, gif, place, poster, still
from simlearn.stability.draw.lines import draw, labelled, picture, thinned

__all__ = ["FRAMES", "draw", "gif", "labelled", "picture", "place", "poster", "still", "thinned"]
