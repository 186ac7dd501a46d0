"""Tests of what crosses distributions."""
