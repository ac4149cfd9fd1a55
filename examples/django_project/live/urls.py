from django.urls import path

from kucoin_sync.contrib.django.views import EventsView

from . import views

urlpatterns = [
    path("", views.page),
    path("events", views.events, name="events"),
    path("price/<symbol>", views.price),
    path("ticker/<symbol>", EventsView.as_view(topics="/market/ticker:{symbol}")),
]
