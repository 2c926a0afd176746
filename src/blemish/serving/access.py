"""Who may ask."""

from __future__ import annotations

import hmac

from fastapi import Request
from starlette.exceptions import HTTPException


class Access:
    """Lets requests through that show the token, as `Authorization: Bearer TOKEN`.

    Args:
        token: None lets everybody through.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token

    async def __call__(self, request: Request) -> None:
        """Raises HTTPException 401."""
        if self._token is None:
            return
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        # a header's bytes are read as Latin-1
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.encode("latin-1"), self._token.encode()):
            raise HTTPException(401, "The token is missing or wrong.", {"WWW-Authenticate": "Bearer"})
