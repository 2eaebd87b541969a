"""``python -m maxlake.cli``."""

from maxlake.cli import main

main()
