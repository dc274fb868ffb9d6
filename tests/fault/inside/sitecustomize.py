"""Python imports this by itself at its start, in every process that finds this folder on its PYTHONPATH."""

from tests.fault.places import install

install()
