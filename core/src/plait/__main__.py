"""``python -m plait``: the command ``mesh``, for where it is not on the path."""

import sys

from plait.cli import main

if __name__ == "__main__":
    sys.exit(main())
