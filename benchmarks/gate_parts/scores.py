"""From records to rates: the split, the limits that the calibration fixes, and who was right."""

import math
from dataclasses import dataclass

import numpy as np

from simlearn.analysis.horizon import wilson

from .members import Member

CALIBRATION = 50
DIGITS = 2  # of a limit
TRIED, WIDTH = 2000, 0.2  # limits that are tried; see `limit`


def member_of(record):
    """The member that a record is of."""
    return Member(**record["member"])


def key_of(record):
    """The place of a record in the split."""
    return member_of(record).key


def split(found, key=key_of, drawn=None):
    """Calibration and held-out members: by the hash of seed and index alone.

    Of a panel of fewer than a hundred members, half are for the calibration. Where not all that
    were drawn are there yet, those of the calibration have to be: they come first.
    """
    order = sorted(found, key=key)
    count = min(CALIBRATION, (drawn or len(order)) // 2)
    return order[:count], order[count:]


def decided(records):
    """Those with a fate: the training gave a simulator."""
    return [record for record in records if "fate" in record]


def doomed(record):
    """By brute force."""
    return record["fate"]["doomed"]


def number(value):
    """A number of a record; JSON has no infinity."""
    return math.inf if value is None else value


def foretold(record):
    """The size that Escape judges."""
    return max(map(number, record["gate"]["Escape"]["metrics"].values()))


def loss(record):
    """The loss on held-out windows."""
    return number(record["validation"]["loss"])


def forecast_error(record):
    """The error of a forecast of a hundred steps, in spreads."""
    return number(record["validation"]["forecast_error"])


def as_shipped(record):
    """Whether the gate failed it, with the limit that it shipped with when it was judged."""
    return record["gate"]["Escape"]["verdict"] == "fail"


def unlearnable(record):
    """Whether UnlearnableDirections fails it."""
    return record["gate"]["UnlearnableDirections"]["verdict"] == "fail"


def limit(records, score):
    """The limit on a score with the fewest mistakes.

    Mistakes are the share of doomed that pass and the share of sound that fail, added. A member
    near the limit counts as half a mistake, by a logistic function of ln(score / limit) whose width
    is 0.2: without it a few members among fifty would decide.
    """
    values = np.array([score(record) for record in records])
    lost = np.array([doomed(record) for record in records])
    known = values[np.isfinite(values)]
    tried = np.geomspace(known.min() / 2, 2 * known.max(), TRIED)
    with np.errstate(over="ignore"):
        passes = 1 / (1 + np.exp(np.log(values / tried[:, None]) / WIDTH))
    wrong = passes[:, lost].mean(1) + (1 - passes[:, ~lost]).mean(1)
    best = np.log(tried[wrong <= wrong.min() + 1e-9])
    return rounded(math.exp(best.mean()))


def rounded(value):
    """With two digits."""
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True)
class Rate:
    """A share that was counted.

    Args:
        count: How many.
        total: Of how many.
    """

    count: int
    total: int

    @property
    def share(self):
        """The share, NaN of none."""
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self):
        """Wilson's 95 % interval."""
        return wilson(self.count, self.total) if self.total else (0.0, 1.0)

    def json(self):
        """As JSON."""
        low, high = self.interval
        return {
            "count": self.count,
            "total": self.total,
            "share": self.share,
            "wilson": [low, high],
        }


def rates(records, fails):
    """Doomed that are caught, sound that are failed, all that are right."""
    caught = [fails(record) for record in records if doomed(record)]
    failed = [fails(record) for record in records if not doomed(record)]
    right = sum(caught) + len(failed) - sum(failed)
    return {
        "caught": Rate(sum(caught), len(caught)),
        "failed": Rate(sum(failed), len(failed)),
        "right": Rate(right, len(records)),
    }


def ranking(records, score):
    """Chance that a doomed member scores above a sound one (area under the ROC curve)."""
    above = [score(record) for record in records if doomed(record)]
    below = [score(record) for record in records if not doomed(record)]
    if not above or not below:
        return math.nan
    wins = sum((a > b) + 0.5 * (a == b) for a in above for b in below)
    return wins / len(above) / len(below)


@dataclass(frozen=True)
class Judges:
    """Who judges, with limits that the calibration members fixed.

    Args:
        escape: Limit of Escape, the check that decides the gate; the others of its suite warn.
        loss: Limit of the validation loss.
        forecast: Limit of the forecast error.
    """

    escape: float
    loss: float
    forecast: float

    @classmethod
    def of(cls, calibration):
        """All limits from these members and no other."""
        return cls(*(limit(calibration, score) for score in (foretold, loss, forecast_error)))

    def gate(self, record):
        """Whether the gate would fail it with the limit of the calibration."""
        return foretold(record) > self.escape

    def by_loss(self, record):
        """Whether the validation loss would have failed it."""
        return loss(record) > self.loss

    def by_forecast(self, record):
        """Whether the error of a forecast would have failed it."""
        return forecast_error(record) > self.forecast

    def rows(self):
        """Everybody who judges: name, verdict, and score for the ranking."""
        return [
            ("the gate, as shipped", as_shipped, foretold),
            ("Escape, limit of the calibration", self.gate, foretold),
            ("UnlearnableDirections alone", unlearnable, unlearnable),
            ("validation loss", self.by_loss, loss),
            ("forecast error, 100 steps", self.by_forecast, forecast_error),
        ]
