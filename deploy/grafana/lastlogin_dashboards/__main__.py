"""`python -m lastlogin_dashboards`: write every dashboard."""

from lastlogin_dashboards.boards import DASHBOARDS, FILES


if __name__ == "__main__":
    for name, text in FILES.items():
        (DASHBOARDS / name).write_text(text(), encoding="utf-8")
        print(f"deploy/grafana/dashboards/{name}")
