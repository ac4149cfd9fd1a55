from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from kucoin_sync import topics
from kucoin_sync.contrib.django import feed


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "live_page.html", {"symbols": " ".join(settings.SYMBOLS), "events": reverse("events")})


def events(request: HttpRequest) -> HttpResponseBase:
    symbol = request.GET.get("symbol", settings.SYMBOLS[0])  # must be in TOPICS
    depth = f"/spotMarket/level2Depth50:{symbol}"
    return feed.sse(request, topics.ticker(*settings.SYMBOLS), depth, event=lambda message: message.topic)


def price(_: HttpRequest, symbol: str) -> JsonResponse:
    message = feed.last(f"/market/ticker:{symbol}")
    return JsonResponse({"symbol": symbol, "price": message.data["price"], "received_ns": message.received_ns})
