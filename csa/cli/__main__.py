"""`python -m csa.cli`."""

from csa.cli import main

main(prog_name="csa")
