"""The kernels as processors with narrower registers would have them, over random cases (tests/fuzz_kernels.py)."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pushforward import kernels
from pushforward.kernels import build

CASES = 300
WITHOUT_512 = "-mno-avx512f"
PLAIN = "-mno-avx -mno-fma"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("compiled" not in kernels.path(), reason=kernels.path()),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the options are those of x86"),
]


@pytest.mark.parametrize("flags", [WITHOUT_512, PLAIN])
def test_random_cases_agree(flags, tmp_path):
    environment = {**os.environ, "CFLAGS": flags, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "fuzz_kernels.py"), str(CASES), "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and f"{CASES:,} cases, 0 differences" in done.stdout, done.stdout[-2000:] + done.stderr[:3000]
    assert "compiling the kernels" in done.stderr and "without compiled kernels" not in done.stderr, done.stderr


SOURCES = Path(kernels.__file__).parent
LOOP = re.compile(r"\bEACH\b")
COPY = re.compile(r" [^;=]+ = [\w\[\]>.+ -]+;")


def bodies(text: str) -> list[tuple[int, int]]:
    """First and last line of what each EACH repeats."""
    found = []
    for match in LOOP.finditer(text):
        start = end = match.end()
        if COPY.match(text, start):  # a call of memcpy or memset then
            continue
        depth = text[end].count("{")
        while depth or text[end] not in "};":
            end += 1
            depth += {"{": 1, "}": -1}.get(text[end], 0)
        found.append((text.count("\n", 0, start) + 1, text.count("\n", 0, end) + 1))
    return found


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
@pytest.mark.parametrize("source", sorted(path.name for path in SOURCES.glob("*.c")))
def test_loops_over_a_tile_are_vector_code(source):
    """One choice within a loop that is the same for all its numbers, and gcc makes it one number after the other: ten times slower."""
    command = ["gcc", *build.FLAGS, *build.CHOICES[0], "-fopt-info-vec-optimized", "-c", source, "-o", os.devnull]
    report = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=True).stderr
    seen = {(file, int(line)) for file, line in re.findall(r"^([\w.]+):(\d+):\d+: optimized: loop vectorized", report, re.MULTILINE)}
    files = {source, *re.findall(r'#include "(\w+\.h)"', (SOURCES / source).read_text())}
    for file in sorted(files):
        text = re.sub(r"#define EACH.*", "", (SOURCES / file).read_text())
        for first, last in bodies(text):
            assert any((file, line) in seen for line in range(first, last + 1)), f"{file}, lines {first} to {last}"
