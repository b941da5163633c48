"""A moto server with the traffic mirror actions, on a free port of 127.0.0.1.

Prints its port as one line of JSON once it listens, and exits when its standard input is closed. Control interface:

    POST /_mirror/settings   {"name": value, ...}   sets attributes of mirror_actions.Settings
    GET  /_mirror/calls      {"account action outcome": number, ...} since the last reset
    POST /_mirror/reset      forgets all resources, settings, tokens and counts
"""

import copy
import json
import os
import sys
import threading

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "true")

from moto.events.models import Rule, events_backends  # noqa: E402
from moto.events.utils import EventTemplateParser  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from moto.utilities.arns import parse_arn  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

import mirror_actions  # noqa: E402


class Control:
    """The control interface in front of moto."""

    def __init__(self, moto):
        self.moto = moto

    def __call__(self, environ, start_response):
        path = environ.get("PATH_INFO", "")
        if not path.startswith("/_mirror/"):
            return self.moto(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = json.loads(environ["wsgi.input"].read(length) or b"{}")
        answer = getattr(self, path.removeprefix("/_mirror/"))(body)
        start_response("200 OK", [("content-type", "application/json")])
        return [json.dumps(answer).encode()]

    @staticmethod
    def settings(body):
        with mirror_actions.LOCK:
            for name, value in body.items():
                assert hasattr(mirror_actions.SETTINGS, name), name
                setattr(mirror_actions.SETTINGS, name, value)
        return {}

    @staticmethod
    def calls(_body):
        with mirror_actions.LOCK:
            return {" ".join(key): number for key, number in mirror_actions.CALLS.items()}

    @staticmethod
    def reset(_body):
        from moto.moto_api._internal import moto_api_backend

        with mirror_actions.LOCK:
            moto_api_backend.reset()
            mirror_actions.SETTINGS.__init__()
            for store in (mirror_actions.CALLS, mirror_actions.BUCKETS, mirror_actions.TOKENS):
                store.clear()
        return {}


def deliver_as_eventbridge_does():
    """An event tells its account, and one that a rule forwards to another bus keeps its account, region, time and
    resources; moto drops them."""
    template = EventTemplateParser.DEFAULT_EVENT_INPUT_TEMPLATE
    EventTemplateParser.DEFAULT_EVENT_INPUT_TEMPLATE = template.replace('"region"', '"account": "<account>", "region"')
    original = Rule.send_to_targets

    def send_to_targets(self, original_event, transform_input=True):
        buses = [t for t in self.targets if parse_arn(t["Arn"]).resource_type == "event-bus"]
        others = [t for t in self.targets if t not in buses]
        if buses and self.event_pattern.matches_event(original_event):
            for target in buses:
                arn = parse_arn(target["Arn"])
                bus = events_backends[arn.account][arn.region].describe_event_bus(arn.resource_id)
                for rule in bus.rules.values():
                    rule.send_to_targets(copy.deepcopy(original_event), transform_input)
        self.targets, targets = others, self.targets
        try:
            original(self, original_event, transform_input)
        finally:
            self.targets = targets

    Rule.send_to_targets = send_to_targets


class Quiet(WSGIRequestHandler):
    # Without it each request waits for a delayed acknowledgement of the one before.
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def log(self, *_arguments):
        pass


def main():
    mirror_actions.install()
    deliver_as_eventbridge_does()
    app = Control(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
