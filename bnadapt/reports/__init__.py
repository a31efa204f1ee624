"""What a person sees of results: tables in the console, figures and pages."""
