"""Presentation of results: tables in the console, figures and pages."""
