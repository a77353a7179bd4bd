"""`python -m csa.cli`."""

from csa.cli.entry import main

main()
