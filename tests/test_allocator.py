"""Memory between the steps of training."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_freed_memory_is_kept():
    """A step that frees and asks again touches no new pages; the user's own settings are respected."""
    code = """
import resource, sys, torch
from pushforward.training.allocator import keep_freed_memory
kept = keep_freed_memory()
def step(): return [torch.zeros(2**20) for _ in range(8)]
step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {}
    for environment in ({}, {"MALLOC_TRIM_THRESHOLD_": "131072"}):
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True)
        kept, count = done.stdout.split()
        faults[kept] = int(count)
    assert faults.keys() == {"True", "False"} and faults["True"] < faults["False"] / 10
