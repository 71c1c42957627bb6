"""Reads messages, each a list of blocks, as JSON from standard input, and holds each against Slack's own models of Block Kit.

Prints how many it read. A block that the models refuse, do not know whole, or write otherwise than it was is an error.
"""

import json
import logging
import sys

from slack_sdk.models.blocks import Block


class Refuse(logging.Handler):
    """The models only warn of what they do not know."""

    def emit(self, record):
        raise AssertionError(record.getMessage())


logging.getLogger().addHandler(Refuse(level=logging.WARNING))
messages = json.load(sys.stdin)
for message in messages:
    assert 0 < len(message) <= 50, message
    blocks = Block.parse_all(message)
    for block, sent in zip(blocks, message, strict=True):
        assert block is not None, sent
        block.validate_json()
        written = json.loads(json.dumps(block.to_dict()))
        assert written == sent, f"sent {sent}\nread {written}"
print(len(messages))
