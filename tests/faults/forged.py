"""Files as a forger would make them: changed, with digests that are right again."""

import hashlib
import json

import h5py


def sha256(text):
    """The digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def sign_dataset(path):
    """Let manifest and digests of a dataset say what is in it now."""
    from simlearn.data.layout import digest, joined, parts

    with h5py.File(path, "r+") as file:
        small = [(name, part) for name, part in parts(file) if (part.nbytes or 0) < 1 << 26]
        manifest = {name: digest(part) for name, part in small}
        attributes = {
            "manifest": json.dumps(manifest, sort_keys=True),
            "digest": joined(manifest),
            "provenance_sha256": sha256(file.attrs["provenance"]),
            "complete": True,
        }
        for name, value in attributes.items():
            file.attrs[name] = value


def sign_archive(folder, body):
    """Write the description of an archive with the digests that it needs."""
    weights = (folder / "weights.safetensors").read_bytes()
    body["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    body.pop("sha256", None)
    body["sha256"] = sha256(json.dumps(body, sort_keys=True))
    (folder / "simulator.json").write_text(json.dumps(body), encoding="utf-8")
