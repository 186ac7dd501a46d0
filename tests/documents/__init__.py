"""What the documentation shows, and a place to try it: used by ``tests/test_docs.py``."""
