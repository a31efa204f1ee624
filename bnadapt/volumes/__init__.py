"""What is done with whole volumes, section by section, by runs that may be cut off: none is ever whole in memory."""
