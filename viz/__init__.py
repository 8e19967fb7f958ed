"""Pictures, plots, tables and pages."""
