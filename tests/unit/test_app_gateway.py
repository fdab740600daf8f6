"""What the gateway needs before it starts."""

from __future__ import annotations

import sys

import pytest

from agent_worker.app_gateway import require_installed
from agent_worker.domain.errors import ConfigurationError


def test_a_missing_extra_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_installed()
    monkeypatch.setitem(sys.modules, "fastapi", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'agent-worker\[gateway\]'"):
        require_installed()
