"""The directory of the results: tried before anything is measured, rid of a former run's report then."""
import json
import os
import pathlib
import sys
import tempfile

from . import plots, report


def try_out(directory: pathlib.Path) -> None:
    """Makes it, and a file in it. Ends the program with a clear line when that cannot be."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        sys.exit(f"error: nothing can be written to {directory} (--out): {error.strerror or error}")


def clear(directory: pathlib.Path) -> None:
    """A report and plots beside results that are not theirs would mislead. Only files of our own names go."""
    for name in ("results.json", "report.md", *plots.NAMES):
        (directory / name).unlink(missing_ok=True)


def load(directory: pathlib.Path) -> dict:
    """The results of a former run, for --report, which writes beside them."""
    try:
        results = report.read_json(directory)
    except FileNotFoundError:
        sys.exit(f"error: there is no results.json in {directory}")
    except (OSError, ValueError) as error:
        kind = "is not JSON" if isinstance(error, json.JSONDecodeError) else "cannot be read"
        sys.exit(f"error: {os.fspath(directory / 'results.json')} {kind}: {error}")
    try_out(directory)
    return results
