"""First contact, and every later one: what hangs, is missing or is wrong is named, within the time that was given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import AuthenticationError, ConnectionFailed, Credentials, Resubscribed
from kucoin_sync.testing import KucoinServer

from ..end_to_end.conftest import Events
from ..support.certificates import authority_pem, client_context, server_context
from .conftest import MakeServer, MakeStream
from .feed import CANARIES, ETH, numbers, publish


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the machine of the test says of authorities and proxies."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


# Certificate authorities


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of authorities that certifi ships, for this test alone."""
    import certifi
    import requests

    path = tmp_path / "cacert.pem"
    shutil.copy(certifi.where(), path)
    for module in (requests.utils, requests.adapters):
        monkeypatch.setattr(module, "DEFAULT_CA_BUNDLE_PATH", str(path))
    return path


@pytest.mark.parametrize("own", [False, True], ids=["its own context", "ssl_context="])
@pytest.mark.parametrize("gone", ["before", "after"])
def test_the_file_of_authorities_may_be_gone(
    make_server: MakeServer, make_stream: MakeStream, events: Events, bundle: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, own: bool, gone: str,
) -> None:  # fmt: skip
    server = make_server(tls=server_context())
    (tmp_path / "own.pem").write_text(authority_pem())
    if not own:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    if gone == "before":
        bundle.unlink()
    stream = make_stream(server, ssl_context=client_context() if own else None)
    subscription = stream.subscribe(ETH)
    if gone == "after":
        bundle.unlink()
    server.drop_connections()
    events.wait(Resubscribed, timeout=20)
    publish(server, [1])
    assert numbers(subscription, 1) == [1]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_usual_variables_name_authorities(
    make_server: MakeServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str,
    folder: bool,
) -> None:  # fmt: skip
    path = tmp_path / "own.pem"
    path.write_text(authority_pem())
    if folder:
        if shutil.which("openssl") is None:
            pytest.skip("the name of a file in such a folder comes from the program openssl")
        name = name.replace("FILE", "DIR")
        digest = subprocess.run(
            ["openssl", "x509", "-subject_hash", "-noout", "-in", path], capture_output=True, text=True, check=True
        )
        path.rename(tmp_path / f"{digest.stdout.strip()}.0")
    monkeypatch.setenv(name, str(tmp_path if folder else path))
    server = make_server(tls=server_context())
    assert make_stream(server).subscribe(ETH)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["absent", "nonsense"])
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_variable_whose_file_has_no_authorities_is_named_where_a_certificate_does_not_verify(
    make_server: MakeServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str,
    content: str | None,
) -> None:  # fmt: skip
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(name, str(path))
    with pytest.raises(ConnectionFailed, match=rf"does not verify.*{name} names {path}, which can't be read"):
        make_stream(make_server(tls=server_context())).subscribe(ETH)


def test_where_there_is_no_authority_at_all_that_is_said(
    make_server: MakeServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundle: Path
) -> None:
    bundle.unlink()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with pytest.raises(ConnectionFailed, match=r"no certificate authority is known.*reinstall certifi") as caught:
        make_stream(make_server(tls=server_context())).subscribe(ETH)
    assert not caught.value.retriable


# Keys


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\ufeff{}", "\n\n{}\n"])
def test_a_key_with_white_space_around_it_is_a_key(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    given = [around.format(part) for part in CANARIES]
    assert make_stream(credentials=Credentials(*given)).subscribe("/account/balance")
    for name, part in zip(("KEY", "SECRET", "PASSPHRASE"), given, strict=True):
        monkeypatch.setenv(f"KUCOIN_API_{name}", part)
    assert make_stream(credentials=None).subscribe("/account/balance")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_break_inside_a_key_is_named_and_the_key_is_not(place: int) -> None:
    parts: list[Any] = list(CANARIES)
    parts[place] = f"{parts[place]}\nmore"
    with pytest.raises(AuthenticationError, match="line break") as caught:
        Credentials(*parts)
    assert not [part for part in CANARIES if part in str(caught.value)]


# Other modules of the same name


@pytest.mark.parametrize(
    "source", ["", "raise SyntaxError", "import not_there", "from kucoin_sync import Stream"], ids=repr
)
@pytest.mark.parametrize("path", ["websocket.py", "websocket/__init__.py"])
def test_another_module_with_the_name_websocket_is_named_with_its_file(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(source)
    done = subprocess.run(
        [sys.executable, "-c", "import kucoin_sync"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: the module websocket is {file}, which is not that of websocket-client")
