"""What is raised for bytes that are no Hessian, and for values that Hessian cannot say."""

from __future__ import annotations


class HessianError(ValueError):
    """Bytes or a value that are refused; the only error that this package raises for its input."""


class Truncated(HessianError):
    """The bytes end inside a value: what is there is right so far, and more of it could complete it."""
