"""A webhook on this machine, as a chat service has one."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Hook:
    """A webhook that answers with the codes it is given, in order, and keeps what it was told."""

    def __init__(self, *codes):
        self.told, codes = [], list(codes)
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(codes.pop(0))
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret-part"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
