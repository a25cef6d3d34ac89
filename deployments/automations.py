"""Make or renew the automations of `automations.yaml` on the server; what is there by another name stays.

LIPSYNC_ALERT_URL is the webhook that is told (a chat's, a pager's), kept as the block `webhook/lipsync-alerts`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from pydantic import SecretStr

FILE = Path(__file__).parent / "automations.yaml"
BLOCK = "lipsync-alerts"
OF_RUN = {
    "run_id": "{{ flow_run.id }}",
    "run": "{{ flow_run.name }}",
    "state": "{{ flow_run.state.name }}",
    "url": "{{ flow_run | ui_url }}",
}
OF_POOL = {"pool": "{{ work_pool.name }}", "state": "{{ work_pool.status }}", "url": "{{ work_pool | ui_url }}"}


def make_automations(client: SyncPrefectClient, automations: list[dict[str, Any]], alert_url: str) -> list[str]:
    """Make or renew ``automations``; returns the names of those that need a webhook, when there is none."""
    block = alert_url and str(_block(alert_url))
    skipped = []
    for automation in automations:
        calls = [action for action in automation["actions"] if action["type"] == "call-webhook"]
        if calls and not block:
            skipped.append(automation["name"])
            continue
        for action in calls:
            action |= {"block_document_id": block, "payload": _payload(automation)}
        _renew(client, AutomationCore.model_validate(automation))
    return skipped


def _renew(client: SyncPrefectClient, automation: AutomationCore) -> None:
    if known := client.read_automations_by_name(automation.name):
        client.update_automation(known[0].id, automation)
    else:
        client.create_automation(automation)


def _block(url: str) -> Any:
    webhook = Webhook(url=SecretStr(url), headers={"Content-Type": "application/json"})  # pyright: ignore
    return webhook.save(BLOCK, overwrite=True)


def _payload(automation: dict[str, Any]) -> str:
    """A JSON object; chats show its ``text``."""
    of_run = automation["trigger"]["match"]["prefect.resource.id"].startswith("prefect.flow-run")
    subject = OF_RUN if of_run else OF_POOL
    named = subject["run" if of_run else "pool"]
    text = f"lipsync {named}: {automation['description']} {subject['url']}"
    return json.dumps({"text": text, "alert": automation["name"].removeprefix("alert: "), **subject})


if __name__ == "__main__":
    with get_client(sync_client=True) as prefect:
        wanted = yaml.safe_load(FILE.read_text())["automations"]
        if left_out := make_automations(prefect, wanted, os.environ.get("LIPSYNC_ALERT_URL", "")):
            print(f"not made, since LIPSYNC_ALERT_URL names no webhook: {', '.join(left_out)}", file=sys.stderr)
