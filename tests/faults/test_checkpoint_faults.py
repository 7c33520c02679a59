"""Fault rows 3, 4, 6 and 7: full disks, lost permissions, damaged and malicious checkpoints."""

import contextlib
import hashlib
import os
import pathlib
import pickle
import resource
import shutil
import signal
import subprocess

import pytest
import torch

from simlearn.component import ArchiveError, EnvironmentFault
from simlearn.training.checkpoint import CheckpointFiles, newest, read, verified

CONFIG = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 8}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4}}
  steps_per_call: 2
data: {generator: Pendulum, count: 6, steps: 41, dt: 0.1, batch_size: 8}
trainer:
  max_epochs: EPOCHS
  callbacks: [{class_path: Checkpoints, init_args: {every_steps: 1FOLDER}}]
"""
FIT = ("fit", "-c", "x.yaml")
WEIGHTS = "runs/x/simulator/weights.safetensors"


def config(path, epochs=3, folder=None):
    path.mkdir(exist_ok=True)
    where = f", folder: {folder}" if folder else ""
    text = CONFIG.replace("EPOCHS", str(epochs)).replace("FOLDER", where)
    (path / "x.yaml").write_text(text)
    return path


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of its own that can be filled, where mounting is permitted."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path):
    """Leave no byte free."""
    with (path / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass


@pytest.mark.fault(3)
def test_a_full_disk_costs_no_checkpoint(forks, tmp_path, sha256):
    """Its own file system runs full: exit 6 with the sizes, the old ones sound, one spilled."""
    whole = config(tmp_path / "whole", 12)
    assert forks.run(whole, *FIT)[0] == 0
    with small_disk(tmp_path / "disk", "1m") as disk:
        here = config(tmp_path / "here", 12, disk / "checkpoints")
        process = forks.start(here, *FIT, "--spill", "elsewhere")
        process.until((disk / "checkpoints/previous.ckpt").exists)
        fill(disk)
        assert process.wait() == 6
        said = process.said()
        assert "checkpoints/last.ckpt was not written: No space left on device" in said
        assert "bytes, 0 bytes are free there" in said
        for name in ("last.ckpt", "previous.ckpt"):
            assert (disk / "checkpoints" / name).exists()
        assert newest(disk / "checkpoints", lambda line: None).name == "last.ckpt"
        spilled = next((here / "elsewhere").glob("*.ckpt"))
        assert f"--resume {spilled}" in said
        (disk / "filler").unlink()
        code, process = forks.run(here, *FIT, "--run", "x", "--resume", spilled)
        assert code == 0, process.said()
    assert sha256(here / WEIGHTS) == sha256(whole / WEIGHTS)


@pytest.mark.fault(3)
def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    """The same without a file system of its own: the kernel refuses to let a file grow."""
    target = tmp_path / "checkpoints/last.ckpt"
    files = CheckpointFiles()
    files.save_checkpoint({"state_dict": {"w": torch.zeros(10)}}, target)
    process = os.fork()
    if not process:
        code = 1
        with contextlib.suppress(BaseException):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
            try:
                files.save_checkpoint({"state_dict": {"w": torch.zeros(100_000)}}, target)
            except EnvironmentFault as error:
                told = ("File too large", "What was there before is intact")
                code = int(not all(part in str(error) for part in told))
        os._exit(code)
    assert os.waitpid(process, 0)[1] == 0
    assert read(target)["state_dict"]["w"].shape == (10,)
    names = sorted(path.name for path in target.parent.iterdir())
    assert names == ["last.ckpt", "last.ckpt.sha256"]


@pytest.mark.fault(3)
@pytest.mark.fault(4)
def test_a_disk_that_cannot_be_written_is_known_at_the_start(forks, tmp_path):
    """The first checkpoint is taken before the first step; a training without one never begins."""
    here = config(tmp_path / "here", 3, "/proc/nowhere/checkpoints")
    code, process = forks.run(here, *FIT)
    assert code == 6
    told = "Cannot keep the checkpoints of runs/x in /proc/nowhere/checkpoints: No such file"
    assert told in process.said()
    assert not (here / "runs").exists()


@pytest.mark.fault(4)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_closed_in_the_middle_is_no_silent_success(forks, tmp_path):
    here = config(tmp_path / "here", 100000)
    process = forks.start(here, *FIT)
    kept = here / "runs/x/checkpoints"
    process.until((kept / "last.ckpt").exists)
    kept.chmod(0o555)
    try:
        assert process.wait() == 6
    finally:
        kept.chmod(0o755)
    assert "Permission denied" in process.said()
    assert newest(kept, lambda line: None) is not None


@pytest.mark.fault(4)
def test_a_file_system_that_turns_read_only_is_no_silent_success(forks, tmp_path):
    with small_disk(tmp_path / "disk", "4m") as disk:
        here = config(tmp_path / "here", 100000, disk / "checkpoints")
        process = forks.start(here, *FIT)
        process.until((disk / "checkpoints/last.ckpt").exists)
        try:  # over itself, for nothing can be taken away from one in which a lock is held
            subprocess.run(["mount", "--bind", disk, disk], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)
            assert process.wait() == 6
            assert "Read-only file system" in process.said()
            assert newest(disk / "checkpoints", lambda line: None) is not None
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.fault(3)
def test_a_full_disk_costs_no_row_of_the_metrics(forks, tmp_path, sha256):
    """The whole run lies on it: the checkpoint comes first, and keeps the rows that wait."""
    whole = config(tmp_path / "whole", 40)
    assert forks.run(whole, *FIT)[0] == 0
    elsewhere = tmp_path / "elsewhere"
    with small_disk(tmp_path / "disk", "1m") as disk:
        here = config(disk / "here", 40)
        process = forks.start(here, *FIT, "--spill", elsewhere)
        process.until((here / "runs/x/metrics.csv").exists)
        fill(disk)
        assert process.wait() == 6
        assert (here / "runs/x/metrics.csv").read_bytes().endswith(b"\n"), "no half row"
        spilled = next(elsewhere.glob("*.ckpt"))
        (disk / "filler").unlink()
        code, process = forks.run(here, *FIT, "--run", "x", "--resume", spilled)
        assert code == 0, process.said()
        for name in (WEIGHTS, "runs/x/metrics.csv"):
            assert sha256(here / name) == sha256(whole / name)


@pytest.fixture(scope="module")
def trained(forks, tmp_path_factory):
    """A run that ended, with its last and its previous checkpoint."""
    here = config(tmp_path_factory.mktemp("trained") / "run")
    code, process = forks.run(here, *FIT)
    assert code == 0, process.said()
    return here


@pytest.fixture
def run(trained, tmp_path):
    here = tmp_path / "run"
    shutil.copytree(trained, here, symlinks=True)
    return here


def flipped(body):
    place = len(body) // 2
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


DAMAGE = {
    "truncated": lambda body: body[: len(body) // 2],
    "empty": lambda body: b"",
    "zeros": lambda body: bytes(len(body)),
    "one bit flipped": flipped,
}


@pytest.mark.fault(6)
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_told_and_never_read(forks, run, how, sha256):
    last = run / "runs/x/checkpoints/last.ckpt"
    wanted = sha256(last)
    last.write_bytes(DAMAGE[how](last.read_bytes()))
    code, process = forks.run(run, *FIT, "--resume", "runs/x/checkpoints/last.ckpt")
    said = process.said()
    assert code == 7
    assert f"its SHA-256 is {sha256(last)}, and last.ckpt.sha256 says {wanted}" in said
    assert "A sound one: --resume runs/x/checkpoints/previous.ckpt" in said
    before = sha256(run / WEIGHTS)
    code, process = forks.run(run, *FIT, "--resume")
    assert code == 0, process.said()
    assert "skipped: The checkpoint runs/x/checkpoints/last.ckpt is damaged" in process.said()
    assert "going on from runs/x/checkpoints/previous.ckpt" in process.said()
    assert sha256(run / WEIGHTS) == before
    assert verified(last), "and a sound one takes its place"


@pytest.mark.fault(6)
def test_where_none_is_sound_nothing_begins_anew(forks, run):
    for path in (run / "runs/x/checkpoints").glob("*.ckpt"):
        path.write_bytes(b"")
    code, process = forks.run(run, *FIT, "--resume")
    assert code == 7
    assert "No other checkpoint in runs/x/checkpoints is sound" in process.said()


@pytest.mark.fault(6)
def test_a_checkpoint_without_a_sum_is_judged_by_its_own(trained, tmp_path):
    """Those that simlearn 0.1 wrote, or another callback, have none: ZIP has CRC-32s."""
    body = (trained / "runs/x/checkpoints/last.ckpt").read_bytes()
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes(body)
    assert "state_dict" in read(alone)
    for damage in DAMAGE.values():
        alone.write_bytes(damage(body))
        with pytest.raises(ArchiveError, match="damaged or no checkpoint"):
            read(alone)


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def signed(path):
    """As whoever forges a file would do."""
    told = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    path.with_name(f"{path.name}.sha256").write_text(told)


@pytest.mark.fault(7)
@pytest.mark.parametrize("forced", [False, True])
def test_a_checkpoint_with_code_in_it_runs_nothing(forks, run, tmp_path, forced):
    """Even with a right sum beside it, and where torch's safety is switched off by a variable."""
    canary = tmp_path / "canary"
    path = run / "evil.ckpt"
    body = read(run / "runs/x/checkpoints/last.ckpt")
    torch.save({**body, "hyper_parameters": Malice(canary)}, path)
    signed(path)
    force = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"} if forced else {}
    for command in ("fit", "validate", "test", "predict"):
        code, process = forks.run(run, command, "-c", "x.yaml", "--resume", path, **force)
        assert code == 7, (command, process.said())
        assert "holds more than weights and plain types" in process.said()
    path.write_bytes(pickle.dumps(Malice(canary)))
    signed(path)
    code, process = forks.run(run, *FIT, "--resume", path, **force)
    assert code == 7
    assert "holds more than weights and plain types" in process.said(), "torch was asked"
    assert not canary.exists()


