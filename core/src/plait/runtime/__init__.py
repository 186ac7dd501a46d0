"""Supervisor, workers, drain and admin server; no protocol knowledge."""
