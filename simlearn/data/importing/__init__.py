"""Bring your own trajectories: csv, Parquet, npz and HDF5 into the dataset file."""

from simlearn.data.importing.census import Census
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.run import Imported, import_data
from simlearn.data.importing.texts import Format

__all__ = ["Census", "Columns", "Format", "Imported", "import_data"]
