"""What all tests share: threads wait as in the program, and nothing of the person's own settings is read or written."""

from __future__ import annotations

import os
import tempfile

from renderer.openmp_env import openmp_env

os.environ.update(openmp_env(os.environ))  # before torch is loaded
os.environ["BANDLIMIT_HOME"] = tempfile.mkdtemp(prefix="bandlimit-tests-")
