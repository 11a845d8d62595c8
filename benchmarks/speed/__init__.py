"""How fast the same flows are here and elsewhere: ``make bench``, or ``PYTHONPATH=benchmarks python -m speed --help``."""
