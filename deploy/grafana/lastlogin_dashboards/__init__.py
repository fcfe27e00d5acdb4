"""Grafana's dashboards: `make docs` writes `deploy/grafana/dashboards` from this package, a test compares them."""
