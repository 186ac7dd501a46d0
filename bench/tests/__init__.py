"""Tests of the harness itself; none of them measures or asserts a duration."""
