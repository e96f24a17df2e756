"""Issuers by name, as people write them for the key itself: `rollbar = "…"`, `MAPBOX: …`, `new DeepgramClient("…")`.

Nothing there speaks of a credential. Each name costs Hyperscan a literal, so only those are here that logs hardly
hold, and none that is a word of English which stands before hashes (`render`, `segment`), nor one whose name is mostly
given an id or a commit (`github`, `notion`, `youtube`).
"""

from __future__ import annotations

import re

__all__ = ["ISSUERS", "held"]

ISSUERS = frozenset(
    "abstractapi abuseipdb accuweather adafruit airbrake airtable akeyless algolia alienvault alphavantage "
    "amplitude anthropic apiflash apilayer appsflyer asana assemblyai auth0 aviationstack binance bitbucket "
    "bitfinex bitly bitmex bitpay bittrex braintree brevo browserstack bugsnag buildkite bybit cachix calendly "
    "censys chargebee circleci clarifai clearbit clickup clockify cloudconvert cloudflare cloudinary cloudmersive "
    "codacy codeclimate codecov cohere coinapi coinbase coingecko coinmarketcap confluent contentful contentstack "
    "convertkit coveralls crowdin cryptocompare currencylayer customerio databricks datadog deepgram deepinfra "
    "deepseek detectify diffbot digitalocean discord disqus dnsimple doppler dropbox dwolla dynatrace easypost "
    "edamam elasticemail elevenlabs etherscan eventbrite facebook fastly finnhub firebase fitbit flickr "
    "flutterwave foursquare freshdesk fullcontact geoapify geocodio getresponse giphy gitter gocardless godaddy "
    "grafana greynoise gumroad heroku hetzner holidayapi honeybadger honeycomb hubspot huggingface hunterio "
    "hygraph iexcloud imagga imgur infura intercom intrinio ipdata ipgeolocation ipinfo ipstack jotform jumpcloud "
    "kaggle kickbox klarna klaviyo kraken kucoin lastfm launchdarkly linkedin linode locationiq logdna loggly "
    "logtail logzio lokalise mailboxlayer mailchimp mailerlite mailersend mailgun mailjet mailtrap mandrill "
    "mapbox mapquest maptiler marketstack mattermost maxmind mediastack meistertask messagebird mezmo mindee "
    "mistral mixpanel mollie moosend moralis netlify neverbounce new_relic newrelic news_api newsapi nexmo ngrok "
    "nightfall numverify nutritionix nylas nytimes onesignal open_ai openai opencage openrouter openweather "
    "opsgenie optimizely packagecloud pagerduty pandadoc papertrail patreon paypal paystack pexels pinecone "
    "pingdom pipedrive pivotaltracker pixabay plaid planetscale plivo podio poloniex positionstack posthog "
    "postman postmark pubnub pulumi pushbullet pusher pushover quicknode rapidapi raygun razorpay rebrandly "
    "recurly removebg rollbar rubygems salesforce saucelabs scaleway scraperapi scrapingbee screenshotlayer "
    "securitytrails semrush sendbird sendgrid sendinblue sentry serpapi serper serpstack shippo shodan shopify "
    "shutterstock skyscanner smartsheet sonarcloud sonarqube soundcloud sourcegraph sparkpost spoonacular spotify "
    "squareup statuspage storyblok strava stripe sumologic supabase surveymonkey tailscale taxjar telegram telnyx "
    "ticketmaster tiingo tinify tinypng todoist toggl tomtom trello twelvedata twilio twitch twitter typeform "
    "unsplash uploadcare upstash uptimerobot urlscan userstack vatlayer vercel vimeo virustotal visualcrossing "
    "vonage vultr wakatime walkscore weatherapi weatherbit weatherstack weaviate webex webflow wistia wrike "
    "xendit yandex zapier zendesk zenrows zerobounce zerotier".split()
)
# More of a name, an operator or what opens a call or an element, and sixteen characters of a value; in a call, others
# may come before it. Nothing here is counted but the value: bounds take a third of the time that all rules compile in.
_HELD = r"""[\w.-]*(?:["'`\\\] \t]*[=:(>,][>= "'`\\\t]*|\([^()\n]*, ?["'`\\]+)[A-Za-z0-9/_+.~|-]{16}"""


def held(name: str) -> str:
    """A Hyperscan expression for an issuer's name that holds a value."""
    return f"(?i:{re.escape(name)}){_HELD}"
