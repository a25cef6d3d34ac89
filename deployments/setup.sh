#!/usr/bin/env bash
# Tell a Prefect server all it must know; doing it again changes nothing. PREFECT_API_URL names the server.
set -euo pipefail
cd "$(dirname "$0")/.."

prefect work-pool inspect lipsync >/dev/null 2>&1 || prefect work-pool create lipsync --type process
prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml
"$(dirname "$(command -v prefect)")"/python deployments/automations.py  # LIPSYNC_ALERT_URL: the webhook that is told
