"""``ashare data sync`` over plain http says that the token can be read, unless it stays on this machine."""

from __future__ import annotations

import pytest

from bundles.cli import _warn_of_plain_http


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://api.tushare.pro", True),
        ("http://api.waditu.com/dataapi", True),
        ("http://localhost.example.com:80", True),
        ("https://api.tushare.pro", False),
        ("http://127.0.0.1:8080", False),
        ("http://localhost", False),
        ("http://[::1]:8080", False),
    ],
)
def test_plain_http(capsys, url, warned):
    _warn_of_plain_http(url)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("everyone on the way can read the token" in err) is warned
