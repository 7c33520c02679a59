"""metrics.csv stays one table."""

import contextlib
import os
import resource
import signal

import pytest

from simlearn.component import EnvironmentFault
from simlearn.training.metrics import Metrics


def lines(folder):
    return (folder / "metrics.csv").read_text().splitlines()


def test_new_columns_come_in_and_rows_stay(tmp_path):
    logger = Metrics(str(tmp_path))
    logger.log_metrics({"loss": 1.0, "epoch": 0}, step=3)
    logger.save()
    logger.log_metrics({"loss": 0.5, "epoch": 1}, step=7)
    logger.save()
    logger.log_metrics({"error": 0.25}, step=8)
    logger.finalize("success")
    assert lines(tmp_path) == ["epoch,error,loss,step", "0,,1.0,3", "1,,0.5,7", ",0.25,,8"]
    assert logger.rows == 3


def test_what_came_after_a_checkpoint_is_written_once(tmp_path):
    """Also where the process died while it wrote the last line."""
    logger = Metrics(str(tmp_path))
    for step in range(4):
        logger.log_metrics({"loss": step / 8}, step=step)
        logger.save()
    whole = lines(tmp_path)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("0.5")
    again = Metrics(str(tmp_path))
    again.go_on(2)
    assert lines(tmp_path) == whole[:3]
    for step in (2, 3):
        again.log_metrics({"loss": step / 8}, step=step)
    again.save()
    assert lines(tmp_path) == whole
    assert again.rows == 4


def test_a_table_that_begins_replaces_what_is_there(tmp_path):
    (tmp_path / "metrics.csv").write_text("of,another\n1,2\n")
    logger = Metrics(str(tmp_path))
    logger.save()
    assert lines(tmp_path) == ["of,another", "1,2"], "nothing was logged yet"
    logger.log_metrics({"loss": 1.0})
    logger.save()
    assert lines(tmp_path) == ["loss,step", "1.0,0"]


def test_without_a_table_it_begins(tmp_path):
    logger = Metrics(str(tmp_path / "new"))
    logger.go_on(5)
    logger.log_metrics({"loss": 1.0}, step=9)
    logger.save()
    assert lines(tmp_path / "new") == ["loss,step", "1.0,9"]


def test_what_cannot_be_written_waits_and_leaves_no_half_row(tmp_path):
    """The kernel refuses to let the file grow; a resumed training writes what a checkpoint kept."""
    process = os.fork()
    if not process:
        code = 1
        with contextlib.suppress(BaseException):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            logger = Metrics(str(tmp_path))
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (50, most))
            for step in range(12):
                logger.log_metrics({"loss": step / 8}, step=step)
                logger.save()
            rows, waiting = logger.standing()
            with pytest.raises(EnvironmentFault, match="could not be written"):
                logger.refuse_lost()
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            (tmp_path / "kept").write_text(repr((rows, waiting)))
            code = 0
        os._exit(code)
    assert os.waitpid(process, 0)[1] == 0
    rows, waiting = eval((tmp_path / "kept").read_text())
    assert rows + len(waiting) == 12
    assert waiting
    assert len(lines(tmp_path)) == 1 + rows
    assert (tmp_path / "metrics.csv").read_bytes().endswith(b"\n")
    again = Metrics(str(tmp_path))
    again.go_on(rows, waiting)
    again.finalize("success")
    assert lines(tmp_path) == ["loss,step", *(f"{step / 8},{step}" for step in range(12))]
