"""What every section of the settings is made from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _path(value: Path) -> Path:
    try:
        named = os.fsencode(value)
    except ValueError:
        named = b"\0"
    if b"\0" in named:
        raise ValueError("not a path that can be named")
    return value


NamedPath = Annotated[Path, AfterValidator(_path)]


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")
