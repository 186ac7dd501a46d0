"""The command `mesh` and its verbs; no logic."""
