from pathlib import Path

from kucoin_sync import topics

SYMBOLS = ("BTC-USDT", "ETH-USDT", "KCS-USDT", "SOL-USDT")

KUCOIN_SYNC = {
    "TOPICS": [topics.ticker(*SYMBOLS), topics.depth50(*SYMBOLS)],  # all that browsers get
    "KEEP_ALIVE": 0.5,  # seconds between keep-alives, which reveal closed pages
}
INSTALLED_APPS = ["kucoin_sync.contrib.django"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "kucoin_sync.contrib.django.middleware.RefusedMiddleware",
]

DEBUG = True  # for an example on this machine only
SECRET_KEY = "of an example that keeps no secrets"
ROOT_URLCONF = "live.urls"
EXAMPLES = Path(__file__).parents[2]  # the folder of live_page.html, which flask_sse.py uses, too
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [EXAMPLES]}]
