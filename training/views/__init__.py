"""Pages of runs, versions, gates, rounds and dashboards."""
