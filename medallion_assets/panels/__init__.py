"""Panels over marts, before anything draws them: the dashboards of a domain, each panel's query, its values as JSON.

Belongs here: what a panel shows, the same for every renderer. Does not belong here: how it is drawn (grafana, site),
what a domain may write in `dashboards/*.yaml` (gold.dashboard_file).
"""
