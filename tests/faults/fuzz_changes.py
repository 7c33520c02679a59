"""How inputs are spoilt: by bytes, and by what they mean."""

import copy
import json
import math
import shutil

import h5py
import numpy as np

from tests.faults.forged import sign_archive, sign_dataset

DEEP = json.loads("[" * 60 + "]" * 60)
VALUES = [
    None, True, False, 0, -1, 1, 2, 3, 7, 0.5, -0.0, 1e-308, 1e308, -1e308, math.nan, math.inf,
    2**31, 2**53, 2**63, -(2**63), 10**30, 10**400, "", " ", "a", "x", "nan", "inf", "1e5", "0",
    "x" * 5000, "9" * 5000, "\x00", "\x1b[31m", "../../x", "<b>", "ü", "{{ x }}", [], {}, [[]],
    [None], ["a", "a"], [0, 1, 2], {"": None}, {"a": {"b": []}}, DEEP, "os.system", "evil.Field",
    "MLPField", "RK4", "Pendulum", "Bounded", {"class_path": "os.system"}, {"class_path": 3},
    {"class_path": "MLPField", "init_args": {"dim": 2, "width": 3}},
    {"class_path": "MLPField", "init_args": [1]}, {"class_path": "evil.Field"}, {"init_args": {}},
]  # fmt: skip
TOKENS = [
    b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r\n", b",", b";", b"\t", b'"', b"'",
    b"#", b"%", b"nan", b"inf", b"-", b"1e999", b"0x1", b"9" * 400, b"1_0", b"\xe2\x80\xa8",
    "٣".encode(), b"<", b"</graph>", b"<node id='0'/>", b"<!DOCTYPE g>", b"&amp;", b"&x;", b"]]>",
    b"[", b"]", b"{", b"}", b":", b"- ", b"? ", b"&a ", b"*a", b"!!int ", b"!!python/name:os ",
    b"<<: ", b"|", b">", b"null", b"true", b"2020-13-45", b"class_path", b"init_args", b"\\u0000",
]  # fmt: skip


