"""Units: in the header or given, known, and consistent with one another."""

import pytest

from simlearn.component import DataError
from simlearn.data.importing import Columns
from simlearn.data.importing.units import split_header

ROWS = "0,1,5\n1,2,6\n2,4,9\n"


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("q", ("q", None)),
        (" q [m] ", ("q", "m")),
        ("v (m/s)", ("v", "m/s")),
        ("angle[rad]", ("angle", "rad")),
        ("T [°C]", ("T", "°C")),
        ("ratio [-]", ("ratio", "")),
        ("ratio [1]", ("ratio", "")),
        ("ratio []", ("ratio", "")),
        ("x[0]", ("x[0]", None)),
        ("x[1]", ("x[1]", None)),
        ("x(1)", ("x(1)", None)),
        ("q (measured)", ("q (measured)", None)),
        ("q [parrots]", ("q", "parrots")),
    ],
)
def test_headers_are_split(cell, wanted):
    assert split_header(cell) == wanted


def test_units_of_the_header_are_kept(put, take):
    dataset = take(put("a.csv", "t [s],q [m],v [m/s]\n" + ROWS))
    assert dataset.provenance["units"] == {"time": "s", "position": "m", "velocity": "m/s"}
    assert dataset.provenance["columns"]["state"] == ["q"]


def test_columns_may_be_named_with_their_unit(put, take):
    columns = Columns(time="t [s]", state="q [m]", momentum=["v [m/s]"])
    told = take(put("a.csv", "t [s],q [m],v [m/s]\n" + ROWS), columns).provenance["columns"]
    assert (told["time"], told["state"], told["momentum"]) == ("t", ["q"], ["v"])


def test_units_with_blanks_between_columns(put, take):
    text = "t [s]  q [m]  v [m/s]\n" + ROWS.replace(",", "  ")
    assert take(put("a.dat", text)).provenance["units"]["velocity"] == "m/s"


def test_given_units_go_before_those_of_the_header(put, take):
    columns = Columns(units={"q": "km", "v": "km/s"})
    dataset = take(put("a.csv", "t [s],q [parrots],v\n" + ROWS), columns)
    assert dataset.provenance["units"] == {"time": "s", "position": "km", "velocity": "km/s"}


def test_indexed_names_are_no_units(put, take):
    told = take(put("a.csv", "t,x[0],x[1]\n" + ROWS)).provenance["columns"]
    assert told["state"] == ["x[0]", "x[1]"]
    assert told["units"] == {}


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("t [s],q [parrots],v", ["'parrots'", "'q'", "unknown"]),
        ("t [s],q [m],v [kg]", ["'v' is in kg", "m / s", "Mend"]),
        ("t [s],q [m],v [km/s]", ["'v' is in km/s", "factor of 1000"]),
        ("t [ms],q [m],v [m/s]", ["factor of 0.001"]),
    ],
)
def test_units_are_refused(put, take, header, told):
    with pytest.raises(DataError) as error:
        take(put("a.csv", f"{header}\n{ROWS}"))
    for part in ["a.csv", *told]:
        assert part in str(error.value)


def test_the_rate_of_a_derivative(put, take):
    columns = Columns(
        time="t", state="q", derivative="dq", units={"t": "s", "q": "m", "dq": "km/h"}
    )
    with pytest.raises(DataError, match=r"factor of 0\.277778"):
        take(put("a.csv", "t,q,dq\n" + ROWS), columns)


def test_plain_numbers_have_no_rate(put, take):
    take(put("a.csv", "t [s],q [-],v [1/s]\n" + ROWS))


def test_columns_that_are_not_used_may_have_any_unit(put, take):
    columns = Columns(time="t", state=["q"])
    take(put("a.csv", "t,q,note [see below]\n" + ROWS), columns)
