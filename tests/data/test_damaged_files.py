"""A damaged, foreign or treacherous file is refused with its name; it never gives wrong data."""

import random

import h5py
import numpy as np
import pytest

from simlearn.component import DataError
from simlearn.data.store import read, write


@pytest.fixture
def intact(make, tmp_path):
    path = tmp_path / "orbits.h5"
    write(path, [make(3, seed=i) for i in range(2)], {"seed": 1})
    return path


def refused(path, *words):
    """The message, which names the file."""
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    for word in words:
        assert word in message
    return message


def test_a_missing_file_is_refused_with_the_way_to_make_it(tmp_path):
    refused(tmp_path / "none.h5", "There is no dataset", "simlearn generate")


def test_a_folder_is_no_dataset(tmp_path):
    refused(tmp_path, "There is no dataset")


@pytest.mark.fault(10)
@pytest.mark.parametrize("kept", [0, 1, 7, 100, 0.5, 0.9, -1], ids=str)
def test_a_truncated_file_is_refused(intact, kept):
    raw = intact.read_bytes()
    intact.write_bytes(raw[: int(kept * len(raw)) if isinstance(kept, float) else kept])
    refused(intact)


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "notes.h5").write_text("t,x,y\n" * 1000)
    refused(tmp_path / "notes.h5", "is no HDF5 file")


def test_an_hdf5_file_of_another_origin_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    refused(tmp_path / "other.h5", "another origin", "simlearn-trajectories")


@pytest.mark.fault(10)
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("complete", None, "never finished"),
        ("complete", False, "never finished"),
        ("schema", 2, "has schema 2 and was written by another simlearn"),
        ("schema", None, "schema None"),
        ("format", "netcdf", "'netcdf'"),
        ("manifest", None, "damaged"),
        ("manifest", "{", "damaged"),
        ("manifest", "{}", "manifest or provenance was changed"),
        ("provenance", None, "damaged"),
    ],
)
def test_a_mark_that_is_missing_or_wrong_is_refused(intact, name, value, said):
    with h5py.File(intact, "r+") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    refused(intact, said)


def places(path):
    """Where the numbers of each part lie in the file: name, first byte, bytes."""
    found = []

    def look(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iufb" and item.size:
            start = item.id.get_chunk_info(0).byte_offset if item.chunks else item.id.get_offset()
            found.append((name, start, min(item.nbytes, item[:1].nbytes)))

    with h5py.File(path) as file:
        file.visititems(look)
    return found


@pytest.mark.fault(10)
def test_a_byte_flipped_in_any_part_is_noticed(intact):
    raw, where = intact.read_bytes(), places(intact)
    assert len(where) > 30
    rng = random.Random(0)
    for _name, start, size in where:
        damaged = bytearray(raw)
        damaged[start + rng.randrange(size)] ^= 1 << rng.randrange(8)
        intact.write_bytes(damaged)
        refused(intact)


@pytest.mark.fault(10)
def test_a_byte_flipped_anywhere_never_gives_other_data(make, intact):
    raw = intact.read_bytes()
    wanted = list(map(make.content, read(intact).trajectories))
    rng, messages = random.Random(1), []
    for _ in range(120):
        damaged = bytearray(raw)
        damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        intact.write_bytes(damaged)
        try:
            found = read(intact).trajectories
        except DataError as error:
            messages.append(str(error))
        else:
            assert list(map(make.content, found)) == wanted
    assert len(messages) > 12
    assert all(str(intact) in message for message in messages)


@pytest.mark.parametrize("part", ["trajectories/x/values", "graphs/rows", "topologies/node_names"])
def test_a_changed_part_is_named(intact, part):
    with h5py.File(intact, "r+") as file:
        value = file[part][()]
        file[part][...] = value + 1 if value.dtype.kind in "if" else b'["a", "b", "z"]'
    refused(intact, part, "digest")


@pytest.mark.parametrize("part", ["trajectories/x/values", "graphs/rows", "trajectories/mask"])
def test_a_missing_part_is_refused(intact, part):
    with h5py.File(intact, "r+") as file:
        del file[part]
    refused(intact, part, "manifest")


def elsewhere(file):
    path = f"{file.filename}.secret"
    with h5py.File(path, "w") as other:
        other["x"] = np.zeros(3)
    return path


def external_storage(file):
    raw = f"{file.filename}.raw"
    np.zeros(3).tofile(raw)
    file.create_dataset("alien", (3,), "f8", external=[(raw, 0, 24)])


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(elsewhere(file), "x", (3,))
    file.create_virtual_dataset("alien", layout)


ALIENS = {
    "external link": lambda f: f.__setitem__("alien", h5py.ExternalLink(elsewhere(f), "/x")),
    "soft link": lambda f: f.__setitem__("alien", h5py.SoftLink("/graphs/rows")),
    "dangling link": lambda f: f.__setitem__("alien", h5py.SoftLink("/nowhere")),
    "external storage": external_storage,
    "virtual dataset": virtual,
    "named type": lambda f: f.__setitem__("alien", np.dtype("f8")),
    "empty": lambda f: f.create_dataset("alien", data=h5py.Empty("f8")),
    "scalar": lambda f: f.create_dataset("alien", data=1.0),
    "records": lambda f: f.create_dataset("alien", data=np.zeros(2, [("a", "f8")])),
    "references": lambda f: f.create_dataset("alien", (1,), h5py.ref_dtype),
    "huge": lambda f: f.create_dataset("alien", (1 << 40,), "f8", chunks=(1 << 10,)),
    "group in itself": lambda f: f.__setitem__("graphs/alien", f["/"]),
}


@pytest.mark.fault(12)
@pytest.mark.parametrize("make_alien", ALIENS.values(), ids=ALIENS.keys())
def test_what_does_not_belong_into_a_dataset_is_refused(intact, make_alien):
    with h5py.File(intact, "r+") as file:
        make_alien(file)
    refused(intact)


@pytest.mark.fault(12)
@pytest.mark.parametrize("kind", ["soft", "external"])
def test_a_part_moved_behind_a_link_is_refused(intact, kind):
    with h5py.File(intact, "r+") as file:
        if kind == "soft":
            file.move("graphs/rows", "graphs/moved")
            file["graphs/rows"] = h5py.SoftLink("/graphs/moved")
        else:
            with h5py.File(f"{intact}.other", "w") as other:
                file.copy("graphs/rows", other, "rows")
            del file["graphs/rows"]
            file["graphs/rows"] = h5py.ExternalLink(f"{intact}.other", "/rows")
    refused(intact, "link")
