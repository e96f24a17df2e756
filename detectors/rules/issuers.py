"""Issuers by name, as people write them for the key itself: `rollbar = "…"`, `MAPBOX: …`, `new DeepgramClient("…")`.

Nothing there speaks of a credential. Each name costs Hyperscan a literal, so only those are here that logs hardly
hold, and none that is a word of English which stands before hashes (`render`, `segment`), nor one whose name is mostly
given an id or a commit (`github`, `notion`, `youtube`).
"""

from __future__ import annotations

import re

__all__ = ["ISSUERS", "held"]

ISSUERS = frozenset(
    "abstractapi abuseipdb accuweather adafruit adyen airbrake airtable aiven akeyless algolia alienvault "
    "alphavantage amplitude anthropic apiflash apify apilayer applitools appsflyer appsignal appveyor asana "
    "assemblyai auth0 aviationstack backblaze bamboohr bigcommerce binance bitbucket bitfinex bitly bitmex bitpay "
    "bitrise bittrex blockfrost braintree brevo browserless browserstack bugsnag buildkite bunnycdn bybit cachix "
    "calendly censys chargebee chargify chartmogul checkly circleci clarifai clearbit clickup clockify cloudconvert "
    "cloudflare cloudinary cloudmersive cloudsmith codacy codeclimate codecov codemagic cohere coinapi coinbase "
    "coingecko coinmarketcap configcat confluent contentful contentstack convertapi convertkit coralogix coveralls "
    "cronitor crowdin cryptocompare currencylayer customerio databricks datadog datocms deepgram deepinfra deepl "
    "deepseek detectify diffbot digitalocean discord disqus dnsimple docusign doppler dropbox duckdns dwolla "
    "dynatrace easypost ecwid edamam elasticemail elevenlabs emailoctopus etherscan eventbrite exoscale facebook "
    "fastly finicity finnhub firebase fitbit flagsmith flickr flutterwave foursquare freshbooks freshdesk "
    "freshservice fullcontact gemfury geoapify geocodio getresponse giphy gitter gladia gocardless godaddy gorgias "
    "grafana graphhopper greynoise growthbook gumroad gupshup hellosign helpscout heroku hetzner holidayapi "
    "honeybadger honeycomb hotjar hubspot huggingface hunterio hygraph iexcloud imagekit imagga imgur infobip "
    "infura insightly instana intercom intrinio ionos ipdata ipgeolocation ipinfo ipstack iterable jotform "
    "jumpcloud jwplayer kaggle kickbox klarna klaviyo kraken kucoin lambdatest langfuse langsmith lastfm "
    "launchdarkly lemlist lemonsqueezy linkedin linode livekit locationiq logdna loggly loginradius logrocket "
    "logtail logzio lokalise mailboxlayer mailchimp mailerlite mailersend mailgun mailjet mailtrap mandrill mapbox "
    "mapquest maptiler marketstack mattermost maxmind mediastack meilisearch meistertask messagebird messari mezmo "
    "midtrans mindee mistral mixpanel mollie moosend moralis msg91 namecheap namesilo netatmo netlify neverbounce "
    "new_relic newrelic news_api newsapi nexmo ngrok nightfall numverify nutritionix nylas nytimes omnisend "
    "onesignal onfleet open_ai openai opencage openexchangerates openrouter openweather openweathermap opsgenie "
    "optimizely packagecloud pagerduty pandadoc papertrail patreon paypal paystack peopledatalabs pexels pinecone "
    "pingdom pipedrive pivotaltracker pixabay plaid planetscale plivo podio poloniex porkbun positionstack posthog "
    "postman postmark printful printify productboard pubnub pulumi pushbullet pusher pushover quandl quickbooks "
    "quicknode rapidapi raygun razorpay rebrandly recurly removebg ringcentral roboflow rollbar rubygems runpod "
    "salesforce sambanova saucelabs scaleway scraperapi scrapfly scrapingbee screenshotlayer securitytrails semrush "
    "sendbird sendgrid sendinblue sendpulse sentry serpapi serper serpstack shippo shipstation shodan shopify "
    "shutterstock signalwire sinch skyscanner smartsheet smartystreets snipcart sonarcloud sonarqube soundcloud "
    "sourcegraph sparkpost speechmatics spoonacular spotify squareup statuscake statuspage stormglass storyblok "
    "strava stripe stytch sumologic sumsub supabase surveymonkey swiftype tailscale tavily taxjar telegram telesign "
    "telnyx testingbot textlocal textmagic thingspeak ticketmaster tiingo tinify tinypng todoist toggl tomtom "
    "transloadit travisci trello twelvedata twilio twitch twitter typeform typesense ubidots unsplash uploadcare "
    "upstash uptimerobot urlscan userstack uservoice vatlayer vercel vimeo virustotal visualcrossing vonage vultr "
    "wakatime walkscore weatherapi weatherbit weatherstack weaviate webex webflow wistia woocommerce wrike xendit "
    "yandex yotpo youtrack zapier zendesk zenrows zerobounce zerotier zoominfo".split()
)
# More of a name, an operator or what opens a call or an element, and fourteen characters of a value, one more than
# `client_secret`, whose value stands further on; in a call, others may come before it. Nothing here is counted but the
# value: bounds take a third of the time that all rules compile in.
_HELD = r"""[\w.-]*(?:["'`\\\] \t]*[=:(>,][>= "'`\\\t]*|\([^()\n]*, ?["'`\\]+)[A-Za-z0-9/_+.~|-]{14}"""


def held(name: str) -> str:
    """A Hyperscan expression for an issuer's name that holds a value."""
    return f"(?i:{re.escape(name)}){_HELD}"
