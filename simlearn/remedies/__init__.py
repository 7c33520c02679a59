"""From a failing report to a simulator that passes: remedies tried, judged, priced.

The only room that both trains and gates. `remedy` tries what the findings advise, one change of the
run's config at a time, and confirms the winner on evidence that had no part in the choice.
"""

from simlearn.remedies.search import TRIES, remedy
from simlearn.remedies.trial import Trial, Trials

__all__ = ["TRIES", "Trial", "Trials", "remedy"]
