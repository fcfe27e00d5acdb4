"""Pictures of the dashboards for the documentation: what their own queries give, drawn with matplotlib."""
