"""Issuers that people write as the name of a key: `rollbar = "…"`, `mixpanelProject: "…"`, `new DeepgramClient("…")`.

Nothing there speaks of a credential, so keyword rules, which are asked around what looks like an assignment of one,
would never see it. Each name costs a literal in the first database: four hundred slow it by a tenth, so only those
whose keys have no prefix of their own to be found by, and of which much is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["NAMES", "named"]

NAMES = frozenset(
    "abstractapi abuseipdb accuweather airbrake airtable akeyless algolia alienvault alphavantage apiflash "
    "apilayer asana assemblyai auth0 aviationstack binance bitbucket bitfinex bitly bitmex bitpay braintree "
    "browserstack bugsnag bybit cachix censys circleci clearbit clickup clockify cloudconvert cloudflare cloudinary "
    "cloudmersive codacy codeclimate codecov cohere coinapi coinbase coinmarketcap confluent contentful convertkit "
    "coveralls crowdin cryptocompare currencylayer customerio datadog deepgram deepinfra deepseek detectify diffbot "
    "digitalocean disqus dropbox elasticemail elevenlabs etherscan eventbrite facebook fastly finnhub fitbit flickr "
    "foursquare freshdesk fullcontact geoapify geocodio getresponse giphy gitter greynoise gumroad hetzner holidayapi "
    "honeybadger hubspot hunterio hygraph iexcloud imagga imgur infura intrinio ipdata "
    "ipgeolocation ipinfo ipstack jotform jumpcloud kaggle kickbox klaviyo kraken kucoin lastfm linkedin linode "
    "locationiq loggly logdna logtail logzio lokalise mailboxlayer mailerlite mailgun mailjet mailtrap mandrill "
    "mapquest marketstack mattermost maxmind mediastack meistertask messagebird mezmo mindee mixpanel moosend moralis "
    "netlify neverbounce newrelic newsapi nexmo nightfall numverify nutritionix nylas nytimes onesignal openai "
    "opencage openweather opsgenie optimizely packagecloud pagerduty pandadoc papertrail patreon paypal pexels pingdom "
    "pipedrive pivotaltracker pixabay plaid plivo podio poloniex positionstack postmark pushbullet pusher pushover "
    "rapidapi raygun razorpay rebrandly recurly removebg rollbar saucelabs scaleway scraperapi scrapingbee "
    "screenshotlayer securitytrails semrush sendbird serpapi serper serpstack shodan shutterstock smartsheet "
    "sonarcloud sonarqube soundcloud sourcegraph sparkpost spoonacular spotify statuspage storyblok strava sumologic "
    "surveymonkey taxjar ticketmaster tiingo tinify tinypng todoist toggl tomtom trello twilio twitch twitter "
    "unsplash uploadcare uptimerobot urlscan userstack vatlayer vimeo virustotal visualcrossing vonage vultr walkscore "
    "weatherapi weatherbit weatherstack weaviate webex webflow wistia wrike yandex zendesk zenrows zerobounce "
    "zerotier".split()
)
# More of a name, an operator or what opens a call or an element, and sixteen characters of a value.
_VALUE = r"""[\w.-]{0,24}["'`\\\]]{0,5}[ \t]{0,12}(?:=>|:=|[=:(>,])[ \t]{0,8}["'`\\]{0,4}[A-Za-z0-9+/_.~|-]{16}"""


def named(rules: Iterable[tuple[int, Iterable[str]]]) -> list[tuple[bytes, tuple[int, ...]]]:
    """Hyperscan expressions for names that hold a value, with the numbers of the rules that are to be asked there.

    `rules`: numbers and keywords.
    """
    owners: dict[str, set[int]] = {}
    for number, keywords in rules:
        for word in {keyword.lower() for keyword in keywords} & NAMES:
            owners.setdefault(word, set()).add(number)
    return [(f"(?i){re.escape(word)}{_VALUE}".encode(), tuple(sorted(owners[word]))) for word in sorted(owners)]
