"""The service of two folders, with a stand-in that examines studies in a moment."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.serving_studies import AT_ONCE, examine

from lymphct.patients.serving.serving import Places, Service, service
from lymphct.patients.serving.settings import ServingSettings

Serving = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty folder to watch."""
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Where results go; made by the service."""
    return tmp_path / "outbox"


@pytest.fixture
def serving(tmp_path: Path, inbox: Path, outbox: Path) -> Serving:
    """Open the service of the two folders."""

    @contextmanager
    def opened(
        settings: ServingSettings = AT_ONCE, *, by: Any = examine, retry_failed: bool = False
    ) -> Iterator[Service]:
        places = Places(inbox=inbox, outbox=outbox, key=tmp_path / "outbox.key")
        with service(places, settings, by, retry_failed=retry_failed) as running:
            yield running

    return opened
