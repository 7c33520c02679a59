"""The page "Stop and resume" is run as it stands, in an empty folder."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from simlearn.training.checkpoint import read

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/resume.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|sh|yaml)\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder after the whole page, and what each command said."""
    here = tmp_path_factory.mktemp("page")
    if not shutil.which("sha256sum"):
        pytest.skip("the page checks a sum with sha256sum")
    (here / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    (here / "srun").chmod(0o755)
    paths = [str(here), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": os.pathsep.join(paths)}
    said = []
    for kind, block in BLOCKS:
        if kind == "yaml":
            (here / re.match(r"# (\S+)", block)[1]).write_text(block)
            continue
        lines = [[sys.executable, "-c", block]] if kind == "python" else block.strip().splitlines()
        for line in lines:
            done = subprocess.run(
                line, shell=kind == "sh", cwd=here, env=env, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            said.append((str(line), done.stdout + done.stderr))
    return here, said


@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(walked):
    here, said = walked
    told = dict(said)
    assert "the training had ended already" in told["simlearn fit -c swing.yaml --resume"]
    (refused,) = (text for line, text in said if line.endswith("|| test $? = 7"))
    assert "model.clip: None before, 1.0 now" in refused
    body = json.loads((here / "runs/swing/simulator/simulator.json").read_text())
    assert len(body["provenance"]["drift"]) == 1
    assert (here / "runs/cluster/simulator").is_dir()
    assert read(here / "here/checkpoints/last.ckpt")["epoch"] == 4
