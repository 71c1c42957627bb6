"""A Bolt app as Slack's documentation shows one: it posts a message with a button, is clicked, acknowledges and edits.

Its Slack is the one that API_URL names. It ends with its standard input, and says on standard output who clicked.
"""

import os
import sys

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, SectionBlock

channel = os.environ["CHANNEL"]
client = WebClient(token=os.environ["BOT_TOKEN"], base_url=os.environ["API_URL"] + "/")
client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=1))
app = App(client=client)
clickers = set()


@app.action("press")
def pressed(ack, body, client, say):
    ack()
    user, message = body["user"]["id"], body["container"]["message_ts"]
    blocks = [SectionBlock(text=f"pressed by <@{user}>")] + body["message"]["blocks"][1:]
    client.chat_update(channel=body["channel"]["id"], ts=message, text="pressed", blocks=blocks)
    client.chat_postEphemeral(channel=body["channel"]["id"], user=user, text=body["actions"][0]["value"])
    clickers.add(user)


handler = SocketModeHandler(app, os.environ["APP_TOKEN"])
handler.connect()
identity = client.auth_test()
posted = client.chat_postMessage(
    channel=channel,
    text="a button",
    blocks=[SectionBlock(text="a button"), ActionsBlock(elements=[ButtonElement(text="Press", action_id="press", value="this")])],
    metadata={"event_type": "pressed", "event_payload": {"number": "7"}},
)
history = client.conversations_history(channel=channel, include_all_metadata=True, limit=5)
found = [message for message in history["messages"] if message.get("metadata", {}).get("event_payload") == {"number": "7"}]
assert [message["ts"] for message in found] == [posted["ts"]], history.data
assert found[0]["bot_id"] == identity["bot_id"], history.data
for wrong, code in [({"channel": "C404"}, "channel_not_found"), ({"channel": channel, "ts": "1.1"}, "message_not_found")]:
    try:
        client.chat_update(**{"ts": posted["ts"], "text": "x", **wrong})
        raise AssertionError(f"{wrong} was accepted")
    except SlackApiError as error:
        assert error.response["error"] == code, error
print("posted", flush=True)
sys.stdin.read()
handler.close()
print(f"{identity['user']} of {identity['team_id']} was clicked by {', '.join(sorted(clickers))}")
