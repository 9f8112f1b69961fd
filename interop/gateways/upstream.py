"""The API behind the gateways: tells in JSON what reached it, and remembers that something did."""

import http.server
import json
import threading


class Upstream:
    """Runs in a thread until it is closed."""

    def __init__(self):
        self.reached = 0
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Closes what a gateway keeps open for nothing.
            timeout = 30

            def answer(self):
                upstream.reached += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                told = {
                    "method": self.command,
                    "target": self.path,
                    "headers": self.headers.items(),
                    "body": body.decode("latin-1"),
                }
                text = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                # A gateway that is ended breaks its connections.
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
