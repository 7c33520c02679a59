"""Fixtures of the faults."""

import hashlib
import pathlib

import pytest

from tests.faults.forks import served


@pytest.fixture(scope="session")
def forks():
    with served() as server:
        yield server


@pytest.fixture
def sha256():
    def of(path):
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()

    return of
