"""What `make` and people run, and what that needs."""
