"""Tests against real peers: `make interop` installs those and runs these; what is not there is skipped, with a word."""
