"""The one error of the harness: a run that must not be reported, or that cannot be made here."""


class BenchError(Exception):
    """What failed, where, and what to do about it."""
