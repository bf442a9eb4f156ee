"""A browser for the issuer's page, one that goes nowhere by itself."""

import ssl
import urllib.error
import urllib.parse
import urllib.request

from support import DEV


class Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are answers here."""

    def redirect_request(self, *_):
        return None


BROWSER = urllib.request.build_opener(Stay, urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=DEV["ca_file"])))


def visit(url, method="GET"):
    """Status, where it leads, and the page."""
    try:
        answer = BROWSER.open(urllib.request.Request(url, method=method))
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers.get("location"), answer.read().decode()


def challenge_page(intent):
    """Where its payer is sent."""
    return intent.next_action.redirect_to_url.url


def query(url):
    """The parameters of an address."""
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