@pytest.mark.fault(7)
def test_a_forged_class_path_imports_nothing(forks, run, tmp_path):
    """A Lightning checkpoint may name what makes its module; that is never looked at here."""
    canary = tmp_path / "canary"
    (run / "evil_module.py").write_text(f"open({str(canary)!r}, 'w').close()\nclass Net: pass\n")
    body = read(run / "runs/x/checkpoints/last.ckpt")
    forged = {"_class_path": "evil_module.Net", "_instantiator": "evil_module.Net"}
    torch.save({**body, "hyper_parameters": forged}, run / "evil.ckpt")
    code, process = forks.run(
        run,
        *FIT,
        "--run",
        "x",
        "--resume",
        "evil.ckpt",
        "--trainer.max_epochs=4",
        PYTHONPATH=str(run),
    )
    assert code == 0, process.said()
    assert not canary.exists()


@pytest.mark.fault(7)
def test_a_url_is_not_fetched(forks, run):
    code, process = forks.run(run, *FIT, "--resume", "http://127.0.0.1:9/evil.ckpt")
    assert code == 7
    assert "is a URL: it is not fetched" in process.said()


FORGED = {
    "hardly anything": lambda body: {"state_dict": {}},
    "a list for what simlearn keeps": lambda body: {**body, "simlearn": []},
    "no machine": lambda body: kept(body, machine={}),
    "no random numbers": lambda body: kept(body, random={}),
    "rows that are text": lambda body: kept(body, rows="many"),
    "no loops": lambda body: {**body, "loops": {}},
    "an absurd count": lambda body: {**body, "loops": counted(body["loops"])},
    "moments of another size": lambda body: {**body, "optimizer_states": moments(body, 3)},
    "moments of one number": lambda body: {**body, "optimizer_states": moments(body)},
    "a ledger of hardly anything": lambda body: {**body, "callbacks": {"Ledger": {"updates": -1}}},
    "a version that is none": lambda body: {**body, "pytorch-lightning_version": "x"},
}


