"""What pages and help say is what the kept results say."""

import json
import re
from pathlib import Path

import pytest

from simlearn_training_dynamics.callbacks import Sharpness

ROOT = Path(__file__).parents[3]
KEPT = json.loads((ROOT / "benchmarks/results/training_dynamics.json").read_text())
RESULTS = (ROOT / "benchmarks/results/training_dynamics.md").read_text()
PAGE = (ROOT / "docs/training-dynamics.md").read_text()


@pytest.mark.parametrize("text", [PAGE, Sharpness.__doc__], ids=["page", "help"])
def test_the_cost_of_a_look_is_the_measured_one_in_gradients_of_the_probe(text):
    found = [row["CPU time in gradients"] for row in KEPT["costs"] if "a look" in row["what"]]
    (told,) = re.findall(r"(\d+) to (\d+) gradients of the probe", text)
    assert [int(number) for number in told] == [round(min(found)), round(max(found))]


def test_the_page_has_the_scores_of_the_study_and_says_who_was_left_out():
    for name, one in KEPT["learning rates differ"].items():
        numbers = (one["r2"], one["rank_correlation"], one["median_factor"])
        assert f"| {name} | {' | '.join(map(str, numbers))} |" in PAGE
    (begun,) = re.findall(r"^(\d+) trainings of", RESULTS, re.MULTILINE)
    assert f"Of {begun} trainings the\n{KEPT['trainings']['vary']} that did not diverge" in PAGE
