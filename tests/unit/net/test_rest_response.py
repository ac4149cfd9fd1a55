"""What the answers of KuCoin's REST API mean."""

from __future__ import annotations

import msgspec
import pytest

from kucoin_sync import AuthenticationError, RestError
from kucoin_sync.net.rest_response import RestResponse

WHERE = "GET /api/v1/timestamp"
NOW = 1_700_000_000.0


def answer(body: object, status: int = 200, **headers: str) -> RestResponse:
    """Return an answer with a body of bytes, or of JSON, and headers whose names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RestResponse(status, named, body if isinstance(body, bytes) else msgspec.json.encode(body))


def error_of(given: RestResponse) -> RestError:
    with pytest.raises(RestError) as failure:
        given.data(WHERE, NOW)
    return failure.value


class TestData:
    @pytest.mark.parametrize("status", [200, 400, 500])
    @pytest.mark.parametrize("code", ["200000", 200000])
    def test_success_is_the_code_whatever_the_status(self, status: int, code: object) -> None:
        assert answer({"code": code, "data": {"n": 1}}, status).data(WHERE, NOW) == {"n": 1}

    def test_success_without_data_is_none(self) -> None:
        assert answer({"code": "200000"}).data(WHERE, NOW) is None

    @pytest.mark.parametrize("body", [{"code": "200000", "data": "s3cret-token"}, b"s3cret-token"])
    def test_an_answer_does_not_show_itself(self, body: object) -> None:
        assert "s3cret" not in repr(answer(body))


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "remedy"),
        [
            ("400001", "check that key, secret and passphrase are complete"),
            ("400002", "set this machine's clock"),
            ("400003", "check KUCOIN_API_KEY"),
            ("400004", "check KUCOIN_API_PASSPHRASE"),
            ("400005", "check KUCOIN_API_SECRET"),
            ("400006", "add it in KuCoin's API management"),
            ("400007", "grant it in KuCoin's API management"),
            ("411100", "ask KuCoin's support"),
        ],
    )
    @pytest.mark.parametrize("status", [200, 401, 429])
    def test_refused_credentials_are_fatal_and_say_what_to_do(self, code: str, remedy: str, status: int) -> None:
        with pytest.raises(AuthenticationError) as failure:
            answer({"code": code, "msg": "Invalid"}, status).data("POST /x", NOW)
        assert str(failure.value).startswith(f"KuCoin refused POST /x with code {code} (Invalid): ")
        assert remedy in str(failure.value)
        assert failure.value.code == code
        assert not failure.value.retriable

    @pytest.mark.parametrize(
        ("code", "status", "retriable"),
        [
            ("400100", 200, False),
            ("400100", 400, False),
            ("404000", 404, False),
            ("500000", 200, True),
            ("900001", 503, True),
            ("429000", 200, True),
            ("200002", 200, True),
            ("1015", 200, True),
            ("400100", 429, True),
        ],
    )
    def test_other_codes_are_retriable_where_waiting_can_help(self, code: str, status: int, retriable: bool) -> None:
        error = error_of(answer({"code": code, "msg": "why " * 1000}, status))
        assert str(error).startswith(f"KuCoin answered {WHERE} with code {code}: why why")
        assert len(str(error)) < 400
        assert (error.code, error.retriable, error.retry_after) == (code, retriable, None)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b'{"code":"200000","data":',
            b'{"code":"200000","data":"\xff\xfe"}',
            b"\xef\xbb\xbf{}",
            b"[]",
            b"[1]",
            b"{}",
            b"null",
            b"1",
            b'"text"',
            b"[" * 100_000,
            b'{"code":"200000","data":' + b"1" * 100_000 + b"}",
            b'{"code":null}',
            b'{"code":["200000"],"data":1}',
            b'{"code":true,"data":1}',
        ],
    )
    def test_what_is_not_kucoins_json_is_told_shortly(self, body: bytes) -> None:
        error = error_of(answer(body, Content_Type="text/html"))
        assert "not KuCoin's JSON but text/html: b" in str(error)
        assert len(str(error)) < 600
        assert error.code == "200"
        assert error.__cause__ is None and error.__context__ is None

    def test_what_is_not_kucoins_json_is_told_up_to_where_a_token_may_be(self) -> None:
        error = error_of(answer(b'{"data":{"token":"s3cret'))
        assert 'b\'{"data":{"\'' in str(error)
        assert "s3cret" not in str(error)

    @pytest.mark.parametrize(
        ("status", "retriable"), [(200, True), (400, False), (403, True), (404, False), (429, True), (502, True)]
    )
    def test_the_page_of_a_cdn_is_told_with_its_status(self, status: int, retriable: bool) -> None:
        error = error_of(answer(b"<html><h1>Access Denied</h1>" * 1000, status))
        assert "Access Denied" in str(error)
        assert "something between here and KuCoin may have answered" in str(error)
        assert len(str(error)) < 400
        assert (error.code, error.retriable) == (str(status), retriable)

    def test_an_answer_without_content_type(self) -> None:
        assert "not KuCoin's JSON but no content type: b'?'" in str(error_of(answer(b"?")))

    @pytest.mark.parametrize("status", [300, 307, 399])
    @pytest.mark.parametrize("body", [b"", {"code": "200000", "data": 1}, {"code": "400003"}])
    def test_a_redirect_is_refused_whatever_comes_with_it(self, status: int, body: object) -> None:
        error = error_of(answer(body, status, Retry_After="7"))
        assert "a redirect, which is refused; correct the REST URL" in str(error)
        assert (error.code, error.retriable, error.retry_after) == (str(status), False, None)


class TestTheTimeToWait:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"Retry_After": "7"}, 7.0),
            ({"Retry_After": "0"}, 0.0),
            ({"Retry_After": "9" * 5000}, 3600.0),
            ({"Retry_After": "-7"}, None),
            ({"Retry_After": "soon"}, None),
            ({"Retry_After": "²"}, None),
            ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
            ({"Retry_After": "Wed, 21 Oct 9999 07:28:00 GMT"}, 3600.0),
            ({"Retry_After": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
            ({"Retry_After": "Wed, 99 Oct 2015 99:99:99 GMT"}, 0.0),
            ({"gw_ratelimit_reset": "1500"}, 1.5),
            ({"gw_ratelimit_reset": "9" * 5000}, 3600.0),
            ({"gw_ratelimit_reset": "²"}, None),
            ({"gw_ratelimit_reset": ""}, None),
            ({"Retry_After": "7", "gw_ratelimit_reset": "1500"}, 7.0),
            ({"Retry_After": "soon", "gw_ratelimit_reset": "1500"}, 1.5),
        ],
    )
    @pytest.mark.parametrize("body", [b'{"code":"429000","msg":"too many"}', b"<html>slow down</html>"])
    def test_it_is_told_where_too_much_was_asked(
        self, headers: dict[str, str], seconds: float | None, body: bytes
    ) -> None:
        error = error_of(answer(body, 429, **headers))
        assert error.retry_after == seconds
        assert error.retriable

    def test_until_a_date_it_is_counted_by_our_clock(self) -> None:
        error = error_of(answer({"code": "500000"}, 503, Retry_After="Tue, 14 Nov 2023 22:30:00 GMT"))
        assert error.retry_after == 1_700_001_000.0 - NOW

    def test_until_a_date_it_is_counted_by_the_servers_clock_where_that_is_told(self) -> None:
        dates = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry_After": "Wed, 21 Oct 2015 07:28:07 GMT"}
        assert error_of(answer({"code": "500000"}, 503, **dates)).retry_after == 7.0

    @pytest.mark.parametrize(("code", "seconds"), [("429000", 1.5), ("1015", 1.5), ("400100", None), ("500000", None)])
    def test_the_reset_of_the_own_quota_counts_only_where_it_was_exceeded(
        self, code: str, seconds: float | None
    ) -> None:
        assert error_of(answer({"code": code}, gw_ratelimit_reset="1500")).retry_after == seconds
