"""The dashboards, as Python that writes dashboards/*.json: `python -m deploy.grafana`."""
