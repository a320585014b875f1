"""`python -m planner` is the `planner` program."""

from planner.cli.app import main

main()
