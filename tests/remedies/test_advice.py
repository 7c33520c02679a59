"""The remedies of a report in the order in which they are tried."""

from simlearn import Finding, Metric, Remedy, Report
from simlearn.remedies.advice import advised, key
from simlearn.stability.report import Item

NOISE = Remedy("Inject noise.", "stabilizer", "NoiseInjection")
NOISE_TOO = Remedy("Add noise.", "stabilizer", "NoiseInjection")
SCHEME = Remedy("Use Leapfrog.", "integrator", "Leapfrog")
STEP = Remedy("A smaller step.", "dt")
MORE = Remedy("More data.", "data")


def item(*remedies, good=False, severity="error"):
    metric = Metric("m", 0.0 if good else 2.0, 1.0)
    return Item("Bounded", {}, Finding.of([metric], "", remedies=remedies), severity)


def report(*items):
    return Report("a simulator", "full", items)


def test_best_advice_of_every_finding_comes_first_and_each_once():
    found = advised(report(item(STEP, NOISE, MORE), item(SCHEME, NOISE_TOO)))
    assert found == [STEP, SCHEME, NOISE, MORE]


def test_of_one_rank_what_more_findings_advise_comes_first():
    found = advised(report(item(STEP, MORE), item(SCHEME, NOISE), item(NOISE_TOO)))
    assert found == [NOISE_TOO, STEP, SCHEME, MORE]
    assert key(NOISE) == key(NOISE_TOO)


def test_errors_come_before_warnings_and_good_findings_advise_nothing():
    found = advised(
        report(item(STEP, severity="warning"), item(MORE, NOISE), item(SCHEME, good=True))
    )
    assert found == [MORE, NOISE, STEP]


def test_a_plain_sentence_is_advice_for_people():
    (found,) = advised(report(item("Look at your sensors.")))
    assert (found, found.action) == ("Look at your sensors.", "")


def test_what_was_done_already_is_left_out():
    assert advised(report(item(STEP, SCHEME)), [key(STEP)]) == [SCHEME]
