"""Runs localstripe on a free port of the loopback address, and prints that port. It keeps nothing on disk.

By itself it would listen on every address and share one file with every other instance of this machine.
"""
import socket

from aiohttp import web
from localstripe.resources import store
from localstripe.server import app

type(store).dump_to_disk = lambda self: None
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(app, sock=listener, access_log=None, print=None)
