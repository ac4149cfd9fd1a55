"""A Django project in one module: its settings, its addresses and its views."""

from __future__ import annotations

import os
import threading
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from kucoin_sync.contrib.django import feed
from kucoin_sync.contrib.django.views import EventsView

SECRET_KEY = "for these tests only"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
ROOT_URLCONF = __name__
INSTALLED_APPS = ["kucoin_sync.contrib.django"]
MIDDLEWARE = [
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.common.CommonMiddleware",
    "kucoin_sync.contrib.django.middleware.RefusedMiddleware",
]
LOGGING_CONFIG = None
USE_TZ = True
KUCOIN_SYNC = {
    "REDIS_URL": "",
    "REST_URL": os.environ.get("LOCAL_KUCOIN", "http://127.0.0.1:9"),
    "ALLOWED_TOPICS": ["/market/ticker:*"],
}


def last(_: HttpRequest, symbol: str) -> JsonResponse:
    return JsonResponse(feed.last(f"/market/ticker:{symbol}", timeout=30).data)


def soon(_: HttpRequest, symbol: str) -> JsonResponse:
    return JsonResponse(feed.last(f"/market/ticker:{symbol}", timeout=0.05).data)


def now(request: HttpRequest) -> Any:
    return feed.sse(request, "/market/ticker:BTC-USDT", timeout=0.2)


def broken(_: HttpRequest) -> HttpResponse:
    raise LookupError("not the feed's fault")


def threads(_: HttpRequest) -> JsonResponse:
    """Tell which process this is, and which threads of ours it has."""
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("kucoin-")]
    return JsonResponse({"process": os.getpid(), "parent": os.getppid(), "threads": names})


def topic_of(message: Any) -> str:
    topic: str = message.topic
    return topic


urlpatterns = [
    path("live/<symbol>", EventsView.as_view(topics="/market/ticker:{symbol}", event=topic_of)),
    path("pair/<one>/<other>", EventsView.as_view(topics=["/market/ticker:{one}", "/market/ticker:{other}"])),
    path("last/<symbol>", last),
    path("soon/<symbol>", soon),
    path("now", now),
    path("broken", broken),
    path("threads", threads),
]