def kept(body, **other):
    return {**body, "simlearn": {**body["simlearn"], **other}}


def counted(loops):
    epochs = loops["fit_loop"]["epoch_progress"]
    current = {**epochs["current"], "processed": -(10**30)}
    return {"fit_loop": {**loops["fit_loop"], "epoch_progress": {**epochs, "current": current}}}


def moments(body, *shape):
    (one,) = body["optimizer_states"]
    state = {key: {**value, "exp_avg": torch.zeros(shape)} for key, value in one["state"].items()}
    return [{**one, "state": state}]


@pytest.mark.fault(6)
@pytest.mark.parametrize("how", FORGED)
def test_a_forged_checkpoint_is_refused_and_nothing_is_trained(forks, run, how):
    """A whole file of torch that no training wrote; a SHA-256 says nothing of that."""
    body = read(run / "runs/x/checkpoints/last.ckpt")
    torch.save(FORGED[how](body), run / "evil.ckpt")
    kept = {path: path.read_bytes() for path in (run / "runs/x").rglob("*") if path.is_file()}
    code, process = forks.run(
        run, *FIT, "--run", "x", "--resume", "evil.ckpt", "--trainer.max_epochs", "4"
    )
    assert code == 7, process.said()
    assert "heckpoint" in process.said()
    assert "Traceback" not in process.said()
    name = "runs/x/checkpoints/last.ckpt"
    assert (run / name).read_bytes() == kept[run / name]
