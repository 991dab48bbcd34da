"""What all tests share: threads that wait do not spin, and nothing of the person's own settings is read or written."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is loaded
os.environ["BANDLIMIT_HOME"] = tempfile.mkdtemp(prefix="bandlimit-tests-")
