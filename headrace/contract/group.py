"""The base of every table in the tree of settings."""

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """One table of the tree; every field has a description, which `headrace settings` prints."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
