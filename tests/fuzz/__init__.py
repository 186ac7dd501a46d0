"""Fuzzing of what reads bytes of peers: targets, what they begin with, and how atheris drives them."""
