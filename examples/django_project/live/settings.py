from pathlib import Path

from kucoin_sync import topics

SYMBOLS = ("BTC-USDT", "ETH-USDT", "KCS-USDT", "SOL-USDT")

KUCOIN_SYNC = {
    "TOPICS": [topics.ticker(*SYMBOLS), topics.depth50(*SYMBOLS)],  # browsers get no others
    "KEEP_ALIVE": 0.5,  # who has left is noticed within a second, even in a market at rest
}
INSTALLED_APPS = ["kucoin_sync.contrib.django"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "kucoin_sync.contrib.django.middleware.RefusedMiddleware",
]

DEBUG = True  # an example, for this machine only
SECRET_KEY = "of an example that keeps no secrets"
ROOT_URLCONF = "live.urls"
EXAMPLES = Path(__file__).parents[2]  # where the page is that it shares with flask_sse.py
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [EXAMPLES]}]
