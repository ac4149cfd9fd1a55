"""Credentials: right signatures, helpful refusals, and no way for a secret to show."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import logging
import os
import pickle
import traceback

import pytest

from kucoin_sync.credentials import Credentials
from kucoin_sync.exceptions import AuthenticationError

from ..support.keys import KEY, PASSPHRASE, SECRET


def digest(secret: str, text: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def test_the_signature_is_that_of_kucoins_own_example() -> None:
    credentials = Credentials("k", "f03a5284-5c39-4aaa-9b20-dea10bdcf8e3", "p")
    text = '1547015186532POST/api/v1/deposit-addresses{"currency":"BTC"}'
    assert credentials.sign(text) == "7QP/oM0ykidMdrfNEUmng8eZjg/ZvPafjIqmxiVfYu4="


def test_the_headers_of_a_request_sign_time_method_path_with_query_and_body(credentials: Credentials) -> None:
    assert credentials.headers(1712000000123, "POST", "/api/v1/x?a=1", '{"b":2}') == {
        "KC-API-KEY": KEY,
        "KC-API-SIGN": digest(SECRET, '1712000000123POST/api/v1/x?a=1{"b":2}'),
        "KC-API-TIMESTAMP": "1712000000123",
        "KC-API-PASSPHRASE": digest(SECRET, PASSPHRASE),
        "KC-API-KEY-VERSION": "3",
    }


def test_a_request_without_a_body_signs_none(credentials: Credentials) -> None:
    assert credentials.headers(5, "GET", "/p")["KC-API-SIGN"] == digest(SECRET, "5GET/p")


def test_key_version_2_is_sent_where_it_is_asked_for() -> None:
    credentials = Credentials(KEY, SECRET, PASSPHRASE, key_version="2")
    assert credentials.key_version == "2"
    assert credentials.headers(5, "GET", "/p")["KC-API-KEY-VERSION"] == "2"


def test_an_unknown_key_version_is_refused() -> None:
    with pytest.raises(AuthenticationError, match="key_version is '1'; KuCoin knows '2' and '3'"):
        Credentials(KEY, SECRET, PASSPHRASE, key_version="1")


def test_blanks_around_a_part_do_not_count(credentials: Credentials) -> None:
    assert Credentials(f" {KEY} ", f"  {SECRET}", f"{PASSPHRASE} ") == credentials


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("value", ["", "   ", None, 42, b"bytes"])
def test_a_part_that_is_empty_or_not_text_is_refused_by_name(position: int, value: object) -> None:
    parts: list[object] = [KEY, SECRET, PASSPHRASE]
    parts[position] = value
    name = ("key", "secret", "passphrase")[position]
    with pytest.raises(AuthenticationError, match=f"the API {name} is empty or not text") as caught:
        Credentials(*parts)  # type: ignore[arg-type]
    assert caught.value.code is None


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("tail", ["\nmore", "\r\nX-Evil: 1", "é", "\x00"])
def test_a_part_that_fits_no_header_is_refused_without_showing_it(position: int, tail: str) -> None:
    parts = [KEY, SECRET, PASSPHRASE]
    parts[position] += tail
    name = ("key", "secret", "passphrase")[position]
    with pytest.raises(AuthenticationError, match=f"the API {name} contains characters") as caught:
        Credentials(*parts)
    assert not any(part in str(caught.value) for part in (KEY, SECRET, PASSPHRASE))


def test_the_environment_gives_credentials_where_all_three_variables_are_set(credentials: Credentials) -> None:
    environ = {"KUCOIN_API_KEY": KEY, "KUCOIN_API_SECRET": SECRET, "KUCOIN_API_PASSPHRASE": PASSPHRASE}
    assert Credentials.from_environment(environ) == credentials


def test_an_environment_without_any_of_them_gives_none() -> None:
    assert Credentials.from_environment({}) is None
    assert Credentials.from_environment({"KUCOIN_API_KEY": "", "PATH": "/bin"}) is None


def test_an_environment_with_some_of_them_names_the_missing_ones() -> None:
    with pytest.raises(AuthenticationError, match=r"^KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE not set; all three"):
        Credentials.from_environment({"KUCOIN_API_KEY": KEY})
    with pytest.raises(AuthenticationError, match=r"^KUCOIN_API_KEY not set"):
        Credentials.from_environment({"KUCOIN_API_SECRET": SECRET, "KUCOIN_API_PASSPHRASE": PASSPHRASE})


def test_without_an_argument_the_processs_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"KUCOIN_API_KEY": "a", "KUCOIN_API_SECRET": "b", "KUCOIN_API_PASSPHRASE": "c"})
    assert Credentials.from_environment() == Credentials("a", "b", "c")


def test_credentials_are_equal_by_key_secret_and_passphrase(credentials: Credentials) -> None:
    assert credentials == Credentials(KEY, SECRET, PASSPHRASE)
    assert hash(credentials) == hash(Credentials(KEY, SECRET, PASSPHRASE))
    assert credentials != Credentials("other", SECRET, PASSPHRASE)
    assert credentials != Credentials(KEY, "other", PASSPHRASE)
    assert credentials != Credentials(KEY, SECRET, "other")
    assert credentials != (KEY, SECRET, PASSPHRASE)


def test_no_secret_shows_in_text_logs_or_attributes(credentials: Credentials, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("%s %r", credentials, credentials)
    shown = f"{credentials} {credentials!r} {[credentials]} {caplog.text}"
    assert repr(credentials) == "Credentials(***)"
    assert not any(part in shown for part in (KEY, SECRET, PASSPHRASE))
    assert not hasattr(credentials, "__dict__")
    assert not any(PASSPHRASE in repr(getattr(credentials, name)) for name in Credentials.__slots__)


def test_no_secret_shows_where_the_headers_of_a_request_are_shown(credentials: Credentials) -> None:
    headers = credentials.headers(5, "GET", "/p")
    assert f"{headers} {headers!r} {[headers]}" == "{***} {***} [{***}]"


def test_no_secret_shows_in_a_traceback(credentials: Credentials) -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(credentials)
    text = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert not any(part in text for part in (KEY, SECRET, PASSPHRASE))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_credentials_can_not_be_pickled(credentials: Credentials, protocol: int) -> None:
    with pytest.raises(TypeError, match="can't be pickled: read them from the environment"):
        pickle.dumps(credentials, protocol)


def test_credentials_can_not_be_copied_out(credentials: Credentials) -> None:
    for copier in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="can't be pickled"):
            copier(credentials)
