"""Who may ask, and from where."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from fastapi import Request, Response
from itsdangerous import BadSignature, Signer, TimestampSigner
from starlette.exceptions import HTTPException

COOKIE, CSRF_HEADER = "blemish_session", "X-CSRF-Token"
_WEEK = 7 * 24 * 3600
_SAFE = ("GET", "HEAD", "OPTIONS")


class Access:
    """Lets requests through that show the token, as `Authorization: Bearer TOKEN` or by the cookie of a session.

    A request that a browser sends on behalf of another site is refused, whatever it shows. Requests that change
    something by the cookie repeat the session's CSRF token in a header.

    Args:
        token: None lets everybody through.
        hosts: names by which the service may be called, against names of other sites that lead here; None: any.
    """

    def __init__(self, token: str | None, hosts: Collection[str] | None = None) -> None:
        self._token, self._hosts = token, hosts
        secret = (token or "").encode()
        self._sessions = TimestampSigner(secret, salt="blemish session", digest_method=hashlib.sha256)
        self._csrf = Signer(secret, salt="blemish csrf", digest_method=hashlib.sha256)

    @property
    def asks(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def check(self, request: Request) -> None:
        """Raises HTTPException: 401 without the token, 403 from another site."""
        self.check_site(request)
        if self._token is None or self._shows_token(request):
            return
        if self.session(request) is None:
            raise HTTPException(401, "The token is missing or wrong.", {"WWW-Authenticate": "Bearer"})
        shown = request.headers.get(CSRF_HEADER, "")
        if request.method not in _SAFE and not _equal(shown, self.csrf(request)):
            raise HTTPException(403, f"The header {CSRF_HEADER} is missing or wrong.")

    def check_site(self, request: Request) -> None:
        """Raises HTTPException 403 for what another site sends, and for names that are not this service's."""
        host = request.headers.get("host", "")
        if self._hosts is not None and _named(f"//{host}").hostname not in self._hosts:
            raise HTTPException(403, "The service is not called by this name.")
        if request.method in _SAFE:
            return
        origin = request.headers.get("origin")
        if origin is not None and _named(origin).netloc != host:
            raise HTTPException(403, "Another site may not change anything here.")

    def session(self, request: Request) -> str | None:
        """The cookie of a session that is valid."""
        cookie = request.cookies.get(COOKIE, "")
        try:
            self._sessions.unsign(cookie, max_age=_WEEK)
        except BadSignature:
            return None
        return cookie

    def csrf(self, request: Request) -> str:
        """The CSRF token of a session; nothing where none is needed."""
        return "" if self._token is None else self._csrf.get_signature(request.cookies.get(COOKIE, "")).decode()

    def begin(self, shown: str, request: Request, response: Response) -> bool:
        """Begin a session on `response` if the token shown is right."""
        if self._token is None or not _equal(shown, self._token):
            return False
        response.set_cookie(
            COOKIE,
            self._sessions.sign("session").decode(),
            max_age=_WEEK,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return True

    def _shows_token(self, request: Request) -> bool:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        # a header's bytes are read as Latin-1
        return scheme.lower() == "bearer" and hmac.compare_digest(shown.encode("latin-1"), (self._token or "").encode())


def _named(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())