def by_bytes(rng, body, other):
    """A few changes of bytes: bits, pieces, tokens, and pieces of another input."""
    found = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(found) + 1)
        end = min(len(found), at + rng.choice((1, 1, 4, 16, 200)))
        what = rng.randrange(8)
        if what == 0 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < len(found):
            found[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif what == 2:
            del found[at:end]
        elif what == 3:
            found[at:at] = found[at:end] * rng.choice((1, 2, 50))
        elif what == 4:
            found[at:at] = rng.choice(TOKENS)
        elif what == 5:
            found[at:end] = rng.choice(TOKENS)
        elif what == 6:
            del found[at:]
        else:
            start = rng.randrange(len(other) + 1)
            found[at:end] = other[start : start + rng.choice((8, 64, 1000))]
    return bytes(found)


def places(value, path=()):
    """Paths to all values of a tree."""
    yield path
    inner = value.items() if isinstance(value, dict) else ()
    for key, one in (
        inner if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        yield from places(one, (*path, key))


def by_meaning(rng, tree):
    """A tree of JSON types with a few values, keys or branches changed."""
    found = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        path = rng.choice(list(places(found)))
        if not path:
            continue
        owner = found
        for key in path[:-1]:
            owner = owner[key]
        key, what = path[-1], rng.randrange(6)
        if what < 3:
            owner[key] = copy.deepcopy(rng.choice(VALUES))
        elif what == 3:
            del owner[key]
        elif what == 4 and isinstance(owner, dict):
            owner[rng.choice((f"{key}x", str(key)[:-1], "", "a\x00", key.upper()))] = owner.pop(key)
        elif isinstance(owner, list):
            owner[key:key] = [copy.deepcopy(owner[key])] * rng.choice((1, 3))
        else:
            other = rng.choice(list(places(found)))
            value = found
            for step in other:
                value = value[step]
            owner[key] = copy.deepcopy(value)
    return found


def array(rng):
    """An array of any small shape and any type."""
    shape = tuple(rng.choice((0, 1, 2, 3, 5, 11)) for _ in range(rng.randrange(4)))
    kind = rng.choice(("f8", "f4", "f2", "i8", "i4", "u1", "?", "c16", "S3", "M8[s]", "f8", "i8"))
    values = np.array([rng.choice((0, 1, 2, 3, 100)) for _ in range(math.prod(shape))])
    found = values.reshape(shape).astype(kind)
    if kind in ("f8", "f4") and found.size and rng.random() < 0.5:
        found.flat[rng.randrange(found.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e300))
    return found


def numbers(rng, value):
    """An array with one number changed."""
    found = np.array(value)
    if found.size and found.dtype.kind in "iuf":
        bad = (0, -1, 1, 2, 1 << 20, 1 << 40, -(1 << 62))
        bad = (*bad, np.nan, np.inf, -1e308) if found.dtype.kind == "f" else bad
        place = np.unravel_index(rng.randrange(found.size), found.shape)
        with np.errstate(all="ignore"):
            found[place] = np.array(rng.choice(bad)).astype(found.dtype)
    return found


def of_npz(rng, arrays):
    """The arrays of an npz file, some of them others."""
    found = dict(arrays)
    for _ in range(rng.choice((1, 1, 2, 3))):
        name, what = rng.choice(list(found)), rng.randrange(5)
        if what == 0:
            found[name] = array(rng)
        elif what == 1:
            found[name] = numbers(rng, found[name])
        elif what == 2 and len(found) > 1:
            del found[name]
        elif what == 3:
            found[rng.choice(("t", "x", "y", "v", "node", "", "../x", "a" * 300))] = array(rng)
        else:
            found[name] = np.array(found[name])[..., None]
    return found


def _alien(rng, file):
    name = rng.choice(("alien", "graphs/alien", "trajectories/alien", "t", "x"))
    text = h5py.string_dtype()
    what = rng.choice((
        lambda: file.create_dataset(name, data=array(rng)),
        lambda: file.__setitem__(name, h5py.SoftLink(rng.choice(("/", "/nowhere", "/x")))),
        lambda: file.__setitem__(name, h5py.ExternalLink("/etc/passwd", "/")),
        lambda: file.create_dataset(name, (1 << 40,), "f8", chunks=(64,)),
        lambda: file.create_dataset(name, data=["a", "\x00", "ü"], dtype=text),
        lambda: file.create_dataset(name, (2,), h5py.ref_dtype),
        lambda: file.create_dataset(name, (2,), h5py.vlen_dtype("i4")),
        lambda: file.__setitem__(f"{name}/deep/er", file["/"]),
    ))  # fmt: skip
    what()


def of_hdf5(rng, file, names):
    """An open HDF5 file, some of its parts others."""
    for _ in range(rng.choice((1, 1, 2))):
        name, what = rng.choice(names), rng.randrange(8)
        if name not in file or not isinstance(file[name], h5py.Dataset):
            continue
        held = file[name]
        if what < 3 and held.dtype.kind in "iufb":
            held[...] = numbers(rng, held[()])
        elif what == 3:
            del file[name]
            file.create_dataset(name, data=array(rng))
        elif what == 4 and held.dtype.kind == "O":
            held[...] = rng.choice(("", "[]", '["a"]', "{", "ok", "diverged", "[" * 500, "7"))
        elif what == 5:
            file.attrs[rng.choice([*file.attrs, "a"])] = rng.choice(
                ("", "{}", "[1]", '{"columns": 7}', '{"units": {"t": 1}}', 1, 2.5, array(rng))
            )
        elif what == 6:
            del file[name]
        else:
            _alien(rng, file)


def dataset(rng, seed, path, names):
    """A dataset with other parts; mostly with digests that are right again."""
    shutil.copyfile(seed, path)
    try:
        with h5py.File(path, "r+") as file:
            of_hdf5(rng, file, names)
            if "provenance" in file.attrs and rng.random() < 0.3:
                told = by_meaning(rng, json.loads(file.attrs["provenance"]))
                file.attrs["provenance"] = json.dumps(told)
        if rng.random() < 0.8:
            sign_dataset(path)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError):
        pass  # what cannot be written or signed is an input, too


def archive(rng, seed, folder):
    """An archive with another description or other weights, signed anew."""
    body = json.loads((seed / "simulator.json").read_text())
    weights = (seed / "weights.safetensors").read_bytes()
    if rng.random() < 0.3:
        size = int.from_bytes(weights[:8], "little")
        head = by_meaning(rng, json.loads(weights[8 : 8 + size]))
        told = json.dumps(head).encode()
        weights = len(told).to_bytes(8, "little") + told + weights[8 + size :]
    else:
        part = rng.choice(("simulator", "simulator", "provenance"))
        body[part] = by_meaning(rng, body[part])
        if rng.random() < 0.1:
            body = by_meaning(rng, body)
    (folder / "weights.safetensors").write_bytes(weights)
    sign_archive(folder, body)
